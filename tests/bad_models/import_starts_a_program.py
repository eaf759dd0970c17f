"""Starts a program on import."""

from __future__ import annotations

import subprocess
import sys

from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

subprocess.run([sys.executable, "-S", "-c", ""], check=True)
