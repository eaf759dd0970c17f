"""Imports a package that isn't installed."""

from __future__ import annotations

import a_package_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401
from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
