"""Asks the network on import."""

from __future__ import annotations

import contextlib
import socket

from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 9), timeout=1):
    pass
