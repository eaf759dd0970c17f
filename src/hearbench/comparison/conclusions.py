"""From resampled scores to intervals, tests and words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hearbench.comparison.evidence import Evidence
from hearbench.comparison.record import (
    PairDifference,
    TaskComparison,
    TaskResolution,
    TaskScore,
)
from hearbench.comparison.standings import TaskRanks
from hearbench.results.variance import NO_VARIANCE, Term, variance_of
from hearbench.stats.paired import difference_interval
from hearbench.stats.resolution import resolution

__all__ = ["NO_DIFFERENCE", "RawPair", "judged", "raw_pair", "task_comparison"]

NO_DIFFERENCE = "no difference shown"

# Widths this small, next to a score or to another width, are rounding.
_NO_WIDTH = 1e-6


@dataclass(frozen=True)
class RawPair:
    """A difference before the correction for the number of tests.

    Attributes:
        a: Position of the one model among the task's.
        b: Position of the other.
        difference: A's score minus B's; NaN if it is undefined.
        std: Standard deviation; NaN if unknown, as all that follow.
        low: The interval's lower end.
        high: Its upper end.
        p: Of no difference.
    """

    a: int
    b: int
    difference: float
    std: float
    low: float
    high: float
    p: float


def raw_pair(evidence: Evidence, a: int, b: int, level: float, test: str) -> RawPair:
    """The difference of two models, its interval and p.

    Args:
        evidence: Of the task.
        a: Position of the one model.
        b: Position of the other.
        level: Of the interval.
        test: ``bootstrap`` or ``permutation``.
    """
    points, replicates = evidence.resampled.points, evidence.resampled.replicates
    difference = _mean(points[a]) - _mean(points[b])
    terms = [Term(points[a], replicates[a]), Term(points[b], replicates[b], -1.0)]
    variance = variance_of(terms, evidence.n_clips)
    p = math.nan
    # Among infinite scores there is nothing to be reached by swapping.
    if math.isfinite(difference) and test == "permutation":
        p = evidence.by_swapping[min(a, b), max(a, b)]
    if variance is None:
        return RawPair(a, b, difference, math.nan, math.nan, math.nan, p)
    interval = variance.interval(difference, level)
    if variance.total <= NO_VARIANCE:  # they agree on all clips
        gains = replicates[a].mean(axis=(0, 1)) - replicates[b].mean(axis=(0, 1))
        interval = difference_interval(
            difference,
            gains,
            n_clips=evidence.n_clips,
            level=level,
            bounds=evidence.resampled.bounds,
        )
    if test == "bootstrap":
        p = variance.p_value(difference)
    # Two scores in [0, 1] differ by 1 at most.
    lowest, highest = evidence.resampled.bounds
    reach = highest - lowest
    low, high = max(-reach, interval.low), min(reach, interval.high)
    return RawPair(a, b, difference, math.sqrt(variance.total), low, high, p)


def judged(evidence: Evidence, pair: RawPair, p_holm: float, level: float) -> PairDifference:
    """A difference in words."""
    a, b = (evidence.entrants[i].name for i in (pair.a, pair.b))
    better: str | None = None
    if math.isnan(p_holm):
        verdict = "can't be judged, as a score is undefined or infinite"
    elif p_holm <= 1 - level:
        better = a if (pair.difference > 0) == evidence.maximise else b
        verdict = f"{better} is better"
    else:
        verdict = NO_DIFFERENCE
    return PairDifference(
        model_a=a,
        model_b=b,
        difference=pair.difference,
        std=pair.std,
        low=pair.low,
        high=pair.high,
        p=pair.p,
        p_holm=p_holm,
        better=better,
        verdict=verdict,
    )


def task_comparison(
    evidence: Evidence, pairs: Sequence[PairDifference], ranks: TaskRanks, level: float
) -> TaskComparison:
    """All that is said of a task."""
    return TaskComparison(
        task=evidence.task,
        score=evidence.score,
        maximise=evidence.maximise,
        n_clips=sum(evidence.n_clips),
        n_folds=len(evidence.n_clips),
        resolution=_resolution(evidence, level),
        scores=tuple(_score(evidence, i, ranks, level) for i in range(len(evidence.entrants))),
        pairs=tuple(pairs),
        notes=tuple(_notes(evidence)),
    )


def _score(evidence: Evidence, i: int, ranks: TaskRanks, level: float) -> TaskScore:
    entrant = evidence.entrants[i]
    points, replicates = evidence.resampled.points[i], evidence.resampled.replicates[i]
    mean = _mean(points)
    variance = variance_of([Term(points, replicates)], evidence.n_clips)
    std = low = high = math.nan
    if variance is not None:
        interval = variance.interval(mean, level, evidence.resampled.bounds)
        std, low, high = math.sqrt(variance.total), interval.low, interval.high
    rank, rank_low, rank_high = ranks.of_task[evidence.task][entrant.name]
    return TaskScore(
        model=entrant.name,
        mean=mean,
        std=std,
        low=low,
        high=high,
        seeds=entrant.seeds[evidence.task],
        is_random=entrant.first[evidence.task].protocol.is_random,
        protocol=entrant.first[evidence.task].protocol.name,
        rank=rank,
        rank_low=rank_low,
        rank_high=rank_high,
    )


def _mean(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return float(points.mean(axis=1).mean())


def _resolution(evidence: Evidence, level: float) -> TaskResolution | None:
    means = [replicates.mean(axis=(0, 1)) for replicates in evidence.resampled.replicates]
    usable = [mean for mean in means if np.isfinite(mean).all()]
    if len(usable) < 2:
        return None
    found = resolution(np.stack(usable), n_clips=list(evidence.n_clips), level=level)
    if not found.alone > _NO_WIDTH:
        return None
    if found.paired > _NO_WIDTH * found.alone:
        return TaskResolution(alone=found.alone, paired=found.paired, detectable=found.detectable)
    # Models that agree on every clip say nothing about how models disagree.
    return TaskResolution(alone=found.alone, paired=math.nan, detectable=math.nan)


def _notes(evidence: Evidence) -> list[str]:
    task = evidence.task
    notes = []
    protocols: dict[str, list[str]] = {}
    for entrant in evidence.entrants:
        protocol = entrant.first[task].protocol
        protocols.setdefault(protocol.model_dump_json(), []).append(entrant.name)
    if len(protocols) > 1:
        said = "; ".join(
            f"{', '.join(names)} by {_protocol(evidence, names[0])}" for names in protocols.values()
        )
        notes.append(f"{task}: evaluated by different protocols, {said}.")
    for entrant, points, replicates in zip(
        evidence.entrants,
        evidence.resampled.points,
        evidence.resampled.replicates,
        strict=True,
    ):
        if np.isnan(points).any():
            notes.append(f"{task}: {evidence.score} of {entrant.name} is undefined.")
        elif np.isinf(points).any():
            notes.append(f"{task}: {evidence.score} of {entrant.name} is infinite.")
        elif not np.isfinite(replicates).all():
            bad = int((~np.isfinite(replicates)).any(axis=(0, 1)).sum())
            notes.append(
                f"{task}: {evidence.score} of {entrant.name} is infinite or undefined in {bad} of "
                f"{replicates.shape[-1]} resamples."
            )
        elif math.isinf(evidence.resampled.bounds[0]) and not np.ptp(replicates, axis=-1).any():
            notes.append(
                f"{task}: {evidence.score} of {entrant.name} is the same in every resample, so its "
                "interval has no width; other clips may still score otherwise."
            )
    return notes


def _protocol(evidence: Evidence, name: str) -> str:
    found = next(entrant for entrant in evidence.entrants if entrant.name == name)
    return found.first[evidence.task].protocol.name
