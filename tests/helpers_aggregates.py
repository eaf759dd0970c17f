"""The aggregates once more, slow and obvious: one number after the other, as the docs say it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Scores = Sequence[Sequence["float | None"]]


def mid_rank(score: float, others: Sequence[float]) -> float:
    """Of a score that is one of the others; equal ones share the mean of their ranks."""
    better = sum(other > score for other in others)
    equal = sum(other == score for other in others)
    return better + (equal + 1) / 2


def points_of(
    name: str, i: int, j: int, scores: Scores, normalised: Scores, reference: Scores
) -> float | None:
    """What a model gets for a task, with every model having a score somewhere."""
    score = scores[i][j]
    if name == "paper-mean":
        return normalised[i][j]
    if score is None:
        return 0.0 if name == "sum" else None
    if name == "mean-rank":
        return mid_rank(score, [row[j] for row in scores if row[j] is not None])  # type: ignore[misc]
    if name == "min-max":
        official = [row[j] for row in reference if row[j] is not None]
        best, lowest = max(official), min(official)  # type: ignore[type-var]
        assert best is not None
        assert lowest is not None
        return (score - lowest) / (best - lowest)
    return score


def value_of(name: str, points: Sequence[float | None]) -> float:
    """The mean of a model's points, or for ``sum`` their sum."""
    known = [point for point in points if point is not None]
    return sum(known) if name == "sum" else statistics.fmean(known)
