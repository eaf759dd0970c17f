"""Aggregates: ways to make one number of a model's scores, none of which is the score.

The benchmark has no overall score. Each aggregate turns every score into points, task by task, and
takes a model's mean or sum of them; they differ in what the points are and in what becomes of a
missing score.

For orders by ranks see Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets",
JMLR 7, 2006, and Colombo et al., "What are the best systems? New perspectives on NLP
benchmarking", NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hearbench.errors import UnknownNameError
from hearbench.leaderboard.score_matrix import Floats, ScoreMatrix
from hearbench.registry import did_you_mean

__all__ = ["AGGREGATES", "AGGREGATES_OF_ROWS", "Aggregate", "get_aggregate", "ranks_of"]

# Sums in another order differ in their last digits; scores have nine.
_DECIMALS = 10


@dataclass(frozen=True)
class Aggregate:
    """A way to make one number of a model's scores.

    Attributes:
        name: Name as in ``paper-mean``.
        title: The aggregate in a few words.
        explanation: What it measures, in plain sentences.
        source: Who uses it.
        missing: What becomes of a missing score: it is left out, counts as the worst, or is
            imputed.
        if_missing: The same in a sentence.
        relative: Whether the models of the table change each other's values; otherwise they
            depend on the reference alone.
        total: Whether it is a sum over the tasks; otherwise a mean.
        decimals: How many decimals are worth showing.
        points: Points (n_models, n_tasks) of a table, NaN where a model has none.
    """

    name: str
    title: str
    explanation: str
    source: str
    missing: Literal["left-out", "worst", "imputed"]
    if_missing: str
    points: Callable[[ScoreMatrix], Floats]
    maximise: bool = True
    relative: bool = False
    total: bool = False
    decimals: int = 3

    def values(self, matrix: ScoreMatrix) -> Floats:
        """One number per model, (n_models,); NaN for a model that has no value.

        That is a model without a score and, unless a missing score counts as the worst, one that
        has fewer than half of them: its number would say which tasks it ran, or what the others
        scored.
        """
        values: Floats = self.weighted_values(matrix, np.ones((1, len(matrix.columns))))[0]
        return values

    def weighted_values(self, matrix: ScoreMatrix, weights: Floats) -> Floats:
        """Values if tasks counted more or less than once.

        Args:
            weights: (n_weightings, n_tasks), how often each task counts.

        Returns:
            (n_weightings, n_models); NaN where no task counts on which the model has points.
        """
        points = self.points(matrix)
        valid = matrix.ran if self.missing == "worst" else matrix.ran_half
        if self.missing == "imputed":
            valid = valid & ~np.isnan(points).any(axis=1)
        known = ~np.isnan(points) & valid[:, None]
        weight = weights @ known.T.astype(np.float64)
        sums = weights @ np.where(known, points, 0.0).T
        divisor = np.ones_like(weight) if self.total else weight
        values: Floats = np.divide(sums, divisor, out=np.full_like(sums, np.nan), where=weight > 0)
        return values


def ranks_of(values: Floats, *, maximise: bool) -> Floats:
    """Ranks along the last axis, 1 for the best; equal values share the better rank.

    NaN where the value is. Values that differ by rounding alone are equal.
    """
    from scipy.stats import rankdata

    missing = np.isnan(values)
    keys = np.where(missing, np.inf, np.round(-values if maximise else values, _DECIMALS))
    ranks = rankdata(keys, method="min", axis=-1).astype(np.float64)
    return np.where(missing, np.nan, ranks)


def _paper_mean(matrix: ScoreMatrix) -> Floats:
    return matrix.normalised


def _mean_rank(matrix: ScoreMatrix) -> Floats:
    """Ranks per task; equal scores share the mean of their ranks."""
    from scipy.stats import rankdata

    scores = np.round(matrix.scores, _DECIMALS)
    ranks: Floats = rankdata(-scores, method="average", axis=0, nan_policy="omit")
    return ranks


def _min_max(matrix: ScoreMatrix) -> Floats:
    """Scores from the lowest to the best of the reference as 0 to 1; NaN where both are equal."""
    spread = np.where(matrix.best > matrix.lowest, matrix.best - matrix.lowest, np.nan)
    points: Floats = (matrix.scores - matrix.lowest) / spread
    return points


def _mean(matrix: ScoreMatrix) -> Floats:
    return matrix.scores


def _sum(matrix: ScoreMatrix) -> Floats:
    return np.nan_to_num(matrix.scores, nan=0.0)


AGGREGATES: tuple[Aggregate, ...] = (
    Aggregate(
        name="paper-mean",
        title="mean normalised score, as in the paper",
        explanation="Each task's scores are brought to mean 0 and variance 1 over the models of "
        "the table and clipped to -1 to 1, so that no task counts for more because its scores "
        "spread further, and no outlier for more than one deviation. A model's are averaged.",
        source="Turian et al., HEAR, PMLR 176, 2022, who order their heat map by it and call it "
        "no overall score.",
        missing="imputed",
        if_missing="A missing score is estimated from the model's other scores and from the other "
        "models (scikit-learn's IterativeImputer), before the scores are normalised.",
        points=_paper_mean,
        relative=True,
    ),
    Aggregate(
        name="mean-rank",
        title="mean rank",
        explanation="The mean of a model's ranks, task by task; equal scores share the mean of "
        "their ranks. How far ahead a model is doesn't count, nor on which scale a task is "
        "scored. Less is better.",
        source="Friedman's test; Demšar, JMLR 7, 2006.",
        missing="left-out",
        if_missing="A missing score is left out: the rank is among the models that ran the task, "
        "the mean over the tasks that the model ran. It pays to leave out what one is bad at.",
        points=_mean_rank,
        maximise=False,
        relative=True,
        decimals=2,
    ),
    Aggregate(
        name="min-max",
        title="mean of min-max-normalised scores, s(m)",
        explanation="On each task the lowest official score is 0 and the highest is 1; a model's "
        "are averaged. One model that fails moves the lower end of a task for all. The models of "
        "the table don't change each other's values, and a new model may be below 0 or above 1.",
        source="Yadav et al., Masked Autoencoders with Multi-Window Local-Global Attention, ICLR "
        "2024, as s(m) in percent; there over other models and tasks.",
        missing="left-out",
        if_missing="A missing score is left out: the mean is over the tasks that the model ran.",
        points=_min_max,
    ),
    Aggregate(
        name="mean",
        title="mean of the scores of the tasks that were run",
        explanation="The scores are averaged as they are. For a model without gaps it is the sum "
        "divided by the number of tasks, and gives the same order among such models.",
        source="The usual last column of tables in papers.",
        missing="left-out",
        if_missing="A missing score is left out, so a model gains by leaving out a hard task.",
        points=_mean,
    ),
    Aggregate(
        name="sum",
        title="sum of the scores, as the site sorts",
        explanation="The scores are added up as they are, accuracies with F-measures and mean "
        "average precisions. Tasks on which models differ most rule the order.",
        source="The order in which the official site opens.",
        missing="worst",
        if_missing="A missing score counts as 0, so a model loses whole points by each.",
        points=_sum,
        total=True,
    ),
)
"""All aggregates, the paper's first."""


def get_aggregate(name: str) -> Aggregate:
    """Looks an aggregate up by its name, whatever the case.

    Raises:
        UnknownNameError: No aggregate has that name.
    """
    for aggregate in AGGREGATES:
        if aggregate.name == name.lower():
            return aggregate
    known = did_you_mean(name, [aggregate.name for aggregate in AGGREGATES])
    raise UnknownNameError(f"There is no aggregate {name!r}. {known}")


AGGREGATES_OF_ROWS: tuple[Aggregate, ...] = tuple(
    replace(
        item,
        explanation="On each task the lowest score of these models is 0 and the highest is 1; a "
        "model's are averaged. One model that fails moves the lower end of a task for all, and a "
        "model that is added or left out changes the others' values.",
        relative=True,
    )
    if item.name == "min-max"
    else item
    for item in AGGREGATES
)
"""All aggregates where the ends of ``min-max`` are those of the models that are ranked."""
