"""Its timestamp embeddings fail once scene embeddings have switched the model's mode."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> torch.Tensor:
    model.pooled = True
    return base.get_scene_embeddings(audio, model)


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    if getattr(model, "pooled", False):
        raise IndexError("too many indices for tensor of dimension 2")
    return base.get_timestamp_embeddings(audio, model)
