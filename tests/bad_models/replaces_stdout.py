"""Puts objects that only write in the places of stdout and stderr."""

from __future__ import annotations

import sys
from typing import Any

import base
from base import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


class Quiet:
    def write(self, text: str) -> int:
        return len(text)


def load_model(model_file_path: str = "") -> Any:
    sys.stdout = sys.stderr = Quiet()
    return base.Energies()
