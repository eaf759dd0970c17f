"""What the others share: a spectrum of frames, centred on each hop; no quirk of its own.

Scene and timestamp embeddings have different sizes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

SAMPLE_RATE = 16000
FRAME, HOP = 512, 320
BANDS = 8


class Bands(torch.nn.Module):
    """Logarithmic power in eight bands, weighted by parameters that training left as they are."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = 2 * BANDS
    timestamp_embedding_size = BANDS

    def __init__(self, frame: int = FRAME) -> None:
        super().__init__()
        self.frame = frame
        self.weights = torch.nn.Parameter(torch.linspace(0.5, 1.5, BANDS))

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Audio (n_clips, n_samples) to (n_clips, n_frames, 8), frame i centred on 20 i ms."""
        padded = functional.pad(audio, (self.frame // 2, self.frame // 2))
        frames = padded.unfold(1, self.frame, HOP)[:, : audio.shape[1] // HOP + 1]
        window = torch.hann_window(self.frame, device=audio.device)
        # In pieces, so that an hour would fit as well.
        pieces = [self._bands(piece * window) for piece in torch.split(frames, 2048, 1)]
        return torch.cat(pieces, 1)

    def _bands(self, frames: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(frames).abs().square()[..., 1:]
        bands = power.unflatten(-1, (BANDS, -1)).mean(-1)
        return torch.log(bands + 1e-4) * self.weights


def load_model(model_file_path: str = "") -> Any:
    """The model, which needs no file."""
    return Bands()


def centres_of(embeddings: torch.Tensor) -> torch.Tensor:
    """Centres in ms (n_clips, n_frames)."""
    ms = torch.arange(embeddings.shape[1], device=embeddings.device) * (1000.0 * HOP / SAMPLE_RATE)
    return ms.expand(len(embeddings), -1)


def get_timestamp_embeddings(audio: torch.Tensor, model: Any) -> Any:
    """Frames, and their centres in ms."""
    embeddings = model(audio)
    return embeddings, centres_of(embeddings)


def get_scene_embeddings(audio: torch.Tensor, model: Any) -> Any:
    """Mean and maximum over the frames: (n_clips, 16)."""
    embeddings = model(audio)
    return torch.cat([embeddings.mean(1), embeddings.amax(1)], 1)
