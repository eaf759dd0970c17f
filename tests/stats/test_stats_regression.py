"""Scores of numbers as functions of how often each clip counts, and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.metrics import get_regression_score, regression_score_names
from hearbench.stats.clip_scores import regression_clip_score
from hearbench.stats.intervals import score_interval


@pytest.mark.parametrize("name", regression_score_names())
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 30), levels=st.sampled_from([2, 1000]))
@settings(max_examples=30, deadline=None)
def test_a_resample_has_the_score_of_repeated_clips(
    name: str, seed: int, n: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, levels, (n, 2)) / levels + 100.0
    p = (y + 0.3 * rng.standard_normal((n, 2))).astype(np.float32)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=5)
    score = regression_clip_score(name, p, y)
    found = score(weights)
    for row, value in zip(weights, found, strict=True):
        index = np.repeat(np.arange(n), row)
        expected = get_regression_score(name)(p[index], y[index])
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-6)
    low, high = score.bounds
    assert ((found >= low) & (found <= high) | np.isnan(found)).all()


def test_predictions_and_targets_must_fit() -> None:
    with pytest.raises(ValueError, match="differ"):
        regression_clip_score("r2", np.zeros((3, 1)), np.zeros((3, 2)))


def test_an_interval_of_r2_stays_below_1() -> None:
    one = score_interval(0.99, 0.01**2, freedom=99, n_clips=100, bounds=(-np.inf, 1.0))
    assert 0.9 < one.low < 0.99 < one.high < 1.0
    # The same as of what is missing to 1, which has a least value.
    other = score_interval(0.01, 0.01**2, freedom=99, n_clips=100, bounds=(0.0, np.inf))
    assert (1 - one.high, 1 - one.low) == pytest.approx((other.low, other.high))
