"""Draws all layers with dropout."""

from __future__ import annotations

from typing import Any

import layered
import torch
from layered import get_scene_embeddings, get_scene_layers, get_timestamp_embeddings, load_model

__all__ = [
    "get_scene_embeddings",
    "get_scene_layers",
    "get_timestamp_embeddings",
    "get_timestamp_layers",
    "load_model",
]


def get_timestamp_layers(audio: Any, model: Any) -> Any:
    embeddings, centres_ms = layered.get_timestamp_layers(audio, model)
    return torch.nn.functional.dropout(embeddings, 0.1), centres_ms
