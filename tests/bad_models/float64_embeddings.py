"""Timestamp embeddings in float64."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    return embeddings.double(), centres_ms
