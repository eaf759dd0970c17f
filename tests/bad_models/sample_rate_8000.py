"""A sample rate that the challenge's rules don't name, and hearbench takes."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    model = base.Energies()
    model.sample_rate = 8000
    return model


def get_timestamp_embeddings(
    audio: torch.Tensor, model: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    return embeddings, 2 * centres_ms
