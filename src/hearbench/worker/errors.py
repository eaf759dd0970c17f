"""Errors that explain themselves, so that no one needs to see a traceback."""

from __future__ import annotations

__all__ = ["UnusableError"]


class UnusableError(Exception):
    """A model can't be used; the message says to its user why."""
