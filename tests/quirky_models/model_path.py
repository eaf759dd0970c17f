"""Calls its weights ``model_path``, and reads them if there are any."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_path: str = "") -> Any:
    model = plain.Bands()
    if model_path:
        model.load_state_dict(torch.load(model_path, weights_only=True))
    return model
