"""The aggregates once more, slow and obvious: one number after the other, as the docs say it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Scores = Sequence[Sequence["float | None"]]


def filled(scores: Scores, treatment: str, imputed: Scores) -> list[list[float | None]]:
    if treatment == "imputed":
        return [list(row) for row in imputed]
    return [list(row) for row in scores]


def mid_rank(score: float, others: Sequence[float]) -> float:
    """Of a score that is one of the others; equal ones share the mean of their ranks."""
    better = sum(other > score for other in others)
    equal = sum(other == score for other in others)
    return better + (equal + 1) / 2


def points_of(
    name: str,
    i: int,
    j: int,
    treatment: str,
    scores: Scores,
    imputed: Scores,
    normalised: Scores,
    reference: Scores,
) -> float | None:
    """What a model gets for a task, with every model having a score somewhere."""
    own = filled(scores, treatment, imputed)
    column = [row[j] for row in own]
    known = [score for score in column if score is not None]
    score = column[i]
    worst = treatment == "worst" and score is None
    if name == "paper-mean":
        if scores[i][j] is None and treatment != "imputed":
            return -1.0 if worst else None
        return normalised[i][j]
    if name == "mean-rank":
        if score is not None:
            return mid_rank(score, known)
        n_missing = len(column) - len(known)
        return len(known) + (n_missing + 1) / 2 if worst else None
    if name == "borda":
        if score is None:
            return 0.0 if worst else None
        beaten = sum(other < score for other in known)
        equal = sum(other == score for other in known) - 1
        absent = len(column) - len(known) if treatment == "worst" else 0
        return beaten + equal / 2 + absent
    official = [row[j] for row in reference if row[j] is not None]
    best, lowest = max(official), min(official)  # type: ignore[type-var]
    assert best is not None
    assert lowest is not None
    if score is None:
        return 0.0 if worst else None
    if name == "share-of-best":
        return score / best
    if name == "min-max":
        return (score - lowest) / (best - lowest)
    return score


def value_of(name: str, points: Sequence[float | None], n_counted: int) -> float:
    """Of a model's points; so many tasks count, being ones that anybody has points on."""
    known = [point for point in points if point is not None]
    mean = statistics.fmean(known)
    return mean * n_counted if name in ("sum", "borda") else mean
