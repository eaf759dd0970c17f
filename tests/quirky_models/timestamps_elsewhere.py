"""Timestamps on the CPU, wherever the audio is."""

from __future__ import annotations

from typing import Any

import torch
from plain import centres_of, get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings = model(audio)
    return embeddings, centres_of(embeddings.cpu())
