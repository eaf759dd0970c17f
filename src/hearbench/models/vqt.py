"""The VQT baseline: log magnitudes of a variable-Q transform, without any weights.

44.1 kHz; 216 bins, 24 per octave over nine octaves from C1 (32.703 Hz to 16.27 kHz). A bin's
window is a Hann window of ``Q * sample_rate / (f + gamma / alpha)`` samples, ``Q = 1 / alpha``,
where alpha is the relative bandwidth of bins so far apart and ``gamma = 24.7 alpha / 0.108``
bends the bandwidths towards those of the ear (ERB) at low frequencies: the longest window lasts
132 ms. A magnitude is the windowed inner product with the bin's oscillation, divided by the
window's sum and multiplied by the root of its length, so that white noise is about as strong in
all bins; the embedding is ``log(magnitude + 1e-4)``. The numbers are those of
``librosa.vqt(scale=True, sparsity=0)`` up to its resampling, at any hop.

Timestamps: every ``hop_ms`` (default 50 ms). Scene: the mean over the same frames.

Sources: Schoerkhuber et al., "A Matlab toolbox for efficient perfect reconstruction
time-frequency transforms with log-frequency resolution", AES Semantic Audio 2014; alpha and the
default gamma as in librosa.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from hearbench.models.framing import embed_every
from hearbench.models.spectra import check_hop

__all__ = [
    "VqtModel",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

SAMPLE_RATE = 44100
LOWEST_HZ = 440.0 * 2.0 ** (-45 / 12)
BINS_PER_OCTAVE = 24
N_BINS = 9 * BINS_PER_OCTAVE
LOG_OFFSET = 1e-4
# 12 MB of frames at a time, whatever the clip's length.
BLOCK_FRAMES = 512


class VqtModel(torch.nn.Module):
    """The transform as one matrix: cosines, then sines, under their windows."""

    sample_rate = SAMPLE_RATE
    scene_embedding_size = N_BINS
    timestamp_embedding_size = N_BINS

    kernels: torch.Tensor

    def __init__(self, hop_ms: float = 50.0) -> None:
        super().__init__()
        self.hop_ms = hop_ms
        # Computed anew by load_model: what isn't learned is no part of a checkpoint.
        self.register_buffer("kernels", _kernels(), persistent=False)

    @property
    def frame_size(self) -> int:
        """Samples that a frame spans; even."""
        return self.kernels.shape[0]

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, frame_size) to log magnitudes (n, 216)."""
        parts = frames @ self.kernels
        magnitudes = torch.hypot(parts[:, :N_BINS], parts[:, N_BINS:])
        return torch.log(magnitudes + LOG_OFFSET)


def _kernels() -> torch.Tensor:
    ratio = 2.0 ** (2.0 / BINS_PER_OCTAVE)
    alpha = (ratio - 1.0) / (ratio + 1.0)
    hz = LOWEST_HZ * 2.0 ** (np.arange(N_BINS) / BINS_PER_OCTAVE)
    # gamma / alpha is 24.7 / 0.108 whatever alpha is.
    lengths = SAMPLE_RATE / alpha / (hz + 24.7 / 0.108)
    half = math.ceil(lengths.max() / 2)
    n = np.arange(-half, half)[:, None]
    windows = np.where(np.abs(n) < lengths / 2, 0.5 + 0.5 * np.cos(2 * np.pi * n / lengths), 0.0)
    windows *= np.sqrt(lengths) / windows.sum(0)
    phases = 2 * np.pi * hz / SAMPLE_RATE * n
    kernels = np.concatenate([windows * np.cos(phases), -windows * np.sin(phases)], 1)
    return torch.from_numpy(kernels.astype(np.float32))


def load_model(
    model_file_path: str = "",  # noqa: ARG001 - part of the HEAR API
    hop_ms: float = 50.0,
) -> VqtModel:
    """The baseline; it has no weights, so the path is ignored.

    Args:
        model_file_path: Ignored.
        hop_ms: Time between frames, of timestamps and of what the scene is the mean of.

    Raises:
        ModelError: The hop is shorter than a sample.
    """
    check_hop("hearbench.models.vqt", "hop_ms", hop_ms, SAMPLE_RATE)
    return VqtModel(hop_ms).eval()


def get_timestamp_embeddings(
    audio: torch.Tensor, model: VqtModel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log magnitudes every ``hop_ms``.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        Embeddings (n_clips, n_frames, 216) and frame centres in ms (n_clips, n_frames).
    """
    return embed_every(
        model.hop_ms,
        audio,
        sample_rate=SAMPLE_RATE,
        frame_size=model.frame_size,
        block_frames=BLOCK_FRAMES,
        network=model,
    )


def get_scene_embeddings(audio: torch.Tensor, model: VqtModel) -> torch.Tensor:
    """One embedding per clip: the mean over its frames.

    Args:
        audio: (n_clips, n_samples) in [-1, 1] at 44.1 kHz.
        model: Of ``load_model``.

    Returns:
        (n_clips, 216).
    """
    return get_timestamp_embeddings(audio, model)[0].mean(1)
