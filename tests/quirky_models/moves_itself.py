"""Moves itself to a GPU if there is one, and stays where it is when it is told to move."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


class Stays(plain.Bands):
    def __init__(self) -> None:
        super().__init__()
        if torch.cuda.is_available():
            self.cuda()

    def to(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        return self


def load_model(model_file_path: str = "") -> Any:
    return Stays()
