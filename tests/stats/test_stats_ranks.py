import math

import numpy as np
import pytest

from hearbench.stats.ranks import ranks_with_intervals


def test_ranks_by_hand() -> None:
    estimates = np.array([[0.9, 0.2], [0.8, 0.2], [0.7, np.nan]])
    found = ranks_with_intervals(
        estimates, np.repeat(estimates[:, :, None], 5, axis=2), maximise=[True, False]
    )
    np.testing.assert_array_equal(found.per_task, [[1, 1.5], [2, 1.5], [3, np.nan]])
    np.testing.assert_array_equal(found.mean, [1.25, 1.75, 3])
    np.testing.assert_array_equal(found.mean_low, found.mean)
    np.testing.assert_array_equal(found.per_task_high, found.per_task)


def test_lower_is_better_where_it_is() -> None:
    estimates = np.array([[0.3], [0.1], [0.2]])
    replicates = np.repeat(estimates[:, :, None], 2, axis=2)
    assert ranks_with_intervals(estimates, replicates, maximise=[True]).mean.tolist() == [1, 3, 2]
    assert ranks_with_intervals(estimates, replicates, maximise=[False]).mean.tolist() == [3, 1, 2]


def test_intervals_are_percentiles_of_the_resamples_ranks() -> None:
    rng = np.random.default_rng(0)
    estimates = np.array([[0.5, 0.6], [0.52, 0.5], [0.1, 0.1]])
    replicates = estimates[:, :, None] + rng.normal(0, 0.03, (3, 2, 800))
    found = ranks_with_intervals(estimates, replicates, maximise=[True, True])
    order = [
        [1 + sum(replicates[j, t, r] > replicates[i, t, r] for j in range(3)) for t in range(2)]
        for i in range(3)
        for r in range(800)
    ]
    slow = np.array(order, dtype=float).reshape(3, 800, 2)
    np.testing.assert_allclose(found.per_task_low, np.quantile(slow, 0.025, axis=1))
    np.testing.assert_allclose(found.mean_high, np.quantile(slow.mean(axis=2), 0.975, axis=1))
    # Only the first two can't be told apart.
    assert (found.mean_low[2], found.mean_high[2]) == (3, 3)
    assert found.mean_low[0] == 1
    assert found.mean_high[0] > 1


def test_infinite_and_undefined_scores() -> None:
    estimates = np.array([[np.inf], [2.0], [-np.inf], [np.nan]])
    replicates = np.repeat(estimates[:, :, None], 3, axis=2)
    replicates[1, 0, 0] = np.nan
    found = ranks_with_intervals(estimates, replicates, maximise=[True])
    np.testing.assert_array_equal(found.per_task[:, 0], [1, 2, 3, np.nan])
    assert math.isnan(found.mean[3])
    assert math.isnan(found.mean_low[3])
    assert found.per_task_high[1, 0] == pytest.approx(2)
