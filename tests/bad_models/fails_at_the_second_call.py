"""Either function works once in a process."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def once(model: Any, function: str) -> None:
    if hasattr(model, function):
        raise RuntimeError("the graph has been freed")
    setattr(model, function, True)


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> torch.Tensor:
    once(model, "scene")
    return base.get_scene_embeddings(audio, model)


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    once(model, "timestamps")
    return base.get_timestamp_embeddings(audio, model)
