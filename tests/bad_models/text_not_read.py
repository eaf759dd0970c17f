"""Has one embedding for all texts."""

from __future__ import annotations

import torch
from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = [
    "get_scene_embeddings",
    "get_text_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]


def get_text_embeddings(texts: list[str], model: torch.nn.Module) -> torch.Tensor:
    return torch.ones(len(texts), 6)
