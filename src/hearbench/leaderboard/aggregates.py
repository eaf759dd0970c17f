"""Ways to make one number of a model's scores, each under its own name; none is the score.

The benchmark has no overall score. Every aggregate here turns each score into points, task by
task, and takes their mean or sum; they differ in what the points are and in what becomes of a
score that is missing. That last choice can be changed for each of them (`TREATMENTS`), which
shows how much of a rank it makes.

Orders by ranks go back to Borda (1781); for benchmarks see Demšar, "Statistical Comparisons of
Classifiers over Multiple Data Sets", JMLR 7, 2006, and Colombo et al., "What are the best
systems? New perspectives on NLP benchmarking", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hearbench.errors import UnknownNameError
from hearbench.leaderboard.sheet import Floats, Sheet
from hearbench.registry import did_you_mean

__all__ = [
    "AGGREGATES",
    "TREATMENTS",
    "Aggregate",
    "Treatment",
    "combine",
    "get_aggregate",
    "ranks_of",
]

Treatment = Literal["left-out", "worst", "imputed"]

TREATMENTS: dict[Treatment, str] = {
    "left-out": "a missing score is left out of the model's mean; a sum is scaled up to all tasks",
    "worst": "a missing score gets the fewest points there are: those of a score of 0, of the last "
    "rank, of the lowest official score, of a normalised score of -1",
    "imputed": "a missing score is estimated from the other tasks, as the paper does",
}
"""What may become of a missing score, by name."""

# Sums in another order differ in their last digits; scores have nine.
_DECIMALS = 10


@dataclass(frozen=True)
class Aggregate:
    """A way to make one number of a model's scores.

    Attributes:
        name: As in ``paper-mean``.
        title: In a few words.
        explanation: What it is, in plain sentences.
        source: Where it is from.
        maximise: Whether more is better.
        missing: What becomes of a missing score, unless it is said otherwise.
        if_missing: The same in a sentence.
        relative: Whether the models of the table change each other's values; otherwise they
            depend on the reference alone.
        total: Whether it is a sum over the tasks; otherwise a mean.
        decimals: That are worth showing.
        function: Points (n_models, n_tasks) of a sheet under a treatment, NaN where left out.
    """

    name: str
    title: str
    explanation: str
    source: str
    maximise: bool
    missing: Treatment
    if_missing: str
    relative: bool
    total: bool
    decimals: int
    function: Callable[[Sheet, Treatment], Floats]

    def points(self, sheet: Sheet, treatment: Treatment | None = None) -> Floats:
        """Points (n_models, n_tasks), of which the aggregate is the mean or sum.

        Args:
            sheet: The models.
            treatment: Of missing scores, instead of the aggregate's own.

        Returns:
            NaN where there are none: where a score is left out, where a task says nothing (all
            official scores are equal, say), and for models that have no value.
        """
        treatment = treatment or self.missing
        points = self.function(sheet, treatment)
        return np.where(_has_value(sheet, treatment)[:, None], points, np.nan)

    def values(self, sheet: Sheet, treatment: Treatment | None = None) -> Floats:
        """One number per model, (n_models,); NaN for a model that it can't be given for.

        That is a model without a score, and, if missing scores are left out or imputed, one that
        has fewer than half of them: its number would say which tasks it ran, or what the others
        scored.
        """
        everything = np.ones((1, sheet.scores.shape[1]))
        (values,) = combine(self.points(sheet, treatment), everything, total=self.total)
        return np.asarray(values, dtype=np.float64)


def combine(points: Floats, weights: Floats, *, total: bool) -> Floats:
    """Weighted means or sums of points.

    Args:
        points: (n_models, n_tasks), NaN where a model has none.
        weights: (n_ways, n_tasks), how often each task counts.
        total: Sums, scaled up to the weight of all tasks that anybody has points on.

    Returns:
        (n_ways, n_models); NaN where no task counts that the model has points on.
    """
    there = ~np.isnan(points)
    weight = weights @ there.T.astype(np.float64)
    found = weights @ np.where(there, points, 0.0).T
    of = (weights @ there.any(axis=0))[:, None] if total else np.ones((len(weights), 1))
    defined = weight > 0
    scale: Floats = np.divide(of, weight, out=np.full_like(weight, np.nan), where=defined)
    scaled: Floats = found * scale
    return scaled


def ranks_of(values: Floats, *, maximise: bool) -> Floats:
    """Ranks along the last axis, 1 for the best; equal values share the better rank.

    NaN where the value is. Values that differ by rounding alone are equal.
    """
    from scipy.stats import rankdata

    missing = np.isnan(values)
    keys = np.where(missing, np.inf, np.round(-values if maximise else values, _DECIMALS))
    ranks = rankdata(keys, method="min", axis=-1).astype(np.float64)
    return np.where(missing, np.nan, ranks)


def _has_value(sheet: Sheet, treatment: Treatment) -> npt.NDArray[np.bool_]:
    if treatment == "worst":
        return sheet.ran
    if treatment == "imputed":
        return sheet.ran_half & ~np.isnan(sheet.imputed).any(axis=1)
    return sheet.ran_half


def _scores(sheet: Sheet, treatment: Treatment) -> Floats:
    return sheet.imputed if treatment == "imputed" else sheet.scores


def _worst_where_missing(
    points: Floats, sheet: Sheet, treatment: Treatment, worst: float
) -> Floats:
    return np.where(sheet.missing, worst, points) if treatment == "worst" else points


def _normalised(sheet: Sheet, treatment: Treatment) -> Floats:
    if treatment == "imputed":
        return sheet.normalised
    fill = -1.0 if treatment == "worst" and not np.isnan(sheet.normalised).all() else np.nan
    return np.where(sheet.missing, fill, sheet.normalised)


def _ranks_per_task(sheet: Sheet, treatment: Treatment) -> Floats:
    """Ranks (n_models, n_tasks), equal scores sharing the mean of their ranks.

    Under ``worst`` the missing ones are last, all alike; otherwise they are NaN.
    """
    from scipy.stats import rankdata

    scores = _scores(sheet, treatment)
    ranks = np.full(scores.shape, np.nan)
    competing = sheet.ran
    rounded = np.round(scores[competing], _DECIMALS)
    missing = np.isnan(rounded)
    ranked = rankdata(np.where(missing, np.inf, -rounded), method="average", axis=0)
    ranks[competing] = ranked if treatment == "worst" else np.where(missing, np.nan, ranked)
    return ranks


def _borda(sheet: Sheet, treatment: Treatment) -> Floats:
    ranks = _ranks_per_task(sheet, treatment)
    competing = (~np.isnan(ranks)).sum(axis=0)
    return _worst_where_missing(competing - ranks, sheet, treatment, 0.0)


def _share_of_best(sheet: Sheet, treatment: Treatment) -> Floats:
    best = np.where(sheet.best > 0, sheet.best, np.nan)
    points = _worst_where_missing(_scores(sheet, treatment) / best, sheet, treatment, 0.0)
    return np.where(np.isnan(best), np.nan, points)


def _min_max(sheet: Sheet, treatment: Treatment) -> Floats:
    spread = np.where(sheet.best > sheet.lowest, sheet.best - sheet.lowest, np.nan)
    points = (_scores(sheet, treatment) - sheet.lowest) / spread
    points = _worst_where_missing(points, sheet, treatment, 0.0)
    return np.where(np.isnan(spread), np.nan, points)


def _raw(sheet: Sheet, treatment: Treatment) -> Floats:
    return _worst_where_missing(_scores(sheet, treatment), sheet, treatment, 0.0)


AGGREGATES: tuple[Aggregate, ...] = (
    Aggregate(
        name="paper-mean",
        title="mean normalised score, as in the paper",
        explanation="Each task's scores are brought to mean 0 and variance 1 over the models of "
        "the table and clipped to -1 to 1, so that no task counts for more because its scores "
        "spread further, and no outlier for more than one deviation. A model's are averaged.",
        source="Turian et al., HEAR, PMLR 176, 2022, who order their heat map by it and call it "
        "no overall score.",
        maximise=True,
        missing="imputed",
        if_missing="A missing score is estimated from the model's other scores and from the other "
        "models (scikit-learn's IterativeImputer), before the scores are normalised.",
        relative=True,
        total=False,
        decimals=3,
        function=_normalised,
    ),
    Aggregate(
        name="mean-rank",
        title="mean rank",
        explanation="The mean of a model's ranks, task by task; equal scores share the mean of "
        "their ranks. How far ahead a model is doesn't count, nor on which scale a task is "
        "scored. Less is better.",
        source="Friedman's test; Demšar, JMLR 7, 2006.",
        maximise=False,
        missing="left-out",
        if_missing="A missing score is left out: the rank is among the models that ran the task, "
        "the mean over the tasks that the model ran. It pays to leave out what one is bad at.",
        relative=True,
        total=False,
        decimals=2,
        function=_ranks_per_task,
    ),
    Aggregate(
        name="borda",
        title="Borda count",
        explanation="The tasks vote: on each, a model gets a point for every model whose score is "
        "lower and half a point for every equal one. Points are added up. Without gaps it gives "
        "the order of the mean rank.",
        source="Borda, 1781; for benchmarks Colombo et al., NeurIPS 2022.",
        maximise=True,
        missing="worst",
        if_missing="A missing score gets no points, and those that ran the task get a point for "
        "each model that didn't: a model that isn't in a vote is beaten by all that are.",
        relative=True,
        total=True,
        decimals=1,
        function=_borda,
    ),
    Aggregate(
        name="share-of-best",
        title="mean share of the best official score",
        explanation="Each score is divided by the best official one on its task, and a model's "
        "shares are averaged: 1 would be the best everywhere. Tasks with low scores and large "
        "factors between models count most. The models of the table don't change each other's "
        "values, and a new model may have more than 1.",
        source="Papers that compare later models with the official table.",
        maximise=True,
        missing="left-out",
        if_missing="A missing score is left out: the mean is over the tasks that the model ran.",
        relative=False,
        total=False,
        decimals=3,
        function=_share_of_best,
    ),
    Aggregate(
        name="min-max",
        title="mean of min-max-normalised scores, s(m)",
        explanation="On each task the lowest official score is 0 and the highest is 1; a model's "
        "are averaged. One model that fails moves the lower end of a task for all. The models of "
        "the table don't change each other's values, and a new model may be below 0 or above 1.",
        source="Yadav et al., Masked Autoencoders with Multi-Window Local-Global Attention, ICLR "
        "2024, as s(m) in percent; there over other models and tasks.",
        maximise=True,
        missing="left-out",
        if_missing="A missing score is left out: the mean is over the tasks that the model ran.",
        relative=False,
        total=False,
        decimals=3,
        function=_min_max,
    ),
    Aggregate(
        name="sum",
        title="sum of the scores, as the site sorts",
        explanation="The scores are added up as they are, accuracies with F-measures and mean "
        "average precisions. Tasks on which models differ most rule the order.",
        source="The order in which the official site opens.",
        maximise=True,
        missing="worst",
        if_missing="A missing score counts as 0, so a model loses whole points by each.",
        relative=False,
        total=True,
        decimals=3,
        function=_raw,
    ),
    Aggregate(
        name="mean",
        title="mean of the scores of the tasks that were run",
        explanation="The scores are averaged as they are. For a model without gaps it is the sum "
        "divided by the number of tasks, and gives the same order among such models.",
        source="The usual last column of tables in papers.",
        maximise=True,
        missing="left-out",
        if_missing="A missing score is left out, so whoever leaves out a hard task gains by it.",
        relative=False,
        total=False,
        decimals=3,
        function=_raw,
    ),
)
"""All of them, the paper's first."""


def get_aggregate(name: str) -> Aggregate:
    """An aggregate by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    for aggregate in AGGREGATES:
        if aggregate.name == name.lower():
            return aggregate
    known = did_you_mean(name, [aggregate.name for aggregate in AGGREGATES])
    raise UnknownNameError(f"There is no aggregate {name!r}. {known}")
