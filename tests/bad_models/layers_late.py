"""Times the frames of all layers at their ends, and those of one at their centres."""

from __future__ import annotations

from typing import Any

import layered
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
    return embeddings, centres_ms + 12.5
