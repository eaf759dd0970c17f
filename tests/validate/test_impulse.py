from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from hearbench.validate.impulse import Answered, align, answered, level_of, standing_out

HOP_MS = 20.0
AT_MS = [300.0 * number for number in range(9)]
TIMES_MS = np.arange(100, dtype=np.float64) * HOP_MS


def bump(centre_ms: float, half_ms: float) -> npt.NDArray[np.float64]:
    return np.clip(1 - np.abs(TIMES_MS - centre_ms) / half_ms, 0, None)


def test_a_bounded_answer_is_placed_by_its_middle() -> None:
    # A window of 400 ms that hears its beginning far better than its end.
    window = np.abs(TIMES_MS - 1000) <= 200
    change = np.where(window, 10.0 - (TIMES_MS - 800) / 45, 0.0)
    place = answered(TIMES_MS, change, HOP_MS)
    assert place is not None
    assert place.middle_ms == 1000.0
    assert place.centroid_ms < 920


def test_an_answer_over_a_floor_is_placed_by_its_centroid() -> None:
    place = answered(TIMES_MS, 0.2 + bump(700.0, 100.0), HOP_MS)
    assert place is not None
    assert place.middle_ms is None
    assert place.centroid_ms == pytest.approx(700.0)
    # Above half of the height, which is 50 ms on either side: 660 ... 740.
    assert place.width_ms == 5 * HOP_MS


@pytest.mark.parametrize(
    "change", [np.zeros(100), np.ones(100), 1 + 0.9 * bump(500.0, 50.0), np.full(100, np.nan)]
)
def test_a_flat_answer_is_none(change: npt.NDArray[np.float64]) -> None:
    assert answered(TIMES_MS, change, HOP_MS) is None


def places(errors_ms: npt.NDArray[np.float64], middle_ms: float | None) -> list[Answered]:
    return [
        Answered(None if middle_ms is None else true + middle_ms, true + error, 40.0)
        for true, error in zip(AT_MS, errors_ms, strict=True)
    ]


def test_the_lesser_of_two_estimates_counts() -> None:
    found = align(AT_MS, places(np.full(9, 80.0), middle_ms=-5.0))
    assert found.offset_ms == pytest.approx(-5.0)
    assert found.bounded
    # A causal model answers where the sound is, though it sees only what was before.
    assert align(AT_MS, places(np.full(9, 5.0), middle_ms=-200.0)).offset_ms == pytest.approx(5.0)


def test_wild_sounds_move_nothing() -> None:
    errors = np.full(9, 30.0)
    errors[[2, 6]] = [900.0, -1500.0]
    found = align(AT_MS, places(errors, middle_ms=None))
    assert (found.offset_ms, found.slope, found.scatter_ms) == (30.0, 0.0, 0.0)
    assert not found.bounded


def test_a_wrong_rate_is_a_slope() -> None:
    found = align(AT_MS, places(0.378 * np.array(AT_MS), middle_ms=None))
    assert found.slope == pytest.approx(0.378)
    assert found.scatter_ms == pytest.approx(0.0, abs=1e-9)


def test_level() -> None:
    assert level_of(np.array([100.0, 1.0, 2.0, 3.0, 4.0, -50.0, 2.0, 3.0])) == 2.5


def test_what_stands_out() -> None:
    noise = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    noise[:, 3] = 7.0  # a number that never changes must not divide by zero
    noise[1234] += 50.0
    found = standing_out(noise)
    assert found.shape == (3000,)
    assert int(found.argmax()) == 1234
    assert found[1234] > 10 * np.delete(found, 1234).max()
