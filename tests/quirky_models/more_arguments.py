"""``load_model`` with arguments of its own; some of them have no default type."""

from __future__ import annotations

from typing import Any

import plain
from plain import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(
    model_file_path: str = "",
    device: Any = None,
    layer: int | None = None,
    model_hub: str = "org/name",
    mode: str = "all",
    *,
    frame_length: int = plain.FRAME,
) -> Any:
    return plain.Bands(frame_length).to(device)
