"""The same with two numbers."""

from __future__ import annotations

from typing import Any

from .base import get_scene_embeddings, get_timestamp_embeddings
from .networks import Powers

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    return Powers(2)
