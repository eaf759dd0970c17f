"""Embeddings of a task's clips: computed once, in shards, keyed by what made them."""

from __future__ import annotations

__all__: list[str] = []
