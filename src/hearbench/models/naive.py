"""The naive baseline of HEAR 2021: log-mel spectra times a fixed random matrix.

44.1 kHz; frames of 4096 samples under a Hann window, power spectrum, 256 mel bands (Slaney's
scale and area normalisation, from 0 Hz to half the sample rate, as librosa's default),
``log(x + 1e-4)``, times a random 256 x 4096 matrix. Timestamps: every 50 ms. Scene: the mean
over frames every 250 ms. It needs no weights and knows nothing; what beats it by little has
learned little.

Source: the HEAR 2021 baseline "naive" (Turian et al., 2022, arXiv:2203.03022); the mel scale
from Slaney, Auditory Toolbox (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from hearbench.models.framing import embed_every

__all__ = [
    "NaiveModel",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "mel_filterbank",
]

SAMPLE_RATE = 44100
FRAME_SIZE = 4096
N_MELS = 256
EMBEDDING_SIZE = 4096
LOG_OFFSET = 1e-4
SEED = 0
TIMESTAMP_HOP_MS = 50.0
SCENE_HOP_MS = 250.0
# 8 MB of frames at a time, whatever the clip's length.
BLOCK_FRAMES = 512


def mel_filterbank(sample_rate: int, frame_size: int, n_mels: int) -> npt.NDArray[np.float32]:
    """Triangular mel filters on Slaney's scale, each of area 1 over Hz.

    Args:
        sample_rate: In Hz; the filters span 0 Hz to half of it.
        frame_size: Samples of the transform.
        n_mels: Number of bands.

    Returns:
        (n_mels, frame_size // 2 + 1).
    """
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate / 2), n_mels + 2))
    bins = np.linspace(0.0, sample_rate / 2, frame_size // 2 + 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    filters: npt.NDArray[np.float32] = (triangles * 2.0 / (high - low)).astype(np.float32)
    return filters


# Slaney's scale: linear below 1 kHz (15 mel), above it 27 mel per factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ_PER_MEL
    return _BREAK_MEL + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


class NaiveModel(torch.nn.Module):
    """Log-mel bands and their random projection."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = EMBEDDING_SIZE
    timestamp_embedding_size = EMBEDDING_SIZE

    window: torch.Tensor
    filters: torch.Tensor
    projection: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = mel_filterbank(SAMPLE_RATE, FRAME_SIZE, N_MELS)
        generator = torch.Generator().manual_seed(SEED)
        projection = torch.rand(N_MELS, EMBEDDING_SIZE, generator=generator)
        # Made anew by load_model: what isn't learned is no part of a checkpoint.
        self.register_buffer("window", torch.hann_window(FRAME_SIZE), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters.T.copy()), persistent=False)
        self.register_buffer("projection", projection / math.sqrt(N_MELS), persistent=False)

    def log_mel(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, 4096) to log-mel bands (n, 256)."""
        spectrum = torch.view_as_real(torch.fft.rfft(frames * self.window))
        power = spectrum.square().sum(-1)
        return torch.log(power @ self.filters + LOG_OFFSET)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, 4096) to embeddings (n, 4096)."""
        return self.log_mel(frames) @ self.projection


def load_model(model_file_path: str = "") -> NaiveModel:  # noqa: ARG001 - part of the HEAR API
    """The baseline; it has no weights, so the path is ignored."""
    return NaiveModel()


def get_timestamp_embeddings(
    audio: torch.Tensor, model: NaiveModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings every 50 ms.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, 4096) and frame centres in ms (n_clips, n_frames).
    """
    return _embed(audio, TIMESTAMP_HOP_MS, model)


def get_scene_embeddings(audio: torch.Tensor, model: NaiveModel) -> torch.Tensor:
    """One embedding per clip: the mean over frames every 250 ms.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, 4096).
    """
    bands, _ = _embed(audio, SCENE_HOP_MS, model.log_mel)
    # The projection is linear, so the mean may come first and is projected once per clip.
    return bands.mean(1) @ model.projection


def _embed(
    audio: torch.Tensor, hop_ms: float, network: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    return embed_every(
        hop_ms,
        audio,
        sample_rate=SAMPLE_RATE,
        frame_size=FRAME_SIZE,
        block_frames=BLOCK_FRAMES,
        network=network,
    )
