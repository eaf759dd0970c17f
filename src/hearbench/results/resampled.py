"""Scores of several models and seeds on the same resamples of the test clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.results.clip_scores import ClipScores
from hearbench.stats.clip_scores import ClipScore
from hearbench.stats.resampling import bootstrap

__all__ = ["Resampled", "resampled"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """One score.

    Attributes:
        points: Per model (n_seeds, n_folds), on the clips as they are.
        replicates: Per model (n_seeds, n_folds, n_resamples); NaN where undefined.
        bounds: Least and largest value that the score can take.
    """

    points: tuple[_Floats, ...]
    replicates: tuple[_Floats, ...]
    bounds: tuple[float, float]


def resampled(
    name: str, models: Sequence[Sequence[ClipScores]], *, n_resamples: int, seed: int
) -> Resampled:
    """Resamples the test clips of each fold, the same way for all models and seeds.

    Args:
        name: The score.
        models: Per model, per seed, all splits, with the same clips in the same order. The
            splits are taken in the order of the first.
        n_resamples: How many.
        seed: Decides what is drawn.
    """
    first = models[0][0]
    results = [each for seeds in models for each in seeds]
    by_name = [{split.name: split for split in each.splits} for each in results]
    n_folds = len(first.splits)
    points = np.full((len(results), n_folds), np.nan)
    limits: set[tuple[float, float]] = set()
    folds: list[list[ClipScore]] = []
    for k, split in enumerate(first.splits):
        fold: list[ClipScore] = []
        for i, splits in enumerate(by_name):
            points[i, k] = splits[split.name].points[name]
            score = splits[split.name].scores[name]
            fold.append(_Undefined(len(split.clips)) if score is None else score)
            if score is not None:
                limits.add(score.bounds)
        folds.append(fold)
    strata = [split.strata_for(name) for split in first.splits]
    replicates = bootstrap(folds, strata=strata, n_resamples=n_resamples, seed=seed)
    ends = np.cumsum([len(seeds) for seeds in models])[:-1]
    return Resampled(
        points=tuple(np.split(points, ends)),
        replicates=tuple(np.split(replicates, ends)),
        bounds=(
            min((low for low, _ in limits), default=-np.inf),
            max((high for _, high in limits), default=np.inf),
        ),
    )


@dataclass(frozen=True)
class _Undefined:
    """The score of predictions that there are none of."""

    n_clips: int
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def __call__(self, weights: npt.NDArray[np.floating]) -> _Floats:
        return np.full(len(weights), np.nan)
