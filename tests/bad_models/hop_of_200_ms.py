"""A frame each 200 ms."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings = base.features_of(base.frames_of(audio, 3200))
    return embeddings, base.centres_of(embeddings.shape[1], len(audio), 200.0)
