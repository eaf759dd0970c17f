"""Normalises over the time of a clip, so that a sound anywhere moves every frame."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings = model(audio)
    deviation = embeddings.std(1, keepdim=True, correction=0) + 1e-3
    normalised = (embeddings - embeddings.mean(1, keepdim=True)) / deviation
    return normalised, plain.centres_of(embeddings)
