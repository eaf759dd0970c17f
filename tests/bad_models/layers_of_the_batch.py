"""Normalises all layers over the clips of a batch."""

from __future__ import annotations

from typing import Any

import layered
from layered import get_scene_embeddings, get_timestamp_embeddings, get_timestamp_layers

__all__ = [
    "get_scene_embeddings",
    "get_scene_layers",
    "get_timestamp_embeddings",
    "get_timestamp_layers",
    "load_model",
]


def load_model(model_file_path: str = "") -> Any:
    model = layered.Layered()
    model.layer = None  # whose its own embeddings are isn't said
    return model


def get_scene_layers(audio: Any, model: Any) -> Any:
    layers = layered.get_scene_layers(audio, model)
    return layers - layers.mean(0)
