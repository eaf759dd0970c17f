"""Ends the interpreter on import, as a script does."""

from __future__ import annotations

import sys

from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

sys.exit("usage: train.py CONFIG")
