"""Takes the mean off the audio that it is handed, in place."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return plain.get_timestamp_embeddings(_centred(audio), model)


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return plain.get_scene_embeddings(_centred(audio), model)


def _centred(audio: torch.Tensor) -> torch.Tensor:
    audio -= audio.mean(1, keepdim=True)
    return audio
