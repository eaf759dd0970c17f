from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from hearbench.audio.resample import resample16, resampled_length

RATES = (8000, 16000, 22050, 32000, 44100, 48000)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.sampled_from(RATES), st.sampled_from(RATES))
def test_the_length_follows_the_rule(n: int, rate_in: int, rate_out: int) -> None:
    x = np.zeros(n, np.int16)
    y = resample16(x, rate_in, rate_out)
    assert y.dtype == np.int16
    assert len(y) == resampled_length(n, rate_in, rate_out)
    assert len(y) == int(np.floor(n * rate_out / rate_in + 0.5))


def test_a_rate_that_is_right_changes_nothing() -> None:
    x = np.arange(-50, 50, dtype=np.int16)
    assert resample16(x, 16000, 16000) is x


@pytest.mark.parametrize("rate_out", [16000, 22050, 48000])
def test_a_tone_keeps_its_pitch_and_level(rate_out: int) -> None:
    t = np.arange(44100) / 44100
    x = np.rint(12000 * np.sin(2 * np.pi * 1000 * t)).astype(np.int16)
    y = resample16(x, 44100, rate_out)
    expected = 12000 * np.sin(2 * np.pi * 1000 * np.arange(rate_out) / rate_out)
    middle = slice(rate_out // 10, -rate_out // 10)
    assert np.abs(y[middle] - expected[middle]).max() <= 2  # rounding, twice


def test_it_agrees_with_another_resampler_below_the_cutoff() -> None:
    rng = np.random.default_rng(0)
    smooth = np.convolve(rng.standard_normal(20000), np.hanning(64), "same")
    x = np.rint(smooth / np.abs(smooth).max() * 20000).astype(np.int16)
    y = resample16(x, 32000, 16000)
    other = resample_poly(x.astype(np.float64), 1, 2, window=("kaiser", 10.0))
    middle = slice(100, -100)
    assert np.abs(y[middle] - other[middle]).max() < 20  # of 20000


def test_what_overshoots_is_clipped_not_wrapped() -> None:
    x = np.where(np.arange(4000) // 50 % 2, 32767, -32768).astype(np.int16)
    y = resample16(x, 44100, 48000)
    inner = y[1000:3000].astype(int)
    assert inner.max() == 32767
    assert inner.min() == -32768
    # A wrapped overshoot would jump between the ends from one sample to the next and back.
    plateau = np.flatnonzero(np.abs(np.diff(inner)) > 60000)
    assert len(plateau) == 0
