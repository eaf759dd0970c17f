"""Its scene embeddings fail once timestamp embeddings have left their frames in the model."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, times_ms = base.get_timestamp_embeddings(audio, model)
    model.frames = embeddings
    return embeddings, times_ms


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> torch.Tensor:
    if hasattr(model, "frames"):
        raise RuntimeError("hooks are left over")
    return base.get_scene_embeddings(audio, model)
