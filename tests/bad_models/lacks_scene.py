"""Has no get_scene_embeddings."""

from __future__ import annotations

from base import get_timestamp_embeddings, load_model

__all__ = ["get_timestamp_embeddings", "load_model"]
