"""Test signals: the same for every run, within [-1, 1].

Conventions: clips are float32 (n_clips, n_samples); times are in ms from the clip's start.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["add_bursts", "contrasting", "dc", "samples", "silence", "square", "white_noise"]

Clips = npt.NDArray[np.float32]

_SEED = 20211
_LOUD, _MEDIUM, _SOFT = 0.9, 0.3, 0.02
_TONES_HZ = (220.0, 440.0, 660.0, 1320.0, 2640.0)
_SQUARE_HZ = 200.0
_DC = 0.5


def samples(duration_s: float, sample_rate: int) -> int:
    """A duration in samples, at least one."""
    return max(1, round(duration_s * sample_rate))


def white_noise(n_clips: int, n_samples: int, level: float = 1.0, seed: int = 0) -> Clips:
    """Noise of even distribution in [-level, level]."""
    noise = np.random.default_rng((_SEED, seed)).random((n_clips, n_samples), dtype=np.float32)
    noise *= 2 * level
    noise -= level
    return noise


def silence(n_samples: int) -> Clips:
    """One clip of zeros."""
    return np.zeros((1, n_samples), np.float32)


def square(n_samples: int, sample_rate: int) -> Clips:
    """One clip that is always at 1 or -1, 200 Hz."""
    phase = np.arange(n_samples) * (_SQUARE_HZ / sample_rate) % 1.0
    return np.where(phase < 0.5, 1.0, -1.0).astype(np.float32)[None]


def dc(n_samples: int) -> Clips:
    """One clip of a constant that isn't zero."""
    return np.full((1, n_samples), _DC, np.float32)


def contrasting(n_samples: int, sample_rate: int, seed: int = 0) -> Clips:
    """Four clips that have little in common: loud and soft noise, tones, and bursts.

    What is normalised over a batch of them moves every one.
    """
    noise = white_noise(4, n_samples, seed=seed)
    noise[0] *= _LOUD
    noise[1] *= _SOFT
    time_s = np.arange(n_samples) / sample_rate
    tones = sum(np.sin(2 * np.pi * hz * (1 + 0.1 * seed) * time_s) for hz in _TONES_HZ)
    noise[2] = _MEDIUM * tones / len(_TONES_HZ) + _SOFT * noise[2]
    noise[3] *= _MEDIUM * (np.sin(2 * np.pi * 3.0 * time_s) > 0.6)
    return noise


def add_bursts(
    clips: Clips, at_ms: Sequence[float], length_ms: float, sample_rate: int, level: float = 0.8
) -> None:
    """Adds short sounds of many frequencies to every clip, each centred on a time.

    They are tones with noise under a Hann window; parts beyond the clip are left out.
    """
    half = max(1, round(length_ms * sample_rate / 2000))
    place = np.arange(-half, half + 1)
    time_s = place / sample_rate
    usable = [hz for hz in (*_TONES_HZ, 5280.0) if hz < sample_rate / 2]
    tones = sum(np.cos(2 * np.pi * hz * time_s) for hz in usable) / len(usable)
    noise = white_noise(1, len(place), seed=1)[0]
    shape = np.cos(np.pi * place / (2 * half + 2)) ** 2
    burst = (level * shape * (0.7 * tones + 0.3 * noise)).astype(np.float32)
    for time_ms in at_ms:
        centre = round(time_ms * sample_rate / 1000)
        first, last = max(0, centre - half), min(clips.shape[1], centre + half + 1)
        if first < last:
            clips[:, first:last] += burst[first - centre + half : last - centre + half]
