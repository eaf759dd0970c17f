"""How models stand over several tasks: mean ranks and comparisons won."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.comparison.evidence import Evidence
from hearbench.comparison.record import ModelStanding, TaskComparison
from hearbench.stats.ranks import ranks_with_intervals

__all__ = ["TaskRanks", "mean_ranks", "standings"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TaskRanks:
    """Ranks of models.

    Attributes:
        n_tasks: How many tasks have a score of every model.
        mean: (n_models,) mean rank over these; NaN without any.
        low: (n_models,) the interval's better end.
        high: (n_models,) its worse end.
        of_task: Per task and model, rank, better end and worse end; NaN where undefined.
    """

    n_tasks: int
    mean: _Floats
    low: _Floats
    high: _Floats
    of_task: dict[str, dict[str, tuple[float, float, float]]]


def mean_ranks(names: Sequence[str], evidence: Sequence[Evidence], level: float) -> TaskRanks:
    """Ranks on each task and, over those that have a score of every model, their mean.

    The intervals are of resamples of every task's test clips, the same for all models.

    Args:
        names: Of all models.
        evidence: Of the tasks, each with some of the models or all.
        level: Of the intervals.
    """
    of_task: dict[str, dict[str, tuple[float, float, float]]] = {}
    points, replicates, maximise = [], [], []
    for each in evidence:
        own = np.array([_mean(p) for p in each.resampled.points])
        with np.errstate(invalid="ignore"):
            again = np.stack([r.mean(axis=(0, 1)) for r in each.resampled.replicates])
        found = ranks_with_intervals(
            own[:, None], again[:, None], maximise=[each.maximise], level=level
        )
        of_task[each.task] = {
            entrant.name: (
                float(found.per_task[i, 0]),
                float(found.per_task_low[i, 0]),
                float(found.per_task_high[i, 0]),
            )
            for i, entrant in enumerate(each.entrants)
        }
        if len(each.entrants) == len(names) and not np.isnan(own).any():
            points.append(own)
            replicates.append(again)
            maximise.append(each.maximise)
    if not points:
        unknown = np.full(len(names), math.nan)
        return TaskRanks(0, unknown, unknown, unknown, of_task)
    overall = ranks_with_intervals(
        np.stack(points, axis=1), np.stack(replicates, axis=1), maximise=maximise, level=level
    )
    return TaskRanks(len(points), overall.mean, overall.mean_low, overall.mean_high, of_task)


def standings(
    names: Sequence[str], tasks: Sequence[TaskComparison], ranks: TaskRanks
) -> tuple[ModelStanding, ...]:
    """Each model over all tasks."""
    return tuple(_standing(i, name, tasks, ranks) for i, name in enumerate(names))


def _standing(
    i: int, name: str, tasks: Sequence[TaskComparison], ranks: TaskRanks
) -> ModelStanding:
    ahead, n_pairs, better, worse = 0.0, 0, 0, 0
    for task in tasks:
        for pair in task.pairs:
            if name not in (pair.model_a, pair.model_b) or math.isnan(pair.difference):
                continue
            n_pairs += 1
            gain = pair.difference if (name == pair.model_a) == task.maximise else -pair.difference
            ahead += 0.5 if gain == 0 else float(gain > 0)
            better += pair.better == name
            worse += pair.better not in (None, name)
    return ModelStanding(
        model=name,
        mean_rank=float(ranks.mean[i]),
        low=float(ranks.low[i]),
        high=float(ranks.high[i]),
        n_tasks=ranks.n_tasks,
        n_pairs=n_pairs,
        ahead=ahead,
        clearly_better=better,
        clearly_worse=worse,
    )


def _mean(points: _Floats) -> float:
    with np.errstate(invalid="ignore"):
        return float(points.mean(axis=1).mean())
