"""Acoustic fingerprints: how the differences between neighbouring bands rise and fall.

Whether such a difference rises or falls survives gain, codecs and some noise. The idea is that of
Haitsma and Kalker (A Highly Robust Audio Fingerprinting System, ISMIR 2002); here keys are made of
a third of the bands each, at three times, so that noise that covers some bands leaves the other
keys as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["FRAME", "HOP", "KEY_FRAMES", "RATE", "Keys", "keys_of", "read_at_rate"]

RATE = 8000
"""Rate in Hz at which all audio is compared."""
FRAME = 1024
"""Samples of a frame."""
HOP = 64
"""Samples from one frame to the next."""
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 3300.0
_N_GROUPS, _BITS = 3, 8
_LAG = 5  # frames between what is compared
_APART, _N_TIMES = 5, 3  # frames between the times of a key, and their number
KEY_FRAMES = _LAG + _APART * (_N_TIMES - 1)
"""Frames that a key spans beyond its first."""
# An amplitude of one step of 16 bits.
_LEAST_POWER = 2.0**-30

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Keys:
    """Fingerprint of a stretch of audio.

    Attributes:
        values: Keys, uint32 of shape (n,), of all groups of bands.
        frames: The first frame of each.
    """

    values: npt.NDArray[np.uint32]
    frames: npt.NDArray[np.int32]


def read_at_rate(path: Path) -> Floats:
    """Reads audio of any format as mono at `RATE`, in -1 to 1, of shape (n_samples,).

    Raises:
        AudioError: It can't be read.
    """
    from hearbench.audio import read_mono16, resample16

    samples, rate = read_mono16(path)
    at_rate = resample16(samples, rate, RATE).astype(np.float32)
    at_rate *= np.float32(2.0**-15)
    return at_rate


def keys_of(
    audio: Floats, *, range_db: float | None = None, stride: int = 1, n_doubtful: int = 0
) -> Keys:
    """Computes the keys of audio at `RATE`.

    Args:
        range_db: Frames that are so much below the loudest have none; by default only silence.
        stride: From how many frames one is taken.
        n_doubtful: So many of a key's bits, those nearest to being others, are taken both ways.
    """
    from scipy.fft import rfft

    n_frames = (len(audio) - FRAME) // HOP + 1
    if n_frames <= KEY_FRAMES:
        return Keys(np.empty(0, np.uint32), np.empty(0, np.int32))
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP]
    spectra = rfft(frames * np.hanning(FRAME).astype(np.float32), axis=1)
    power = spectra.real**2 + spectra.imag**2
    edges = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _N_GROUPS * _BITS + 2) * FRAME / RATE
    bins = np.round(edges).astype(int)
    bands = np.add.reduceat(power[:, : bins[-1]], bins[:-1], axis=1)
    level = np.log(bands + 1e-20)
    slope = np.diff(level, axis=1)
    rise = (slope[_LAG:] - slope[:-_LAG]).reshape(-1, _N_GROUPS, _BITS)
    n_keys = n_frames - KEY_FRAMES
    rises = np.concatenate([rise[_APART * i :][:n_keys] for i in range(_N_TIMES)], axis=2)
    values = (rises > 0) @ (1 << np.arange(_BITS * _N_TIMES, dtype=np.uint32))
    values = (values + (np.arange(_N_GROUPS, dtype=np.uint32) << 24))[:, :, None]
    if n_doubtful:
        doubtful = np.argpartition(np.abs(rises), n_doubtful, axis=2)[:, :, :n_doubtful]
        for i in range(n_doubtful):
            flip = np.uint32(1) << doubtful[:, :, i : i + 1].astype(np.uint32)
            values = np.concatenate([values, values ^ flip], axis=2)
    # Of a Hann window: sum of its squares is 3/8 of its length.
    loud = bands.sum(axis=1) * (2 / (FRAME * FRAME * 0.375))
    least = _LEAST_POWER
    if range_db is not None:
        least = max(least, float(loud.max()) * 10 ** (-range_db / 10))
    heard = loud > least
    whole = heard[:n_keys] & heard[KEY_FRAMES:]
    whole[np.arange(n_keys) % stride > 0] = False
    where = np.flatnonzero(whole).astype(np.int32)
    return Keys(values[where].ravel(), np.repeat(where, values[0].size))
