from __future__ import annotations

import math

import numpy as np
import pytest

from hearbench.stats.paired import holm
from hearbench.stats.ranks import rank_intervals, ranks


def test_ranks_by_hand() -> None:
    scores = np.array([[0.9, 2.0], [0.5, 1.0], [0.9, math.nan], [math.nan, math.inf]])
    found = ranks(scores, maximise=[True, False])
    assert found[:, 0].tolist()[:3] == [1.5, 3, 1.5]
    assert math.isnan(found[3, 0])
    assert found[:2, 1].tolist() == [2, 1]
    assert (math.isnan(found[2, 1]), found[3, 1]) == (True, 3)


def test_rank_intervals_by_hand() -> None:
    better = np.zeros((4, 4), dtype=bool)
    better[0, 1] = better[0, 2] = True
    low, high = rank_intervals(np.array([True, True, True, False]), better)
    assert low[:3].tolist() == [1, 2, 2]
    assert high[:3].tolist() == [1, 3, 3]
    assert math.isnan(low[3])
    assert math.isnan(high[3])


@pytest.mark.parametrize("true", [np.zeros(5), np.array([0, 0, 1, 2, 6.0]), np.arange(5) * 3.0])
def test_rank_intervals_hold_all_true_ranks_at_once(true: np.ndarray) -> None:
    """Of models whose scores are known up to normal noise, tested in pairs by Holm's method."""
    from scipy import stats

    rng = np.random.default_rng(0)
    held, n_trials = 0, 400
    for _ in range(n_trials):
        seen = true + rng.normal(size=5)
        pairs = [(i, j) for i in range(5) for j in range(i)]
        z = np.array([abs(seen[i] - seen[j]) / math.sqrt(2) for i, j in pairs])
        better = np.zeros((5, 5), dtype=bool)
        for (i, j), p in zip(pairs, holm((2 * stats.norm.sf(z)).tolist()), strict=True):
            if p <= 0.05:
                first, second = (i, j) if seen[i] > seen[j] else (j, i)
                better[first, second] = True
        low, high = rank_intervals(np.ones(5, dtype=bool), better)
        # Equal models may be in any order among themselves.
        best = 1 + (true[:, None] < true).sum(axis=1)
        worst = (true[:, None] <= true).sum(axis=1)
        held += bool(((low <= best) & (worst <= high)).all())
    # Two standard errors below 95 %.
    assert held / n_trials > 0.928
