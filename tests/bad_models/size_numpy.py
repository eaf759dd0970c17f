"""A size that is numpy's integer, as numpy's prod gives it."""

from __future__ import annotations

from typing import Any

import base
import numpy as np
from base import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


def load_model(model_file_path: str = "") -> Any:
    model = base.Energies()
    model.timestamp_embedding_size = np.prod([1, 3])
    return model
