"""Gives NaN in the first of its layers."""

from __future__ import annotations

from typing import Any

import layered
import torch
from layered import get_scene_embeddings, get_timestamp_embeddings, get_timestamp_layers, load_model

__all__ = [
    "get_scene_embeddings",
    "get_scene_layers",
    "get_timestamp_embeddings",
    "get_timestamp_layers",
    "load_model",
]


def get_scene_layers(audio: Any, model: Any) -> Any:
    layers = layered.get_scene_layers(audio, model)
    layers[:, 0] = torch.nan
    return layers
