"""A recurrent layer over the frames: a sound moves every frame after it as well."""

from __future__ import annotations

from typing import Any

import plain
import torch
from plain import get_scene_embeddings, get_timestamp_embeddings

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]


class Recurrent(plain.Bands):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.GRU(plain.BANDS, plain.BANDS, batch_first=True)
        # Weights without a random generator.
        with torch.no_grad():
            for number, weight in enumerate(self.layer.parameters()):
                values = torch.arange(weight.numel(), dtype=torch.float32).view_as(weight)
                weight.copy_(torch.sin(values * (1.7 + number)) * 0.5)

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.layer(super().forward(audio) / 5)[0]
        return embeddings


def load_model(model_file_path: str = "") -> Any:
    return Recurrent().eval()
