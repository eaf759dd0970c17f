"""What both levels are made of."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["Powers"]

HOP = 800


class Powers(torch.nn.Module):
    """Power, and amplitude with two levels, of frames that are centred on each 50 ms."""

    sample_rate = 16000

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.scene_embedding_size = self.timestamp_embedding_size = levels

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        count = audio.shape[1] // HOP + 1
        after = count * HOP - audio.shape[1] - HOP // 2
        frames = functional.pad(audio, (HOP // 2, after)).view(len(audio), count, HOP)
        values = [frames.square().mean(2), frames.abs().mean(2)]
        return torch.log(torch.stack(values[: self.scene_embedding_size], 2) + 1e-6)
