"""Ranks of models, and which of them are sure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["rank_intervals", "ranks"]

_Floats = npt.NDArray[np.float64]

_WORST = float(np.finfo(np.float64).max)


def ranks(scores: _Floats, *, maximise: Sequence[bool]) -> _Floats:
    """Ranks of models on tasks; 1 is the best, equal scores share the mean of their ranks.

    Args:
        scores: (n_models, n_tasks); NaN where a model has none.
        maximise: Per task, whether higher is better.

    Returns:
        (n_models, n_tasks); NaN where a model has no score.
    """
    costs = scores * np.where(np.asarray(maximise, dtype=bool), -1.0, 1.0)
    # NaN after everything else, the infinitely bad too.
    sortable = np.nan_to_num(costs, nan=np.inf, posinf=_WORST, neginf=-_WORST)
    # As scipy.stats.rankdata, which takes longer to import than this does for so few models.
    before = (sortable[:, None] > sortable[None]).sum(axis=1)
    equal = (sortable[:, None] == sortable[None]).sum(axis=1)
    found: _Floats = before + (equal + 1) / 2
    found[np.isnan(costs)] = np.nan
    return found


def rank_intervals(
    defined: npt.NDArray[np.bool_], better: npt.NDArray[np.bool_]
) -> tuple[_Floats, _Floats]:
    """Best and worst possible rank of each model, given which pairs are known to differ.

    Behind a model are at least those that are known to be worse, and before it at least those
    that are known to be better. If no "is better" is false, with a probability of 95 % say, then
    all these intervals hold at once with that probability. Source: Mohamad, Goeman and van Zwet,
    "Simultaneous Confidence Intervals for Ranks with Application to Ranking Institutions",
    Biometrics 78(1), 2022.

    Args:
        defined: (n_models,) whether a model has a score.
        better: (n_models, n_models) whether the model of the row is known to be better than that
            of the column.

    Returns:
        The better end and the worse end, each (n_models,); NaN where there is no score.
    """
    best = 1.0 + better.sum(axis=0)
    worst = float(defined.sum()) - better.sum(axis=1)
    return np.where(defined, best, np.nan), np.where(defined, worst, np.nan)
