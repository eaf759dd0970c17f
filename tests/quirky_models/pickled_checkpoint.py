"""A checkpoint with more than tensors in it, for which ``weights_only=False`` is needed."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str) -> Any:
    checkpoint = torch.load(model_file_path, weights_only=False)
    model = plain.Bands(checkpoint["arguments"].frame)
    model.load_state_dict(checkpoint["state"])
    return model
