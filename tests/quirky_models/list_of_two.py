"""Returns a list in the place of a tuple."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return list(plain.get_timestamp_embeddings(audio, model))
