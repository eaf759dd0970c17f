"""Intervals, tests and verdicts from resampled scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.comparison.record import (
    ModelStanding,
    PairDifference,
    TaskComparison,
    TaskResolution,
    TaskScore,
)
from hearbench.comparison.resampled import ResampledTask
from hearbench.results.aggregate import common_folds, mean_of_seeds
from hearbench.results.variance import Term, Variance, variance_of
from hearbench.stats.intervals import Interval
from hearbench.stats.paired import resolution
from hearbench.stats.ranks import rank_intervals, ranks

__all__ = [
    "NO_DIFFERENCE",
    "MeanRanks",
    "Ranks",
    "RawPair",
    "judged",
    "mean_ranks",
    "raw_pair",
    "standings",
    "task_comparison",
    "task_ranks",
]

NO_DIFFERENCE = "no difference shown"

# Widths this small, next to a score or to another width, are rounding.
_NO_WIDTH = 1e-6

_Floats = npt.NDArray[np.float64]

Ranks = Mapping[str, tuple[float, float, float]]
"""Rank, best rank and worst rank by model; NaN where undefined."""


@dataclass(frozen=True)
class RawPair:
    """A difference of two models before tests are corrected for their number.

    Attributes:
        a: Position of the first model among the task's.
        b: Position of the second model.
        difference: The first score minus the second; NaN if it is undefined.
        variance: Variance of the difference; None if unknown.
        reach: How large a difference can be.
        p_bootstrap: p of no difference, by resampling; NaN if unknown.
        p_permutation: p of no difference, by swapping predictions; NaN if unknown or not asked for.
    """

    a: int
    b: int
    difference: float
    variance: Variance | None
    reach: float
    p_bootstrap: float
    p_permutation: float

    @property
    def p(self) -> float:
        """The larger p-value where both were asked for: a difference must stand in both.

        Permutations know of the test clips alone, resamples of seeds and folds as well; where
        these say nothing, and there is no interval either, p is unknown.
        """
        if math.isnan(self.p_bootstrap) or math.isnan(self.p_permutation):
            return self.p_bootstrap
        return max(self.p_bootstrap, self.p_permutation)

    def interval(self, level: float) -> Interval:
        """The interval of the difference by resampling; NaN if unknown."""
        if self.variance is None:
            return Interval(math.nan, math.nan)
        return self.variance.difference_interval(self.difference, level, self.reach)


def raw_pair(sample: ResampledTask, a: int, b: int, test: str) -> RawPair:
    """Measures the difference of two models, with its variance and p-values.

    Args:
        a: Position of the first model.
        b: Position of the second model, whose score is taken off.
        test: ``bootstrap`` or ``permutation``.
    """
    points, replicates = sample.resampled.points, sample.resampled.replicates
    # Folds that only one of them has a score on would compare other clips.
    there = common_folds(points[a], points[b])
    difference = mean_of_seeds(points[a][:, there]) - mean_of_seeds(points[b][:, there])
    terms = [Term(points[a], replicates[a]), Term(points[b], replicates[b], -1.0)]
    variance = variance_of(terms, sample.n_clips)
    # Two scores in [0, 1] differ by 1 at most.
    lowest, highest = sample.resampled.bounds
    reach = highest - lowest
    by_swapping = math.nan
    # Among infinite scores there is nothing to be reached by swapping.
    if math.isfinite(difference) and test == "permutation":
        by_swapping = sample.by_swapping[min(a, b), max(a, b)]
    by_resampling = math.nan if variance is None else variance.p_value(difference, reach)
    return RawPair(a, b, difference, variance, reach, by_resampling, by_swapping)


def judged(
    sample: ResampledTask, pair: RawPair, p_holm: float, divisor: float, level: float
) -> PairDifference:
    """Decides whether a difference is one, with an interval that says the same.

    Args:
        p_holm: The p-value, corrected for all differences.
        divisor: What the correction divided the level of this test by.
        level: Level of an interval alone; 1 minus it is the level of all tests together.
    """
    a, b = (sample.models[i].name for i in (pair.a, pair.b))
    better: str | None = None
    alone, together = pair.interval(level), pair.interval(1 - (1 - level) / divisor)
    if math.isnan(p_holm):
        verdict = "can't be judged, as a score is undefined or infinite"
    elif p_holm <= 1 - level:
        better = a if (pair.difference > 0) == sample.maximise else b
        verdict = f"{better} is better"
    else:
        verdict = NO_DIFFERENCE
        # A p that isn't the resamples' own may leave 0 where they don't.
        together = Interval(min(together.low, 0.0), max(together.high, 0.0))
    protocols = {sample.models[i].conditions[sample.task].fingerprint for i in (pair.a, pair.b)}
    across = len(protocols) > 1
    if across:
        verdict += ", by different protocols"
    return PairDifference(
        model_a=a,
        model_b=b,
        difference=pair.difference,
        std=math.nan if pair.variance is None else math.sqrt(pair.variance.total),
        low=together.low,
        high=together.high,
        p=pair.p,
        p_holm=p_holm,
        better=better,
        verdict=verdict,
        low_alone=alone.low,
        high_alone=alone.high,
        p_bootstrap=pair.p_bootstrap,
        p_permutation=pair.p_permutation,
        across_protocols=across,
    )


def task_comparison(
    sample: ResampledTask, pairs: Sequence[PairDifference], ranks: Ranks, level: float
) -> TaskComparison:
    """Gathers scores, differences and notes of a task.

    Args:
        ranks: Rank, best rank and worst rank of each model on it.
    """
    return TaskComparison(
        task=sample.task,
        score=sample.score,
        maximise=sample.maximise,
        n_clips=sum(sample.n_clips),
        n_folds=len(sample.n_clips),
        resolution=_resolution(sample, level),
        scores=tuple(_score(sample, i, ranks, level) for i in range(len(sample.models))),
        pairs=tuple(pairs),
        notes=tuple(_notes(sample)),
    )


def _score(sample: ResampledTask, i: int, ranks: Ranks, level: float) -> TaskScore:
    model = sample.models[i]
    points, replicates = sample.resampled.points[i], sample.resampled.replicates[i]
    mean = mean_of_seeds(points)
    variance = variance_of([Term(points, replicates)], sample.n_clips)
    std = low = high = math.nan
    if variance is not None:
        interval = variance.interval(mean, level, sample.resampled.bounds)
        std, low, high = math.sqrt(variance.total), interval.low, interval.high
    rank, rank_low, rank_high = ranks[model.name]
    conditions = model.conditions[sample.task]
    return TaskScore(
        model=model.name,
        mean=mean,
        std=std,
        low=low,
        high=high,
        seeds=model.seeds[sample.task],
        is_random=model.first[sample.task].protocol.is_random,
        protocol=model.first[sample.task].protocol.name,
        fingerprint=conditions.fingerprint,
        protocol_words=conditions.short_words,
        rank=rank,
        rank_low=rank_low,
        rank_high=rank_high,
    )


def _sizes(sample: ResampledTask, there: npt.NDArray[np.bool_]) -> list[int]:
    """Test clips of some folds."""
    return [n for n, wanted in zip(sample.n_clips, there.tolist(), strict=True) if wanted]


def _resolution(sample: ResampledTask, level: float) -> TaskResolution | None:
    resampled = list(zip(sample.resampled.points, sample.resampled.replicates, strict=True))
    # A model without any fold has nothing to tell.
    resampled = [each for each in resampled if common_folds(each[0]).any()]
    if len(resampled) < 2:
        return None
    there = common_folds(*(points for points, _ in resampled))
    if not there.any():
        return None
    means = [replicates[:, there].mean(axis=(0, 1)) for _, replicates in resampled]
    usable = [mean for mean in means if np.isfinite(mean).all()]
    if len(usable) < 2:
        return None
    found = resolution(np.stack(usable), n_clips=_sizes(sample, there), level=level)
    if not found.alone > _NO_WIDTH:
        return None
    if found.paired > _NO_WIDTH * found.alone:
        return TaskResolution(alone=found.alone, paired=found.paired, detectable=found.detectable)
    # Models that agree on every clip say nothing about how models disagree.
    return TaskResolution(alone=found.alone, paired=math.nan, detectable=math.nan)


def _notes(sample: ResampledTask) -> list[str]:
    task = sample.task
    notes = []
    protocols: dict[str, list[str]] = {}
    for model in sample.models:
        protocol = model.first[task].protocol
        protocols.setdefault(protocol.recorded(), []).append(model.name)
    if len(protocols) > 1:
        said = "; ".join(
            f"{', '.join(names)} by {_protocol(sample, names[0])}" for names in protocols.values()
        )
        notes.append(f"{task}: evaluated by different protocols, {said}.")
    precisions: dict[str, list[str]] = {}
    for model in sample.models:
        precision = model.conditions[task].precision
        if precision is not None:
            precisions.setdefault(precision, []).append(model.name)
    if len(precisions) > 1:
        said = "; ".join(f"{', '.join(names)} in {each}" for each, names in precisions.items())
        notes.append(f"{task}: trained in different precisions, {said}.")
    for model, points, replicates in zip(
        sample.models,
        sample.resampled.points,
        sample.resampled.replicates,
        strict=True,
    ):
        there = common_folds(points)
        if not there.any():
            notes.append(f"{task}: {sample.score} of {model.name} is undefined.")
            continue
        if not there.all():
            notes.append(
                f"{task}: {sample.score} of {model.name} is undefined on "
                f"{int((~there).sum())} of {len(there)} test splits, which are left out; "
                "differences are over the test splits that both models have."
            )
            points, replicates = points[:, there], replicates[:, there]
        if np.isinf(points).any():
            notes.append(f"{task}: {sample.score} of {model.name} is infinite.")
        elif not np.isfinite(replicates).all():
            bad = int((~np.isfinite(replicates)).any(axis=(0, 1)).sum())
            notes.append(
                f"{task}: {sample.score} of {model.name} is infinite or undefined in {bad} of "
                f"{replicates.shape[-1]} resamples."
            )
        elif math.isinf(sample.resampled.bounds[0]) and not np.ptp(replicates, axis=-1).any():
            notes.append(
                f"{task}: {sample.score} of {model.name} is the same in every resample, so its "
                "interval has no width; other clips may still score otherwise."
            )
    return notes


def _protocol(sample: ResampledTask, name: str) -> str:
    found = next(model for model in sample.models if model.name == name)
    return found.first[sample.task].protocol.name


@dataclass(frozen=True)
class MeanRanks:
    """Mean ranks of models that are ranked with each other.

    Attributes:
        n_tasks: How many tasks have a score of every model.
        of_model: The mean rank over these tasks by model, with the best and the worst that no
            verdict speaks against; NaN if there is no such task.
    """

    n_tasks: int
    of_model: Ranks


def task_ranks(sample: ResampledTask, pairs: Sequence[PairDifference] = ()) -> Ranks:
    """Ranks the models of a task.

    Args:
        pairs: What the tests found; without it no model is surely better.
    """
    names = [model.name for model in sample.models]
    scores = np.array([mean_of_seeds(points) for points in sample.resampled.points])
    better = np.zeros((len(names), len(names)), dtype=bool)
    for pair in pairs:
        if pair.better is not None:
            other = pair.model_b if pair.better == pair.model_a else pair.model_a
            better[names.index(pair.better), names.index(other)] = True
    rank = ranks(scores[:, None], maximise=[sample.maximise])[:, 0]
    found = np.stack([rank, *rank_intervals(~np.isnan(scores), better)], axis=1)
    return {name: (row[0], row[1], row[2]) for name, row in zip(names, found.tolist(), strict=True)}


def mean_ranks(names: Sequence[str], of_tasks: Sequence[Ranks]) -> MeanRanks:
    """Means of ranks over the tasks that have a score of every one of some models.

    Args:
        of_tasks: Ranks on each task, of some or all of these models or of others.
    """
    whole = [
        [ranks[name] for name in names]
        for ranks in of_tasks
        if ranks.keys() == set(names) and not any(math.isnan(rank) for rank, _, _ in ranks.values())
    ]
    mean = np.mean(whole, axis=0) if whole else np.full((len(names), 3), math.nan)
    of_model = {
        name: (row[0], row[1], row[2]) for name, row in zip(names, mean.tolist(), strict=True)
    }
    return MeanRanks(len(whole), of_model)


def standings(
    groups: Sequence[Sequence[str]], tasks: Sequence[TaskComparison], of_tasks: Sequence[Ranks]
) -> tuple[ModelStanding, ...]:
    """Summarises each model over all tasks, group after group.

    Args:
        groups: Names of models that are ranked with each other.
        of_tasks: Ranks on each task.
    """
    return tuple(
        _standing(name, number, tasks, found)
        for number, names in enumerate(groups)
        for found in [mean_ranks(names, of_tasks)]
        for name in names
    )


def _standing(
    name: str, group: int, tasks: Sequence[TaskComparison], found: MeanRanks
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
        mean_rank=found.of_model[name][0],
        low=found.of_model[name][1],
        high=found.of_model[name][2],
        n_tasks=found.n_tasks,
        n_pairs=n_pairs,
        ahead=ahead,
        clearly_better=better,
        clearly_worse=worse,
        group=group,
    )
