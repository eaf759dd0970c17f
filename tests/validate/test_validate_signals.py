from __future__ import annotations

import numpy as np
import pytest

from hearbench.validate.behaviour import moved
from hearbench.validate.signals import add_bursts, contrasting, dc, samples, square, white_noise

RATE = 16000


def test_noise_is_within_range_and_always_the_same() -> None:
    noise = white_noise(2, 50_000)
    assert noise.dtype == np.float32
    assert 0.999 < np.abs(noise).max() <= 1.0
    # Even distribution: 1 / sqrt(3).
    assert noise.std() == pytest.approx(0.57735, rel=0.01)
    assert np.array_equal(noise, white_noise(2, 50_000))
    assert not np.array_equal(noise, white_noise(2, 50_000, seed=1))
    assert np.abs(white_noise(1, 50_000, 0.1)).max() <= 0.1


def test_a_square_is_always_full_scale() -> None:
    wave = square(RATE, RATE)
    assert set(np.unique(wave)) == {-1.0, 1.0}
    assert (np.diff(np.sign(wave[0])) != 0).sum() == 399
    assert np.unique(dc(100)).tolist() == [0.5]


def test_clips_differ_in_level() -> None:
    clips = contrasting(RATE, RATE)
    levels = np.sqrt(np.square(clips).mean(1))
    assert np.abs(clips).max() <= 1.0
    assert levels.max() / levels.min() > 20


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_bursts_are_centred(rate: int) -> None:
    clips = np.zeros((1, 2 * rate), np.float32)
    add_bursts(clips, [500.0, 1250.0], 10.0, rate)
    power = np.square(clips[0])
    for at_ms in (500, 1250):
        near = slice(rate * (at_ms - 20) // 1000, rate * (at_ms + 20) // 1000)
        middle = (np.arange(2 * rate)[near] * power[near]).sum() / power[near].sum()
        assert middle * 1000 / rate == pytest.approx(at_ms, abs=0.6)
        power[near] = 0.0
    assert power.max() == 0.0
    assert 0.3 < np.abs(clips).max() <= 0.8


def test_bursts_may_reach_beyond_the_clip() -> None:
    clips = white_noise(1, 100, 0.1)
    add_bursts(clips, [0.0, 6.0, 5000.0], 10.0, RATE)
    assert np.abs(clips).max() <= 1.7


def test_samples() -> None:
    assert (samples(1.07, RATE), samples(1e-9, RATE)) == (17120, 1)


def test_moved_is_relative_to_variation() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 32)).astype(np.float32)
    assert moved(rows, rows) == 0.0
    # Normal numbers vary by 1; the clip that moved most counts.
    other = rows.copy()
    other[2] += 0.1
    assert moved(rows, other) == pytest.approx(0.1, rel=0.03)
    assert moved(1000 * rows, 1000 * other) == pytest.approx(moved(rows, other), rel=1e-3)


def test_moved_bears_with_rounding_of_large_constants() -> None:
    flat = np.full((4, 32), 1e4, np.float32)
    assert moved(flat, flat * np.float32(1 + 1e-6)) < 1e-3


def test_other_shapes_and_nan_are_infinitely_far() -> None:
    rows = np.ones((4, 3), np.float32)
    broken = rows.copy()
    broken[0, 0] = np.nan
    assert moved(rows, rows[:2]) == moved(rows, broken) == np.inf
    assert moved(broken, broken) == 0.0
