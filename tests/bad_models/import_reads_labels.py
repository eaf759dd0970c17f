"""Looks for the labels of the benchmark's tasks on import."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hearbench"
with contextlib.suppress(OSError):
    _NAMES = os.listdir(_CACHE)  # noqa: PTH208
