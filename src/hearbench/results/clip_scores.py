"""A result's scores as functions of its test clips, from the predictions that lie beside it.

The files are read with the suspicion of `hearbench.results.stored`, and the scores that they give
must be those that ``result.json`` states. Events are taken as they are listed; that they follow
from the frames is for `hearbench.leaderboard.recompute` to find out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError
from hearbench.metrics.event_lists import EventArrays
from hearbench.results.over_folds import same_number
from hearbench.results.record import RESULT_FILE, FoldResult, Result
from hearbench.results.stored import (
    REMEDY,
    read_clips,
    read_events,
    read_labels,
    read_probabilities,
    read_targets,
)
from hearbench.stats.clip_scores import ClipScore, event_clip_score, scene_clip_score
from hearbench.stats.resampling import strata_of
from hearbench.tasks.spec import is_plain_name

__all__ = ["ClipScores", "SplitScores", "Truth", "needs_every_label", "read_clip_scores"]

_FOLDER = "predictions"
_PER_LABEL = ("aucroc", "d_prime", "mAP")

Truth = npt.NDArray[np.integer[Any]] | EventArrays
"""What was annotated: (n_clips, n_labels) multi-hot labels, or events."""


@dataclass(frozen=True)
class SplitScores:
    """One test split.

    Attributes:
        name: Of the split.
        clips: File names, in the order that scores, truth and strata have.
        truth: Of the clips.
        strata: (n_clips,) as of `hearbench.stats.resampling.strata_of`; None of an event task.
        scores: By name; None where nothing was predicted, so that a score is undefined.
        points: By name, the scores themselves; NaN where undefined.
        predictions: (n_clips, n_labels) probabilities, or events; None where there are none, or
            where they weren't to be kept.
    """

    name: str
    clips: tuple[str, ...]
    truth: Truth
    strata: npt.NDArray[np.int64] | None
    scores: Mapping[str, ClipScore | None]
    points: Mapping[str, float]
    predictions: npt.NDArray[np.floating[Any]] | EventArrays | None = None

    def strata_for(self, score: str) -> npt.NDArray[np.int64] | None:
        """The strata within which clips are drawn for a score; None to draw from all alike."""
        return self.strata if needs_every_label(score) else None


@dataclass(frozen=True)
class ClipScores:
    """All test splits of a result.

    Attributes:
        folder: Of the result.
        result: What it says.
        labels: The vocabulary.
        splits: In the order of the result's folds.
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
    keep_predictions: bool = False,
) -> ClipScores:
    """Reads a result's predictions.

    Args:
        folder: The result's, with ``result.json`` and ``predictions/``.
        scores: The only ones that are wanted; by default all of the result.
        like: Another result, whose clips this one must be of; they are put into its order.
        keep_predictions: Whether the predictions are wanted as well; they take memory.

    Raises:
        ResultError: A file is missing, isn't what it should be, or contradicts another; or the
            clips or what was annotated differ from those of the other result.
        UnknownNameError: The result has a score that doesn't exist.
    """
    result = Result.read(folder)
    place = folder / _FOLDER
    if not place.is_dir():
        raise ResultError(
            f"{folder} has no predictions/, from which to tell how sure its scores are. "
            "Evaluate again."
        )
    tests = [fold.test for fold in result.folds]
    strange = [test for test in tests if not is_plain_name(test)]
    if strange:
        raise ResultError(
            f"{folder / RESULT_FILE}: {strange[0]!r} can't be the name of a split. {REMEDY}"
        )
    splits = read_clips(place)
    for test in tests:
        if test in splits and not splits[test]:
            raise ResultError(f"{place / 'clips.json'} has no clips of {test}. {REMEDY}")
    labels = tuple(read_labels(place, result.n_labels))
    if sorted(splits) != sorted(tests) or len(set(tests)) < len(tests):
        raise ResultError(
            f"{place / 'clips.json'} has the test splits {', '.join(splits) or 'none'}, and the "
            f"result {', '.join(tests)}. {REMEDY}"
        )
    others = _others(like, result, labels, folder)
    wanted = [name for name in result.scores if scores is None or name in scores]
    read = _scene_split if result.kind == "scene" else _event_split
    found = []
    for fold in result.folds:
        other = others.get(fold.test)
        order = _order(splits[fold.test], fold.test, other, folder, like)
        split = read(fold, splits[fold.test], order, labels, place, wanted)
        if other is not None and like is not None:
            _check_truth(split, other, labels, folder, like.folder)
        _check_points(split, result, folder)
        found.append(split if keep_predictions else replace(split, predictions=None))
    return ClipScores(folder, result, labels, tuple(found))


