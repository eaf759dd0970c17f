"""Its scene embeddings have another shape once timestamp embeddings have been asked for."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    model.pool = False
    return base.get_timestamp_embeddings(audio, model)


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> torch.Tensor:
    if getattr(model, "pool", True):
        return base.get_scene_embeddings(audio, model)
    return base.get_timestamp_embeddings(audio, model)[0]
