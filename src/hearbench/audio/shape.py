"""Lengths in samples: how many a duration has, and bringing audio to that many."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["pad_or_trim", "samples_of"]

Sample = TypeVar("Sample", bound=np.generic)


def samples_of(duration_s: float, rate: int) -> int:
    """The number of samples of a duration in seconds at a rate in Hz, halves rounded up.

    This is the benchmark's rule, ``floor(duration * rate + 0.5)``.
    """
    return math.floor(duration_s * rate + 0.5)


def pad_or_trim(x: npt.NDArray[Sample], n: int) -> npt.NDArray[Sample]:
    """The first ``n`` samples of ``x`` (n_samples,), with zeros at the end where it is shorter.

    The dtype stays. Audio that already has ``n`` samples is returned as it is, not copied.

    Raises:
        ValueError: ``n`` is negative.
    """
    if n < 0:
        raise ValueError(f"a length can't be negative, got {n}")
    if len(x) >= n:
        return x[:n]
    padded = np.zeros(n, dtype=x.dtype)
    padded[: len(x)] = x
    return padded
