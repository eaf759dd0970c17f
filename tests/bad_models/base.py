"""A valid model that the others bend: energy of frames of 25 ms, centred on 0, 25, 50 ... ms.

Frames: logarithm of the mean power, logarithm of the peak's power, mean. Scene: their means and
standard deviations. Frames lie end to end, so that 20 minutes take a moment.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

SAMPLE_RATE = 16000
HOP = 400
HOP_MS = 25.0
SIZE = 3


class Energies(torch.nn.Module):
    """Nothing to learn; the attributes are what counts."""

    sample_rate: Any = SAMPLE_RATE
    scene_embedding_size: Any = 2 * SIZE
    timestamp_embedding_size: Any = SIZE


def load_model(model_file_path: str = "") -> torch.nn.Module:
    """The model, which needs no file."""
    return Energies()


def frames_of(audio: torch.Tensor, hop: int = HOP) -> torch.Tensor:
    """Frames of a hop each, centred on samples 0, hop, 2 hop ...: (n_clips, n_frames, hop)."""
    count = audio.shape[1] // hop + 1
    before = hop // 2
    after = count * hop - audio.shape[1] - before
    return functional.pad(audio, (before, after)).view(len(audio), count, hop)


def features_of(frames: torch.Tensor) -> torch.Tensor:
    """Three numbers per frame: (n_clips, n_frames, 3)."""
    power = frames.square()
    levels = torch.stack([power.mean(2), power.amax(2)], 2)
    return torch.cat([torch.log(levels + 1e-6), frames.mean(2, keepdim=True)], 2)


def centres_of(count: int, n_clips: int, hop_ms: float = HOP_MS) -> torch.Tensor:
    """Centres in ms: (n_clips, count)."""
    return (torch.arange(count) * hop_ms).expand(n_clips, count).contiguous()


def get_timestamp_embeddings(
    audio: torch.Tensor, model: torch.nn.Module
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames and their centres."""
    embeddings = features_of(frames_of(audio))
    centres_ms = centres_of(embeddings.shape[1], len(audio)).to(audio.device)
    return embeddings, centres_ms


def get_scene_embeddings(audio: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    """Means and standard deviations over the frames: (n_clips, 6)."""
    embeddings = features_of(frames_of(audio))
    return torch.cat([embeddings.mean(1), embeddings.std(1, correction=0)], 1)
