"""Returns frames only where a whole window of 100 ms fits: the first is centred on 50 ms.

Shorter clips are padded to one window.
"""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, load_model
from torch.nn import functional

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WINDOW = 1600


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    # Centred on each 20 ms; those whose window begins before the clip or ends after it go.
    count = max(1, (audio.shape[1] - WINDOW) // plain.HOP + 1)
    longer = functional.pad(audio, (0, max(0, WINDOW - audio.shape[1])))
    shifted = longer[:, WINDOW // 2 :]
    embeddings = model(shifted)[:, :count].contiguous()
    return embeddings, plain.centres_of(embeddings) + min(50.0, audio.shape[1] / 32)
