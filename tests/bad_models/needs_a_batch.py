"""Fails on a clip by itself, of any length."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> torch.Tensor:
    embeddings = base.get_scene_embeddings(audio, model).squeeze()
    return embeddings - embeddings.mean(1, keepdim=True)
