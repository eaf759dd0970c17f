"""Frames of 1102 samples at 44.1 kHz under timestamps of 25 ms, which are 1102.5."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    model = base.Energies()
    model.sample_rate = 44100
    return model


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    embeddings = base.features_of(base.frames_of(audio, 1102))
    # As many as there would be without the error, so that none lies beyond the end.
    count = int(audio.shape[1] / 1102.5) + 1
    return embeddings[:, :count].contiguous(), base.centres_of(count, len(audio))
