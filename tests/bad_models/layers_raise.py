"""Fails where all layers are asked for."""

from __future__ import annotations

from typing import Any

from layered import get_scene_embeddings, get_timestamp_embeddings, get_timestamp_layers, load_model

__all__ = [
    "get_scene_embeddings",
    "get_scene_layers",
    "get_timestamp_embeddings",
    "get_timestamp_layers",
    "load_model",
]


def get_scene_layers(audio: Any, model: Any) -> Any:
    raise RuntimeError("hidden states are on another device")