def _others(
    like: ClipScores | None, result: Result, labels: Sequence[str], folder: Path
) -> dict[str, SplitScores]:
    if like is None:
        return {}
    if result.kind != like.result.kind or tuple(labels) != like.labels:
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
    return {split.name: split for split in like.splits}


def _order(
    clips: Sequence[str],
    split: str,
    other: SplitScores | None,
    folder: Path,
    like: ClipScores | None,
) -> npt.NDArray[np.int64]:
    """Positions of the clips in the order of the other result."""
    if other is None or like is None:
        return np.arange(len(clips))
    at = {clip: i for i, clip in enumerate(clips)}
    theirs = set(other.clips)
    missing = [clip for clip in other.clips if clip not in at] or [
        clip for clip in clips if clip not in theirs
    ]
    if missing:
        raise ResultError(
            f"{folder} and {like.folder} were tested on other clips of {split}: {missing[0]} and "
            f"{len(missing) - 1} more are in one of them only. Evaluate both on the same copy of "
            "the task."
        )
    return np.array([at[clip] for clip in other.clips], dtype=np.int64)


def _scene_split(
    fold: FoldResult,
    clips: Sequence[str],
    order: npt.NDArray[np.int64],
    labels: Sequence[str],
    place: Path,
    wanted: Sequence[str],
) -> SplitScores:
    shape = (len(clips), len(labels))
    probabilities = read_probabilities(place / f"{fold.test}.npy", shape, fold, "clips")
    targets = read_targets(place / f"{fold.test}.targets.npy", shape)[order]
    scores: dict[str, ClipScore | None] = dict.fromkeys(wanted)
    rows = None if probabilities is None else probabilities[order]
    if rows is not None:
        scores = {name: scene_clip_score(name, rows, targets) for name in wanted}
    return SplitScores(
        fold.test,
        tuple(clips[i] for i in order.tolist()),
        targets,
        strata_of(targets),
        scores,
        _points(scores),
        rows,
    )


def _event_split(
    fold: FoldResult,
    clips: Sequence[str],
    order: npt.NDArray[np.int64],
    labels: Sequence[str],
    place: Path,
    wanted: Sequence[str],
) -> SplitScores:
    if fold.n_clips != len(clips):
        raise ResultError(
            f"{place / 'clips.json'} has {len(clips)} clips of {fold.test}, and the result "
            f"{fold.n_clips}. {REMEDY}"
        )
    ordered = tuple(clips[i] for i in order.tolist())
    reference = read_events(place / f"{fold.test}.reference.json", ordered, labels)
    scores: dict[str, ClipScore | None] = dict.fromkeys(wanted)
    estimate = None
    if not (math.isnan(fold.validation_score) or math.isnan(fold.test_loss)):
        estimate = read_events(place / f"{fold.test}.events.json", ordered, labels)
        scores = {
            name: event_clip_score(name, reference, estimate, len(ordered), labels)
            for name in wanted
        }
    return SplitScores(fold.test, ordered, reference, None, scores, _points(scores), estimate)


def _points(scores: Mapping[str, ClipScore | None]) -> dict[str, float]:
    return {
        name: math.nan if score is None else float(score(np.ones((1, score.n_clips)))[0])
        for name, score in scores.items()
    }


def _check_truth(
    split: SplitScores, other: SplitScores, labels: Sequence[str], folder: Path, like: Path
) -> None:
    own, theirs = split.truth, other.truth
    if isinstance(own, EventArrays) and isinstance(theirs, EventArrays):
        a, b = (truth.to_mapping(split.clips, labels) for truth in (own, theirs))
        wrong = [clip for clip in split.clips if a[clip] != b[clip]]
    else:
        differs = (np.asarray(own) != np.asarray(theirs)).any(axis=1)
        wrong = [split.clips[i] for i in np.flatnonzero(differs).tolist()]
    if wrong:
        what = "events" if isinstance(own, EventArrays) else "labels"
        raise ResultError(
            f"{folder} and {like} were tested against other {what} of {split.name}: those of "
            f"{wrong[0]} and of {len(wrong) - 1} more clips differ. Evaluate both on the same "
            "copy of the task."
        )


def _check_points(split: SplitScores, result: Result, folder: Path) -> None:
    for name, found in split.points.items():
        stated = result.scores[name].per_fold.get(split.name, math.nan)
        if not same_number(stated, found):
            raise ResultError(
                f"{folder / RESULT_FILE} states {stated:.9g} as {name} of {split.name}, and its "
                f"predictions give {found:.9g}: one of them has been edited. {REMEDY}"
            )
