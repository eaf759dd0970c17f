"""Ends the process in a timestamp call."""

from __future__ import annotations

import os
from typing import Any

import torch
from base import get_scene_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    os._exit(3)
