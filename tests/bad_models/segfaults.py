"""Crashes the process in a scene call."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from base import get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    return ctypes.string_at(0)
