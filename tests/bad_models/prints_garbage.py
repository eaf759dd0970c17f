"""Prints whatever an answer, a terminal or a parser could choke on."""

from __future__ import annotations

import os
import sys
from typing import Any

import base
import torch

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

os.write(1, b"{}\n")


def load_model(model_file_path: str = "") -> Any:
    _print()
    return base.Energies()


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    _print()
    return base.get_timestamp_embeddings(audio, model)


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    _print()
    return base.get_scene_embeddings(audio, model)


def _print() -> None:
    print('{"number": 1, "done": {}}')  # noqa: T201
    sys.stderr.write("\x1b[2J\x1b[31m\r\x07 42%")
    os.write(1, b"\xff\x00\n{\n")
    sys.stdout.buffer.write(b"\n[1, 2")
