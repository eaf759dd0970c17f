"""Variance by source, against variances that are known because the data are made with them."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from hearbench.results.variance import Term, Variance, variance_of

Floats = npt.NDArray[np.float64]
N = 30


def made_up(
    rng: np.random.Generator,
    n_seeds: int,
    n_folds: int,
    *,
    fold: float = 0.0,
    clips: float = 0.0,
    seed: float = 0.0,
    run: float = 0.0,
    clips_of_run: float = 0.0,
) -> Term:
    """Scores that are means over N clips, each with deviations of its own; the true mean is 0."""
    values = (
        rng.normal(0, fold, (1, n_folds, 1))
        + rng.normal(0, seed, (n_seeds, 1, 1))
        + rng.normal(0, run, (n_seeds, n_folds, 1))
        + rng.normal(0, clips * np.sqrt(N), (1, n_folds, N))
        + rng.normal(0, clips_of_run * np.sqrt(N), (n_seeds, n_folds, N))
    )
    drawn = rng.multinomial(N, np.full(N, 1 / N), size=(n_folds, 80)) / N
    return Term(values.mean(axis=2), np.einsum("skn,krn->skr", values, drawn))


@pytest.mark.parametrize(
    ("n_seeds", "n_folds", "spread"),
    [
        (1, 1, {"clips": 1.0}),
        (4, 1, {"clips": 1.0, "seed": 2.0, "clips_of_run": 1.0}),
        (1, 6, {"clips": 1.0, "fold": 1.5}),
        (4, 6, {"fold": 2.0, "clips": 1.0, "seed": 1.5, "run": 1.0, "clips_of_run": 1.0}),
    ],
)
def test_parts_and_coverage_are_those_that_the_data_were_made_with(
    n_seeds: int, n_folds: int, spread: dict[str, float]
) -> None:
    rng = np.random.default_rng(n_seeds * 10 + n_folds)
    found: list[Variance] = []
    covered = 0
    n_trials = 500
    for _ in range(n_trials):
        term = made_up(rng, n_seeds, n_folds, **spread)
        variance = variance_of([term], [N] * n_folds)
        assert variance is not None
        found.append(variance)
        covered += 0.0 in variance.interval(float(term.points.mean()), 0.95)
    get = spread.get
    shared = get("clips", 0) ** 2 + get("clips_of_run", 0) ** 2 / n_seeds
    of_seeds = (get("seed", 0) ** 2 + get("run", 0) ** 2 / n_folds) / n_seeds
    assert np.mean([v.clips for v in found]) == pytest.approx(shared / n_folds, rel=0.08)
    if n_seeds == 1:
        assert all(v.seeds is None for v in found)
    else:
        mean = np.mean([v.seeds for v in found if v.seeds is not None])
        assert mean == pytest.approx(of_seeds, rel=0.15)
    if n_folds == 1:
        assert all(v.folds is None for v in found)
    else:
        mean = np.mean([v.folds for v in found if v.folds is not None])
        assert mean == pytest.approx(get("fold", 0) ** 2 / n_folds, rel=0.2)
    assert 0.93 <= covered / n_trials <= 0.975


def test_noise_of_the_clips_is_not_counted_again_as_that_of_seeds_and_folds() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        term = made_up(rng, 5, 5, clips=1.0, clips_of_run=2.0)
        variance = variance_of([term], [N] * 5)
        assert variance is not None
        found.append((variance.clips, variance.seeds or 0.0, variance.folds or 0.0))
    clips, seeds, folds = np.mean(found, axis=0)
    # Truncation at 0 leaves something; counted again, seeds would have 0.16 and folds 0.36.
    assert clips == pytest.approx((1 + 4 / 5) / 5, rel=0.08)
    assert seeds < 0.06
    assert folds < 0.12


def test_the_difference_of_two_models_has_no_noise_that_both_share() -> None:
    rng = np.random.default_rng(5)
    one, other = (made_up(rng, 1, 3, clips=1.0) for _ in range(2))
    same = Term(one.points + 0.25, one.replicates + 0.25)
    variance = variance_of([same, Term(one.points, one.replicates, -1.0)], [N] * 3)
    assert variance is not None
    assert variance.total == pytest.approx(0, abs=1e-20)
    apart = variance_of([one, Term(other.points, other.replicates, -1.0)], [N] * 3)
    alone = [variance_of([term], [N] * 3) for term in (one, other)]
    assert apart is not None
    assert apart.clips == pytest.approx(sum(v.clips for v in alone if v), rel=0.6)
    assert apart.clips > max(v.clips for v in alone if v)


def test_with_clips_alone_the_test_is_a_paired_t_test() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(0.3, 1, N), rng.normal(0, 1, N)
    drawn = rng.multinomial(N, np.full(N, 1 / N), size=20_000) / N
    terms = [
        Term(np.array([[x.mean()]]), (drawn @ x)[None, None], sign)
        for x, sign in ((a, 1.0), (b, -1.0))
    ]
    variance = variance_of(terms, [N])
    assert variance is not None
    expected = stats.ttest_rel(a, b)
    difference = float(a.mean() - b.mean())
    assert variance.p_value(difference) == pytest.approx(expected.pvalue, rel=0.05)
    interval = variance.interval(difference, 0.95)
    low, high = expected.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)


def test_with_folds_that_say_more_than_clips_it_is_a_t_interval_over_folds() -> None:
    points = np.array([[0.1, 0.5, 0.9, 0.2]])
    rng = np.random.default_rng(0)
    replicates = points[..., None] + rng.normal(0, 1e-6, (1, 4, 500))
    variance = variance_of([Term(points, replicates)], [1000] * 4)
    assert variance is not None
    low, high = stats.t.interval(0.9, 3, loc=points.mean(), scale=stats.sem(points[0]))
    interval = variance.interval(float(points.mean()), 0.9)
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-4)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["points", "replicates"])
def test_what_is_infinite_or_undefined_has_no_variance(value: float, where: str) -> None:
    points, replicates = np.full((2, 3), 0.5), np.full((2, 3, 10), 0.5)
    if where == "points":
        points[1, 2] = value
    else:
        replicates[1, 2] = value
    assert variance_of([Term(points, replicates)], [8] * 3) is None


def test_few_undefined_resamples_are_left_out() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.normal(0, 1, (2, 3, 1000))
    points = np.zeros((2, 3))
    kept = variance_of([Term(points, replicates[..., 100:])], [N] * 3)
    replicates[0, 1, :100] = np.nan
    assert variance_of([Term(points, replicates)], [N] * 3) == kept


@pytest.mark.parametrize(("n_seeds", "n_folds"), list(itertools.product((1, 3), (1, 3))))
def test_scores_without_any_scatter(n_seeds: int, n_folds: int) -> None:
    term = Term(np.ones((n_seeds, n_folds)), np.ones((n_seeds, n_folds, 10)))
    variance = variance_of([term], [1] * n_folds)
    assert variance is not None
    assert variance.total == 0
    interval = variance.interval(1.0, 0.95)
    assert (interval.low, interval.high) == (1.0, 1.0)
    assert variance.p_value(0.0) == 1.0
