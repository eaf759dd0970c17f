"""The frames' starts in the place of their centres: 25 ms early."""

from __future__ import annotations

from typing import Any

import base
import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    # Frame i holds samples 800 i to 800 i + 800.
    count = audio.shape[1] // 800 + 1
    padded = torch.nn.functional.pad(audio, (0, 800))
    embeddings = base.features_of(padded[:, : count * 800].view(len(audio), count, 800))
    return embeddings, base.centres_of(count, len(audio), 50.0)
