"""Resampling of 16-bit audio with SoX's resampler at high quality."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from hearbench.audio.shape import pad_or_trim

__all__ = ["resample16", "resampled_length"]

_LOWEST, _HIGHEST = -32768, 32767


def resampled_length(n: int, rate_in: int, rate_out: int) -> int:
    """``floor(n * rate_out / rate_in + 0.5)`` in exact integers."""
    return (2 * n * rate_out + rate_in) // (2 * rate_in)


def resample16(x: npt.NDArray[np.int16], rate_in: int, rate_out: int) -> npt.NDArray[np.int16]:
    """Resamples mono 16-bit audio (n_samples,) from one rate in Hz to another.

    The samples go through libsoxr in float64 at its quality "HQ" and are rounded half to even and
    clipped, without dither: bit for bit what ffmpeg's soxr gives with dither off. The result has
    ``resampled_length(n, rate_in, rate_out)`` samples. A rate that is right already changes
    nothing.
    """
    if rate_in == rate_out:
        return x
    n = resampled_length(len(x), rate_in, rate_out)
    if len(x) == 0 or n == 0:
        return np.zeros(n, dtype=np.int16)
    y = soxr.resample(x.astype(np.float64), rate_in, rate_out, quality="HQ")
    # libsoxr may give a sample more or less where the length falls on a half.
    return pad_or_trim(np.clip(np.rint(y), _LOWEST, _HIGHEST).astype(np.int16), n)
