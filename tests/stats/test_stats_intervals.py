import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hearbench.stats.intervals import Interval, bootstrap_interval, score_interval, spread

SHARE = (0.0, 1.0)
RATE = (0.0, math.inf)


@pytest.mark.parametrize("right", [0, 1, 44, 60, 87, 88])
def test_accuracies_get_wilsons_interval(right: int) -> None:
    p = right / 88
    # So many degrees of freedom are the normal distribution.
    found = score_interval(p, p * (1 - p) / 88, freedom=1e9, n_clips=88, bounds=SHARE)
    expected = stats.binomtest(right, 88).proportion_ci(method="wilson")
    assert found.low == pytest.approx(expected.low, abs=1e-7)
    assert found.high == pytest.approx(expected.high, abs=1e-7)


@given(estimate=st.floats(0.01, 0.99), sd=st.floats(0.001, 0.3), level=st.sampled_from([0.8, 0.95]))
def test_ends_are_where_the_score_test_rejects(estimate: float, sd: float, level: float) -> None:
    found = score_interval(estimate, sd**2, freedom=30, n_clips=31, level=level, bounds=SHARE)
    t = stats.t.ppf((1 + level) / 2, 30)
    for end in (found.low, found.high):
        assert 0 <= end <= 1
        variance = sd**2 * end * (1 - end) / (estimate * (1 - estimate))
        assert (estimate - end) ** 2 == pytest.approx(t**2 * variance, rel=1e-6, abs=1e-12)
    assert found.low < estimate < found.high


def test_rates_likewise() -> None:
    found = score_interval(0.4, 0.01, freedom=19, n_clips=20, bounds=RATE)
    t = stats.t.ppf(0.975, 19)
    for end in (found.low, found.high):
        assert (0.4 - end) ** 2 == pytest.approx(t**2 * 0.01 * end / 0.4)
    # Not one error in 20 clips: as a Poisson count with as many units.
    nothing = score_interval(0.0, 0.0, freedom=1e9, n_clips=20, bounds=RATE)
    assert nothing.low == 0.0
    assert nothing.high == pytest.approx(stats.norm.ppf(0.975) ** 2 / 20, rel=1e-6)


def test_other_bounds_are_moved_and_stretched() -> None:
    of_share = score_interval(0.7, 0.01, freedom=9, n_clips=10, bounds=SHARE)
    found = score_interval(0.4, 0.04, freedom=9, n_clips=10, bounds=(-1.0, 1.0))
    assert found.low == pytest.approx(2 * of_share.low - 1)
    assert found.high == pytest.approx(2 * of_share.high - 1)


def test_without_bounds_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=25)
    rng = np.random.default_rng(1)
    replicates = values[rng.integers(0, 25, (20000, 25))].mean(axis=1)
    found = bootstrap_interval(float(values.mean()), replicates, n_clips=25)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)


def test_all_right_is_no_certainty() -> None:
    found = bootstrap_interval(1.0, np.ones(1000), n_clips=88, bounds=SHARE)
    assert found.high == 1.0
    assert 0.95 < found.low < 0.96
    wrong = bootstrap_interval(0.0, np.zeros(1000), n_clips=[44, 44], bounds=SHARE)
    assert (wrong.low, wrong.high) == pytest.approx((0.0, 1 - found.low), abs=1e-3)


def test_variance_of_the_mean_over_folds() -> None:
    rng = np.random.default_rng(2)
    variance, freedom = spread(rng.normal(0, 0.1, 50000), [11, 11])
    assert variance == pytest.approx(0.01 * 11 / 10, rel=0.03)
    assert freedom == 20


def test_seeds_add_their_variance() -> None:
    rng = np.random.default_rng(3)
    replicates = rng.normal(0.5, 0.02, 50000)
    scores = [0.46, 0.50, 0.54]
    variance, freedom = spread(replicates, 101, scores)
    of_clips, of_seeds = 0.0004 * 1.01, 0.0016 / 3
    assert variance == pytest.approx(of_clips + of_seeds, rel=0.02)
    expected = (of_clips + of_seeds) ** 2 / (of_clips**2 / 100 + of_seeds**2 / 2)
    assert freedom == pytest.approx(expected, rel=0.02)
    alone = bootstrap_interval(0.5, replicates, n_clips=101, bounds=SHARE)
    one = bootstrap_interval(0.5, replicates, n_clips=101, bounds=SHARE, seed_scores=[0.5])
    assert alone == one
    both = bootstrap_interval(0.5, replicates, n_clips=101, bounds=SHARE, seed_scores=scores)
    assert both.half_width > 1.5 * alone.half_width


def test_undefined_and_infinite() -> None:
    some = np.array([0.4, np.nan, 0.6, 0.5])
    assert bootstrap_interval(0.5, some, n_clips=9) == bootstrap_interval(
        0.5, some[[0, 2, 3]], n_clips=9
    )
    for estimate, replicates in (
        (math.nan, np.ones(9)),
        (0.5, np.full(9, np.nan)),
        (0.5, np.array([0.5, np.nan, np.nan, np.nan])),
    ):
        found = bootstrap_interval(estimate, replicates, n_clips=9)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    d_primes = np.append(np.linspace(1, 2, 96), np.full(5, np.inf))
    found = bootstrap_interval(1.5, d_primes, n_clips=9)
    assert found.low == pytest.approx(1.02, abs=0.02)
    assert found.high == math.inf
    assert bootstrap_interval(math.inf, d_primes, n_clips=9).high == math.inf


def test_an_interval_knows_what_is_in_it() -> None:
    interval = Interval(0.2, 0.5)
    assert 0.2 in interval
    assert 0.51 not in interval
    assert interval.half_width == pytest.approx(0.15)
