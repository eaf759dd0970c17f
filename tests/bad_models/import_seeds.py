"""Seeds everybody's random generators on import."""

from __future__ import annotations

import random

import numpy as np
import torch
from base import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

random.seed(0)
np.random.seed(0)  # noqa: NPY002
torch.manual_seed(0)
