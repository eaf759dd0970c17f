"""Ranks of models over tasks, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["Ranks", "ranks_with_intervals"]

_Floats = npt.NDArray[np.float64]

_WORST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Ranks:
    """Ranks of n_models models; 1 is the best, equal scores share the mean of their ranks.

    Attributes:
        per_task: (n_models, n_tasks); NaN where a model has no score.
        per_task_low: Likewise, the interval's end that is better.
        per_task_high: Likewise, the end that is worse.
        mean: (n_models,) mean over the tasks that a model has.
        mean_low: Likewise.
        mean_high: Likewise.
    """

    per_task: _Floats
    per_task_low: _Floats
    per_task_high: _Floats
    mean: _Floats
    mean_low: _Floats
    mean_high: _Floats


def ranks_with_intervals(
    estimates: _Floats, replicates: _Floats, *, maximise: Sequence[bool], level: float = 0.95
) -> Ranks:
    """Ranks of the scores, and percentile intervals of the ranks in each resample.

    A task's clips are resampled for all models alike, tasks independently of each other.

    Args:
        estimates: (n_models, n_tasks) scores; NaN where a model has none.
        replicates: (n_models, n_tasks, n_resamples) of the same.
        maximise: Per task, whether higher is better.
        level: Between 0 and 1.
    """
    sign = np.where(np.asarray(maximise, dtype=bool), -1.0, 1.0)
    per_task = _ranks(estimates * sign)
    missing = np.isnan(estimates)
    of_resamples = _ranks(np.where(missing[:, :, None], np.nan, replicates) * sign[:, None])
    tail = [(1 - level) / 2, (1 + level) / 2]
    per_task_low, per_task_high = _quantiles(of_resamples, tail)
    mean_low, mean_high = _quantiles(_mean(of_resamples, 1), tail)
    return Ranks(per_task, per_task_low, per_task_high, _mean(per_task, 1), mean_low, mean_high)


def _ranks(costs: _Floats) -> _Floats:
    """Ranks along axis 0, of those that aren't NaN."""
    # NaN after everything else, the infinitely bad too.
    sortable = np.nan_to_num(costs, nan=np.inf, posinf=_WORST, neginf=-_WORST)
    ranks: _Floats = stats.rankdata(sortable, axis=0).astype(np.float64)
    ranks[np.isnan(costs)] = np.nan
    return ranks


def _mean(ranks: _Floats, axis: int) -> _Floats:
    there = ~np.isnan(ranks)
    n = there.sum(axis=axis)
    total = np.where(there, ranks, 0.0).sum(axis=axis)
    found: _Floats = np.divide(total, n, out=np.full(n.shape, np.nan), where=n > 0)
    return found


def _quantiles(values: _Floats, tail: Sequence[float]) -> tuple[_Floats, _Floats]:
    """Along the last axis; NaN for a row that is all NaN."""
    shape = values.shape[:-1]
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    for at in np.ndindex(shape):
        defined = values[at][~np.isnan(values[at])]
        if len(defined):
            low[at], high[at] = np.quantile(defined, tail)
    return low, high
