"""How models stand over several tasks: mean ranks and comparisons won."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.comparison.evidence import Evidence
from hearbench.comparison.record import ModelStanding, PairDifference, TaskComparison
from hearbench.results.over_folds import mean_of_seeds
from hearbench.stats.ranks import rank_intervals, ranks

__all__ = ["TaskRanks", "mean_ranks", "standings"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TaskRanks:
    """Ranks of models.

    Attributes:
        n_tasks: How many tasks have a score of every model.
        mean: (n_models,) mean rank over these; NaN without any.
        low: (n_models,) the best mean rank that no verdict speaks against.
        high: (n_models,) the worst one.
        of_task: Per task and model, rank, best rank and worst rank; NaN where undefined.
    """

    n_tasks: int
    mean: _Floats
    low: _Floats
    high: _Floats
    of_task: dict[str, dict[str, tuple[float, float, float]]]


def mean_ranks(
    names: Sequence[str],
    evidence: Sequence[Evidence],
    pairs: Mapping[str, Sequence[PairDifference]],
) -> TaskRanks:
    """Ranks on each task and, over those that have a score of every model, their mean.

    Args:
        names: Of all models.
        evidence: Of the tasks, each with some of the models or all.
        pairs: By task, what was concluded; none of a task to have ranks of which nothing is sure.
    """
    of_task: dict[str, dict[str, tuple[float, float, float]]] = {}
    whole: list[_Floats] = []
    for each in evidence:
        own = [entrant.name for entrant in each.entrants]
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
    names: Sequence[str], tasks: Sequence[TaskComparison], places: TaskRanks
) -> tuple[ModelStanding, ...]:
    """Each model over all tasks."""
    return tuple(_standing(i, name, tasks, places) for i, name in enumerate(names))


def _standing(
    i: int, name: str, tasks: Sequence[TaskComparison], places: TaskRanks
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
        mean_rank=float(places.mean[i]),
        low=float(places.low[i]),
        high=float(places.high[i]),
        n_tasks=places.n_tasks,
        n_pairs=n_pairs,
        ahead=ahead,
        clearly_better=better,
        clearly_worse=worse,
    )
