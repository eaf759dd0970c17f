"""Says that its embeddings are those of a layer that isn't there."""

from __future__ import annotations

from typing import Any

import layered
from layered import (
    get_scene_embeddings,
    get_scene_layers,
    get_timestamp_embeddings,
    get_timestamp_layers,
)

__all__ = [
    "get_scene_embeddings",
    "get_scene_layers",
    "get_timestamp_embeddings",
    "get_timestamp_layers",
    "load_model",
]


def load_model(model_file_path: str = "") -> Any:
    model = layered.Layered()
    model.layer = 3
    return model
