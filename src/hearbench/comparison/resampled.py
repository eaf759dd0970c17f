"""Scores of several models on one task over resamples of its test clips."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hearbench.comparison.reading import ModelResults
from hearbench.errors import ResultError
from hearbench.results.clip_scores import (
    ClipScores,
    Resampled,
    SplitScores,
    read_clip_scores,
    resampled,
)
from hearbench.stats.clip_scores import ClipScore
from hearbench.stats.paired import permutation_p_value

__all__ = ["ResampledTask", "Resampling", "resample_task", "score_of"]


@dataclass(frozen=True)
class Resampling:
    """How often test clips are drawn and predictions swapped.

    Attributes:
        n_resamples: Draws of the test clips.
        n_permutations: Swaps of two models' predictions, for each pair of models that is asked for.
    """

    n_resamples: int = 2000
    n_permutations: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class ResampledTask:
    """One score of one task, for every model that has it and over resamples of its test clips.

    Attributes:
        models: The models that have the task.
        n_clips: Clips of each test split.
        resampled: Scores of each model, on the same resamples.
        by_swapping: p of pairs of models, by positions, the lower first, from permutations; empty
            without.
    """

    task: str
    score: str
    maximise: bool
    models: tuple[ModelResults, ...]
    n_clips: tuple[int, ...]
    resampled: Resampled
    by_swapping: dict[tuple[int, int], float]


def score_of(task: str, models: Sequence[ModelResults], wanted: str | None) -> str | None:
    """Chooses the score to compare models by on a task.

    Args:
        models: The models that have it.
        wanted: Name of a score; None for the first one of the task's results.

    Returns:
        None if not all of the results have the one that is wanted.

    Raises:
        ResultError: The results have different first scores.
    """
    results = [model.first[task] for model in models]
    if wanted is not None:
        return wanted if all(wanted in result.scores for result in results) else None
    first = results[0].primary_score
    for model, result in zip(models, results, strict=True):
        if result.primary_score != first:
            raise ResultError(
                f"{task}: the first score is {first} in the result of {models[0].name}, and "
                f"{result.primary_score} in that of {model.name}. Choose one with --score."
            )
    return first


def resample_task(
    task: str,
    score: str,
    models: Sequence[ModelResults],
    resampling: Resampling,
    swapped: Sequence[tuple[int, int]] = (),
) -> ResampledTask:
    """Reads the predictions of a task's results and resamples its test clips.

    Args:
        score: Name of a score that all the results have.
        models: Models that have the task.
        resampling: How often, and by which seed.
        swapped: Pairs of models, as positions, for which permutations are wanted as well.

    Raises:
        ResultError: A result isn't what it should be, or is of other clips, labels or splits.
        UnknownNameError: The score doesn't exist.
    """
    like: ClipScores | None = None
    of_models: list[list[ClipScores]] = []
    for model in models:
        seeds = []
        for folder in model.tasks[task]:
            found = read_clip_scores(folder, scores=(score,), like=like)
            like = like or found
            seeds.append(found)
        of_models.append(seeds)
    first = of_models[0][0]
    p_values = {
        (a, b): _by_swapping(score, of_models[a], of_models[b], first, resampling)
        for a, b in {(min(pair), max(pair)) for pair in swapped}
    }
    return ResampledTask(
        task=task,
        score=score,
        maximise=first.result.scores[score].maximise,
        models=tuple(models),
        n_clips=tuple(len(split.clips) for split in first.splits),
        resampled=resampled(
            score, of_models, n_resamples=resampling.n_resamples, seed=resampling.seed
        ),
        by_swapping=p_values,
    )


def _by_swapping(
    score: str,
    a: Sequence[ClipScores],
    b: Sequence[ClipScores],
    like: ClipScores,
    resampling: Resampling,
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
            ours, theirs = (_split(each, split).predictions for each in (one, other))
            if ours.is_blank or theirs.is_blank:
                return math.nan
            scores.append(ours.pooled_clip_score(score, theirs))
        pooled.append(scores)
    if not pooled:
        return math.nan
    with np.errstate(invalid="ignore"):  # differences of infinite scores
        return permutation_p_value(
            pooled, n_permutations=resampling.n_permutations, seed=resampling.seed
        )


def _split(result: ClipScores, like: SplitScores) -> SplitScores:
    return next(split for split in result.splits if split.name == like.name)
