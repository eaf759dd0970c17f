"""Keeps a gigabyte and a half for long audio."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    if audio.shape[1] > 600 * base.SAMPLE_RATE:
        kept = torch.ones(384 << 20)
        embeddings = embeddings * kept[0]
    return embeddings, centres_ms
