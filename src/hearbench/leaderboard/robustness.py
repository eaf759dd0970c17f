"""How much a rank hangs on which tasks the benchmark happens to have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hearbench.leaderboard.aggregates import Aggregate, combine, ranks_of
from hearbench.leaderboard.sheet import Floats, Sheet

__all__ = ["LEVEL", "N_RESAMPLES", "Robustness", "robustness"]

# Draws of as many tasks, and the share of them that an interval of ranks holds.
N_RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Robustness:
    """What becomes of one aggregate's ranks and values if the tasks were others.

    All arrays are (n_models,), NaN for models without a value.

    Attributes:
        leave_one_out: Best and worst rank if one task, whichever, is taken away.
        ranks: Interval of the rank over tasks drawn anew.
        values: Interval of the value over tasks drawn anew.
    """

    leave_one_out: tuple[Floats, Floats]
    ranks: tuple[Floats, Floats]
    values: tuple[Floats, Floats]


def robustness(
    aggregate: Aggregate,
    sheet: Sheet,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Robustness:
    """Takes tasks away, and draws tasks anew with replacement (the bootstrap's percentiles).

    A model's points on a task stay what they are over all tasks: what is imputed isn't imputed
    again without a task. All models share a resample, and all aggregates with one seed. A
    resample that holds no task that a model ran gives it no rank and isn't counted. The tasks of
    a benchmark were chosen, not drawn, so the interval says how far the choice could matter, and
    not how another benchmark would come out. Percentiles of ranks are ranks that occurred.

    Args:
        aggregate: Which one, with its own treatment of missing scores.
        sheet: The models and tasks.
        n_resamples: How often tasks are drawn.
        level: Share of the resamples that an interval holds.
        seed: Of the draws.
    """
    n_tasks = len(sheet.columns)
    points = aggregate.points(sheet)

    def ways(weights: Floats) -> tuple[Floats, Floats]:
        values = combine(points, weights, total=aggregate.total)
        return values, ranks_of(values, maximise=aggregate.maximise)

    without_one = ways(np.ones((n_tasks, n_tasks)) - np.eye(n_tasks))[1]
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_tasks, np.full(n_tasks, 1 / n_tasks), size=n_resamples)
    values, ranks = ways(drawn.astype(np.float64))
    # 0.025 is 0.025 then, which decides which rank the percentile is.
    ends = (round((1 - level) / 2, 12), round((1 + level) / 2, 12))
    return Robustness(
        leave_one_out=(np.fmin.reduce(without_one), np.fmax.reduce(without_one)),
        ranks=_percentiles(ranks, ends, "inverted_cdf"),
        values=_percentiles(values, ends, "linear"),
    )


def _percentiles(found: Floats, ends: tuple[float, float], method: str) -> tuple[Floats, Floats]:
    low, high = np.full(found.shape[1], np.nan), np.full(found.shape[1], np.nan)
    for i, column in enumerate(found.T):
        known = column[~np.isnan(column)]
        if len(known):
            low[i], high[i] = np.quantile(known, ends, method=method)  # type: ignore[call-overload]
    return low, high
