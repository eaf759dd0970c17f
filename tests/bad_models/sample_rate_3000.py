"""A sample rate at which no audio is made."""

from __future__ import annotations

from typing import Any

import base
from base import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    model = base.Energies()
    model.sample_rate = 3000
    return model
