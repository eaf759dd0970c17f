"""What the test clips of one task say of several models, before anything is concluded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.comparison.reading import Entrant
from hearbench.errors import ResultError
from hearbench.metrics.event_lists import EventArrays
from hearbench.results.clip_scores import ClipScores, SplitScores, read_clip_scores
from hearbench.results.resampled import Resampled, resampled
from hearbench.stats.clip_scores import ClipScore
from hearbench.stats.paired import (
    permutation_p_value,
    pooled_event_clip_score,
    pooled_scene_clip_score,
)

__all__ = ["Evidence", "read_evidence", "score_of"]


@dataclass(frozen=True)
class Evidence:
    """One score of one task.

    Attributes:
        task: Its name.
        score: Its name.
        maximise: Whether higher is better.
        entrants: The models that have the task.
        n_clips: Of each test split.
        resampled: Scores of each model, on the same resamples.
        by_swapping: p of each pair of models, by positions, the lower first, from permutations;
            empty without.
    """

    task: str
    score: str
    maximise: bool
    entrants: tuple[Entrant, ...]
    n_clips: tuple[int, ...]
    resampled: Resampled
    by_swapping: dict[tuple[int, int], float]


def score_of(task: str, entrants: Sequence[Entrant], wanted: str | None) -> str | None:
    """The score to compare models by on a task.

    Args:
        task: Its name.
        entrants: Those that have it.
        wanted: Its name; None for the one that the task's results are of first.

    Returns:
        None if not all of the results have the one that is wanted.

    Raises:
        ResultError: The results have different first scores.
    """
    results = [entrant.first[task] for entrant in entrants]
    if wanted is not None:
        return wanted if all(wanted in result.scores for result in results) else None
    first = results[0].primary_score
    for entrant, result in zip(entrants, results, strict=True):
        if result.primary_score != first:
            raise ResultError(
                f"{task}: the first score is {first} in the result of {entrants[0].name}, and "
                f"{result.primary_score} in that of {entrant.name}. Choose one with --score."
            )
    return first


def read_evidence(
    task: str,
    score: str,
    entrants: Sequence[Entrant],
    *,
    n_resamples: int,
    seed: int,
    swapped: Sequence[tuple[int, int]] = (),
    n_permutations: int = 2000,
) -> Evidence:
    """Reads the predictions of a task's results and resamples its test clips.

    Args:
        task: Its name.
        score: Of all the results.
        entrants: Models that have the task.
        n_resamples: How many resamples.
        seed: Decides them.
        swapped: Pairs of models, as positions, for which permutations are wanted as well.
        n_permutations: How many of these.

    Raises:
        ResultError: A result isn't what it should be, or is of other clips, labels or splits.
        UnknownNameError: The score doesn't exist.
    """
    keep = bool(swapped)
    like: ClipScores | None = None
    models: list[list[ClipScores]] = []
    for entrant in entrants:
        seeds = []
        for folder in entrant.tasks[task]:
            found = read_clip_scores(folder, scores=(score,), like=like, keep_predictions=keep)
            like = like or found
            seeds.append(found)
        models.append(seeds)
    first = models[0][0]
    p_values = {
        (a, b): _by_swapping(score, models[a], models[b], first, n_permutations, seed)
        for a, b in {(min(pair), max(pair)) for pair in swapped}
    }
    return Evidence(
        task=task,
        score=score,
        maximise=first.result.scores[score].maximise,
        entrants=tuple(entrants),
        n_clips=tuple(len(split.clips) for split in first.splits),
        resampled=resampled(score, models, n_resamples=n_resamples, seed=seed),
        by_swapping=p_values,
    )


def _by_swapping(
    score: str,
    a: Sequence[ClipScores],
    b: Sequence[ClipScores],
    like: ClipScores,
    n_permutations: int,
    seed: int,
) -> float:
    """The p-value of permutations; NaN where a prediction is missing."""
    # Every seed must count alike; where both have as many, each is in one pair.
    pairs = list(zip(a, b, strict=True)) if len(a) == len(b) else list(itertools.product(a, b))
    pooled: list[list[ClipScore]] = []
    for split in like.splits:
        if any(math.isnan(_split(each, split).points[score]) for each in (*a, *b)):
            continue  # left out of the means as well
        scores = []
        for one, other in pairs:
            both = _pooled(score, split, _split(one, split), _split(other, split), like.labels)
            if both is None:
                return math.nan
            scores.append(both)
        pooled.append(scores)
    if not pooled:
        return math.nan
    with np.errstate(invalid="ignore"):  # differences of infinite scores
        return permutation_p_value(pooled, n_permutations=n_permutations, seed=seed)


def _split(result: ClipScores, like: SplitScores) -> SplitScores:
    return next(split for split in result.splits if split.name == like.name)


def _pooled(
    score: str, like: SplitScores, one: SplitScores, other: SplitScores, labels: Sequence[str]
) -> ClipScore | None:
    a, b = one.predictions, other.predictions
    if a is None or b is None:
        return None
    if isinstance(like.truth, EventArrays):
        if not (isinstance(a, EventArrays) and isinstance(b, EventArrays)):
            return None
        return pooled_event_clip_score(score, like.truth, a, b, len(like.clips), labels)
    if isinstance(a, EventArrays) or isinstance(b, EventArrays):
        return None
    targets: npt.NDArray[np.integer[Any]] = like.truth
    return pooled_scene_clip_score(score, a, b, targets)
