"""What the spectrogram networks share: spectra, mel filters, and the reading of their weights."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hearbench.errors import ModelError

__all__ = [
    "assign_weights",
    "check_hop",
    "htk_filterbank",
    "read_state_dict",
    "stft_magnitudes",
]


def stft_magnitudes(
    audio: torch.Tensor, window: torch.Tensor, n_fft: int, hop: int
) -> torch.Tensor:
    """Magnitudes of windowed transforms; the first begins at sample 0, nothing is padded.

    Args:
        audio: (n, n_samples), at least as long as the window.
        window: (window_size,), not longer than the transform.
        n_fft: Samples of the transform; what the window leaves free is zeros.
        hop: Samples between two transforms.

    Returns:
        (n, n_frames, n_fft // 2 + 1).
    """
    frames = audio.unfold(-1, len(window), hop) * window
    magnitudes: torch.Tensor = torch.fft.rfft(frames, n=n_fft).abs()
    return magnitudes


def htk_filterbank(
    sample_rate: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float
) -> torch.Tensor:
    """Triangular mel filters of height 1, as in HTK: their sides are straight in mel, not in Hz.

    ``mel = 1127 ln(1 + hz / 700)``; the bin at 0 Hz belongs to no band. Source: Young et al.,
    The HTK Book.

    Args:
        sample_rate: In Hz.
        n_fft: Samples of the transform.
        n_mels: Number of bands.
        low_hz: Where the first band begins.
        high_hz: Where the last band ends.

    Returns:
        float32 (n_fft // 2 + 1, n_mels).
    """
    bins = _mel(np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1))[:, None]
    low_mel, high_mel = _mel(np.array([low_hz, high_hz]))
    edges = np.linspace(low_mel, high_mel, n_mels + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[0] = 0.0
    return torch.from_numpy(filters.astype(np.float32))


def _mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log1p(hz / 700.0)


def check_hop(module: str, option: str, hop_ms: float, sample_rate: int) -> None:
    """Refuses hops that give no frames.

    Raises:
        ModelError: The hop isn't a finite time of at least one sample.
    """
    finite = math.isfinite(hop_ms)
    if not finite or Fraction(str(hop_ms)) * sample_rate < 1000:
        raise ModelError(
            f"{module}: {option} is {hop_ms}; it must be a time in ms of at least one sample "
            f"({1000 / sample_rate:.3g} ms at {sample_rate} Hz)."
        )


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a PyTorch state dict, without running code from the file.

    Raises:
        ModelError: The file can't be read, or holds something else.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} isn't a weight file that torch can read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds a {type(found).__name__}; a state dict is needed.")
    return {str(key): value for key, value in found.items() if isinstance(value, torch.Tensor)}


def assign_weights(
    network: torch.nn.Module, weights: Mapping[str, torch.Tensor], path: Path, what: str
) -> None:
    """Gives a network built on the device "meta" its tensors, and freezes it.

    Args:
        network: Whose state dict says which names and shapes there must be. Counters of
            batches, which only training uses, may be missing.
        weights: Exactly those names.
        path: Where they come from, for the message.
        what: What they should be, for the message.

    Raises:
        ModelError: A tensor is missing, of another shape, or one too many.
    """
    tensors = {key: value.to(torch.float32) for key, value in weights.items()}
    for key, expected in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            tensors[key] = torch.zeros((), dtype=torch.int64)
            continue
        found = tuple(tensors[key].shape) if key in tensors else None
        if found != tuple(expected.shape):
            raise ModelError(
                f"{path} doesn't hold {what}: {key} should be {tuple(expected.shape)} and is "
                f"{found or 'missing'}."
            )
    unknown = sorted(tensors.keys() - network.state_dict().keys())
    if unknown:
        raise ModelError(f"{path} doesn't hold {what}: it has no place for {unknown[0]}.")
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False).eval()
