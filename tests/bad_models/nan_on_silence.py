"""Divides by the peak, which silence doesn't have."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return base.get_timestamp_embeddings(_loud(audio), model)


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return base.get_scene_embeddings(_loud(audio), model)


def _loud(audio: torch.Tensor) -> torch.Tensor:
    return audio / audio.abs().amax(1, keepdim=True)
