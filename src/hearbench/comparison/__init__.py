"""Compares models on the test clips that they share; see ``docs/comparing.md``."""

from __future__ import annotations

__all__: list[str] = []
