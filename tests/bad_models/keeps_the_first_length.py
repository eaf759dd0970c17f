"""Keeps positions for the frames of the first clips, which others don't fit."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, times_ms = base.get_timestamp_embeddings(audio, model)
    if not hasattr(model, "positions"):
        model.positions = torch.zeros_like(embeddings[0])
    return embeddings + model.positions, times_ms
