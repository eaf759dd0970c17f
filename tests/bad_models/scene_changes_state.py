"""A scene call changes the timestamp embeddings after it."""

from __future__ import annotations

from typing import Any

import base
import torch

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    model: Any = base.Energies()
    model.gain = 1.0
    return model


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings, centres_ms = base.get_timestamp_embeddings(audio, model)
    return embeddings * model.gain, centres_ms


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    model.gain = 2.0
    return base.get_scene_embeddings(audio, model)
