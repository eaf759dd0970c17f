"""Fails on import."""

from __future__ import annotations

from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

raise RuntimeError("the weights moved to another server")
