"""Records gradients, whatever the caller says."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    model = base.Energies()
    model.scale = torch.nn.Parameter(torch.ones(base.SIZE))
    return model


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    with torch.enable_grad():
        return embeddings * model.scale, centres_ms
