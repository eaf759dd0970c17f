"""Models over several tasks: mean ranks, and how many comparisons each has won."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.comparison.record import ModelStanding, PairDifference, TaskComparison
from hearbench.comparison.resampled import ResampledTask
from hearbench.results.aggregate import mean_of_seeds
from hearbench.stats.ranks import rank_intervals, ranks

__all__ = ["TaskRanks", "mean_ranks", "standings"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TaskRanks:
    """Ranks of models on each task and over all.

    Attributes:
        n_tasks: How many tasks have a score of every model.
        mean: (n_models,) mean rank over these tasks; NaN if there are none.
        low: (n_models,) the best mean rank that no verdict speaks against.
        high: (n_models,) the worst mean rank that no verdict speaks against.
        of_task: By task and model, rank, best rank and worst rank; NaN where undefined.
    """

    n_tasks: int
    mean: _Floats
    low: _Floats
    high: _Floats
    of_task: dict[str, dict[str, tuple[float, float, float]]]


def mean_ranks(
    names: Sequence[str],
    samples: Sequence[ResampledTask],
    pairs: Mapping[str, Sequence[PairDifference]],
) -> TaskRanks:
    """Ranks models on each task, and means of ranks over the tasks with a score of every model.

    Args:
        samples: The tasks, each with some or all of the models.
        pairs: By task, what the tests found; a task without an entry has no model that is
            surely better.
    """
    of_task: dict[str, dict[str, tuple[float, float, float]]] = {}
    whole: list[_Floats] = []
    for each in samples:
        own = [model.name for model in each.models]
        scores = np.array([mean_of_seeds(p) for p in each.resampled.points])
        better = np.zeros((len(own), len(own)), dtype=bool)
        for pair in pairs.get(each.task, ()):
            if pair.better is not None:
                other = pair.model_b if pair.better == pair.model_a else pair.model_a
                better[own.index(pair.better), own.index(other)] = True
        rank = ranks(scores[:, None], maximise=[each.maximise])[:, 0]
        found = np.stack([rank, *rank_intervals(~np.isnan(scores), better)], axis=1)
        of_task[each.task] = {
            name: (row[0], row[1], row[2]) for name, row in zip(own, found.tolist(), strict=True)
        }
        if len(own) == len(names) and not np.isnan(scores).any():
            whole.append(found)
    mean = np.mean(whole, axis=0) if whole else np.full((len(names), 3), math.nan)
    return TaskRanks(len(whole), mean[:, 0], mean[:, 1], mean[:, 2], of_task)


def standings(
    names: Sequence[str], tasks: Sequence[TaskComparison], task_ranks: TaskRanks
) -> tuple[ModelStanding, ...]:
    """Summarises each model over all tasks."""
    return tuple(_standing(i, name, tasks, task_ranks) for i, name in enumerate(names))


def _standing(
    i: int, name: str, tasks: Sequence[TaskComparison], task_ranks: TaskRanks
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
        mean_rank=float(task_ranks.mean[i]),
        low=float(task_ranks.low[i]),
        high=float(task_ranks.high[i]),
        n_tasks=task_ranks.n_tasks,
        n_pairs=n_pairs,
        ahead=ahead,
        clearly_better=better,
        clearly_worse=worse,
    )
