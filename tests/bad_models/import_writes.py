"""Writes a file on import."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

_PATH = Path(tempfile.gettempdir()) / f"hearbench-bad-model-{os.getpid()}"
_PATH.write_text("cache")
_PATH.unlink()
