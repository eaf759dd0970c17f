"""Drops numbers at random, as in training."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    return torch.nn.functional.dropout(embeddings, 0.1), centres_ms


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return torch.nn.functional.dropout(base.get_scene_embeddings(audio, model), 0.1)
