"""Never returns timestamp embeddings."""

from __future__ import annotations

import time
from typing import Any

import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    time.sleep(3600)
