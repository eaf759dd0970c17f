"""A result's scores as functions of its test clips, from the predictions that lie beside it.

The scores that the predictions give must be those that ``result.json`` states. Events are taken
as they are listed; that they follow from the frames is for `hearbench.leaderboard.recompute` to
find out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError
from hearbench.results.aggregate import same_number
from hearbench.results.predictions import Predictions
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.splits import Split
from hearbench.results.untrusted import REMEDY
from hearbench.stats.clip_scores import ClipScore
from hearbench.stats.resampling import bootstrap

__all__ = [
    "ClipScores",
    "Resampled",
    "SplitScores",
    "needs_every_label",
    "read_clip_scores",
    "resampled",
]

_PER_LABEL = ("aucroc", "d_prime", "mAP")

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SplitScores:
    """One test split.

    Attributes:
        predictions: Predictions and annotation of the split's clips, in the order of the first
            result that is compared.
        scores: Scores by name; None where nothing was predicted, so that they are undefined.
        points: Values of the scores on the clips as they are, by name; NaN where undefined.
    """

    predictions: Split
    scores: Mapping[str, ClipScore | None]
    points: Mapping[str, float]

    @property
    def name(self) -> str:
        """The split."""
        return self.predictions.name

    @property
    def clips(self) -> tuple[str, ...]:
        """File names."""
        return self.predictions.clips

    def strata_for(self, score: str) -> npt.NDArray[np.int64] | None:
        """The strata within which clips are drawn for a score; None to draw from all alike."""
        return self.predictions.strata if needs_every_label(score) else None


@dataclass(frozen=True)
class ClipScores:
    """All test splits of a result.

    Attributes:
        splits: The test splits, in the order of the result's folds.
    """

    folder: Path
    result: Result
    labels: tuple[str, ...]
    splits: tuple[SplitScores, ...]


def needs_every_label(score: str) -> bool:
    """Whether a score is a mean over labels, each of which must be that of a clip."""
    return score in _PER_LABEL


def read_clip_scores(
    folder: Path,
    *,
    scores: Collection[str] | None = None,
    like: ClipScores | None = None,
    same_truth: bool = True,
) -> ClipScores:
    """Reads a result's predictions.

    Args:
        folder: The result's, with ``result.json`` and ``predictions/``.
        scores: The only ones that are wanted; by default all of the result.
        like: Another result, whose clips this one must be of; they are put into its order.
        same_truth: Whether what was annotated must be the same, too.

    Raises:
        ResultError: A file is missing, isn't what it should be, or contradicts another; or the
            clips or what was annotated differ from those of the other result.
        UnknownNameError: The result has a score that doesn't exist.
    """
    result = Result.read(folder)
    predictions = Predictions.read(folder, result)
    others = {} if like is None else _others(like, result, predictions, folder)
    wanted = [name for name in result.scores if scores is None or name in scores]
    found = []
    for name, stored in predictions.splits.items():
        other = others.get(name)
        if other is None or like is None:
            split = stored.ordered(np.arange(len(stored.clips)))
        else:
            split = stored.ordered(_order(stored, other, folder, like.folder))
            if same_truth:
                _check_truth(split, other, folder, like.folder)
        clip_scores = {
            score: None if split.is_blank else split.clip_score(score) for score in wanted
        }
        points = {score: _point(each) for score, each in clip_scores.items()}
        _check_points(name, points, result, folder)
        found.append(SplitScores(split, clip_scores, points))
    return ClipScores(folder, result, predictions.labels, tuple(found))


def _others(
    like: ClipScores, result: Result, predictions: Predictions, folder: Path
) -> dict[str, Split]:
    """The splits of the other result, which must be of the same labels and splits."""
    if result.kind != like.result.kind or predictions.labels != like.labels:
        raise ResultError(
            f"{folder} and {like.folder} are both of {result.task.name}, with other labels. "
            "They can't be compared; evaluate both on the same copy of the task."
        )
    tests, others = ([fold.test for fold in r.folds] for r in (result, like.result))
    if sorted(tests) != sorted(others):
        raise ResultError(
            f"{folder} has the test splits {', '.join(tests)}, and {like.folder} "
            f"{', '.join(others)}. They can't be compared; evaluate both on all splits."
        )
    return {split.name: split.predictions for split in like.splits}


def _order(split: Split, other: Split, folder: Path, like: Path) -> npt.NDArray[np.int64]:
    """Positions of the clips in the order of the other result."""
    at = {clip: i for i, clip in enumerate(split.clips)}
    theirs = set(other.clips)
    missing = [clip for clip in other.clips if clip not in at] or [
        clip for clip in split.clips if clip not in theirs
    ]
    if missing:
        raise ResultError(
            f"{folder} and {like} were tested on other clips of {split.name}: {missing[0]} and "
            f"{len(missing) - 1} more are in one of them only. Evaluate both on the same copy of "
            "the task."
        )
    return np.array([at[clip] for clip in other.clips], dtype=np.int64)


def _point(score: ClipScore | None) -> float:
    return math.nan if score is None else float(score(np.ones((1, score.n_clips)))[0])


def _check_truth(split: Split, other: Split, folder: Path, like: Path) -> None:
    wrong = split.differing_clips(other)
    if wrong:
        raise ResultError(
            f"{folder} and {like} were tested against other {split.annotation} of {split.name}: "
            f"those of {wrong[0]} and of {len(wrong) - 1} more clips differ. Evaluate both on the "
            "same copy of the task."
        )


def _check_points(split: str, points: Mapping[str, float], result: Result, folder: Path) -> None:
    for name, found in points.items():
        stated = result.scores[name].per_fold.get(split, math.nan)
        if not same_number(stated, found):
            raise ResultError(
                f"{folder / RESULT_FILE} states {stated:.9g} as {name} of {split}, and its "
                f"predictions give {found:.9g}: one of them has been edited. {REMEDY}"
            )


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
        models: Per model, per seed, all splits, with the same clips in the same order. The
            splits are taken in the order of the first.
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
