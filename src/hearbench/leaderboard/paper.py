"""The paper's comparison of models: normalised scores, their means, correlations, maps.

Source: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", PMLR 176, 2022.
Missing cells are imputed by scikit-learn's ``IterativeImputer`` (10 rounds, random_state 0), each
task's scores are standardised over the models (mean 0, variance 1) and clipped to -1 to 1. The
paper has no overall score; it orders models by the mean of these. A model that is added changes
the others' numbers, as it changes each task's mean and variance.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError
from hearbench.leaderboard.table import Table

__all__ = [
    "FEWEST_MODELS",
    "MODEL_PERCENTILES",
    "OFFICIAL_IMPUTED",
    "TASK_PERCENTILES",
    "Normalised",
    "correlation_order",
    "extremes",
    "impute",
    "imputed",
    "model_correlations",
    "normalise",
    "paper_figures",
    "projection",
    "short_tour",
    "standardised",
    "task_correlations",
    "tour_length",
]

# The paper shows the correlations below the first or above the second of these.
MODEL_PERCENTILES = (15.0, 85.0)
TASK_PERCENTILES = (20.0, 80.0)

FEWEST_MODELS = 3
"""With fewer, scores can't be imputed."""

_ROUNDS = 10
_SEED = 0
_FEWEST_POINTS = 4
# scikit-learn's own, where there are points enough.
_PERPLEXITY = 30.0
_FLAT = 1e-12

Floats = npt.NDArray[np.float64]
_SHORTER = 1e-12  # by less, one tour is as short as another


@dataclass(frozen=True)
class Normalised:
    """A table by the paper's measure.

    Attributes:
        models: Names, in the table's order.
        tasks: Columns, in the table's order.
        with_imputed: (n_models, n_tasks) float64 in -1 to 1, missing cells imputed.
        normalised: (n_models, n_tasks) as ``with_imputed``, with NaN where the score is missing.
        mean_with_imputed: (n_models,) means over the tasks of ``with_imputed``.
        order: Positions of the models by falling mean; of equal means in the table's order.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    with_imputed: Floats
    normalised: Floats
    mean_with_imputed: Floats
    order: tuple[int, ...]

    @property
    def ordered_models(self) -> tuple[str, ...]:
        """Names by falling mean."""
        return tuple(self.models[i] for i in self.order)


def normalise(table: Table) -> Normalised:
    """Imputes, standardises and clips a table's scores.

    A task on which all models are equal is 0 for all, and so is one that no model ran.

    Raises:
        ResultError: It has fewer than three models, from which nothing can be imputed.
    """
    if len(table) < FEWEST_MODELS:
        raise ResultError(
            f"The table has {len(table)} models; the paper's measure compares {FEWEST_MODELS} or "
            "more. Add models, or use the official table."
        )
    raw = np.array(
        [[np.nan if score is None else score for score in row.scores] for row in table],
        dtype=np.float64,
    )
    complete = imputed(raw)
    clipped = standardised(complete, complete)
    mean = clipped.mean(axis=1)
    return Normalised(
        models=table.models,
        tasks=table.columns,
        with_imputed=clipped,
        normalised=np.where(np.isnan(raw), np.nan, clipped),
        mean_with_imputed=mean,
        order=tuple(np.argsort(-mean, kind="stable").tolist()),
    )


def imputed(raw: Floats) -> Floats:
    """Scores (n_models, n_tasks) with NaN imputed as in the paper.

    Those of the official table come with hearbench, as making them takes seconds.
    """
    with np.load(OFFICIAL_IMPUTED) as known:
        if np.array_equal(raw, known["raw"], equal_nan=True):
            filled: Floats = known["imputed"]
            return filled
    return impute(raw)


OFFICIAL_IMPUTED = Path(__file__).with_name("official_imputed.npz")
"""The official table's scores, and the same with missing ones imputed, by `tools/impute.py`."""


def impute(raw: Floats) -> Floats:
    """As `imputed`, always by scikit-learn."""
    # Only there after this import.
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    from sklearn.exceptions import ConvergenceWarning  # isort: skip

    imputer = IterativeImputer(max_iter=_ROUNDS, random_state=_SEED, keep_empty_features=True)
    with warnings.catch_warnings():
        # Ten rounds are the paper's, whether or not they suffice.
        warnings.simplefilter("ignore", ConvergenceWarning)
        filled: Floats = imputer.fit_transform(raw)
    return filled


def standardised(scores: Floats, complete: Floats) -> Floats:
    """Scores in units of others' standard deviations from their mean, clipped to -1 to 1.

    Args:
        scores: (n_models, n_tasks); what is NaN stays so.
        complete: (n_others, n_tasks) without NaN, the scores whose mean and deviation count. A
            task on which all of them are equal is 0.
    """
    centred, spread = scores - complete.mean(axis=0), complete.std(axis=0)
    flat = np.where(np.isnan(scores), np.nan, 0.0)
    scaled: Floats = np.divide(centred, spread, out=flat, where=spread > _FLAT)
    return np.clip(scaled, -1.0, 1.0)


def task_correlations(of: Normalised) -> Floats:
    """Pearson correlations (n_tasks, n_tasks) over the models that ran both tasks.

    NaN where fewer than two did, or where all of them are equal on one.
    """
    return _correlations(of.normalised)


def model_correlations(of: Normalised) -> Floats:
    """Pearson correlations (n_models, n_models) over the tasks that both models ran.

    NaN where there are fewer than two such tasks, or one model is equal on all of them.
    """
    return _correlations(of.normalised.T)


def _correlations(columns: Floats) -> Floats:
    """Pearson correlations of each pair of columns, over the rows where neither is NaN."""
    there = ~np.isnan(columns)
    x = np.where(there, columns, 0.0)
    weight = there.astype(np.float64)
    n = np.maximum(weight.T @ weight, 1.0)
    # Of column i over the rows that column j has as well, and the other way round.
    total = x.T @ weight
    squares = (x * x).T @ weight
    variance = squares - total * total / n
    covariance = x.T @ x - total * total.T / n
    defined = (variance > _FLAT) & (variance.T > _FLAT)
    scale = np.sqrt(np.where(defined, variance * variance.T, 1.0))
    return np.where(defined, np.clip(covariance / scale, -1.0, 1.0), np.nan)


def extremes(correlations: Floats, percentiles: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Marks the correlations that the paper shows: below the lower or above the upper percentile.

    The percentiles (linearly interpolated) are over each pair once; the diagonal is never shown.
    """
    pairs = correlations[np.triu_indices_from(correlations, k=1)]
    pairs = pairs[~np.isnan(pairs)]
    if not len(pairs):
        return np.zeros(correlations.shape, dtype=bool)
    low, high = np.percentile(pairs, percentiles)
    shown: npt.NDArray[np.bool_] = (correlations < low) | (correlations > high)
    np.fill_diagonal(shown, False)
    return shown


def correlation_order(correlations: Floats) -> tuple[int, ...]:
    """The order of the paper's matrices: a short tour over the distances (1 - r) / 2.

    An undefined correlation counts as none, which is a distance of 0.5. See `short_tour`.
    """
    return short_tour((1.0 - np.nan_to_num(correlations, nan=0.0)) / 2.0)


def projection(of: Normalised, what: Literal["tasks", "models"]) -> Floats:
    """t-SNE (n, 2) of the tasks or models by their normalised scores, imputed ones included.

    scikit-learn's, exact rather than approximated, begun from the principal components and with
    random_state 0, so that it doesn't change from call to call. The perplexity is 30 where there
    are points enough, and a third of their number otherwise. The axes mean nothing.

    Raises:
        ResultError: There are fewer than four points.
    """
    from sklearn.manifold import TSNE

    points = of.with_imputed.T if what == "tasks" else of.with_imputed
    if len(points) < _FEWEST_POINTS:
        raise ResultError(f"A map of {len(points)} {what} says nothing; {_FEWEST_POINTS} are less.")
    model = TSNE(
        n_components=2,
        perplexity=min(_PERPLEXITY, (len(points) - 1) / 3),
        init="pca",
        method="exact",
        random_state=_SEED,
    )
    found: Floats = np.asarray(model.fit_transform(points), dtype=np.float64)
    return found


def paper_figures(table: Table) -> dict[str, Any]:
    """Computes what the paper's three figures are drawn from, as for JSON (NaN for null).

    Keys: ``models``, ``tasks`` (in the table's order, as all arrays are), ``normalised``,
    ``mean_normalised_with_imputed``, ``order`` (names by falling mean), and of both
    ``task`` and ``model``: ``*_correlation``, ``*_correlation_shown``, ``*_tour`` (names in the
    matrices' order), ``*_tsne``.

    Raises:
        ResultError: The table has fewer than four models.
    """
    own = normalise(table)
    figures: dict[str, Any] = {
        "models": list(own.models),
        "tasks": list(own.tasks),
        "normalised": own.normalised.tolist(),
        "mean_normalised_with_imputed": own.mean_with_imputed.tolist(),
        "order": list(own.ordered_models),
    }
    for key, names, matrix, percentiles, points in (
        ("task", own.tasks, task_correlations(own), TASK_PERCENTILES, projection(own, "tasks")),
        (
            "model",
            own.models,
            model_correlations(own),
            MODEL_PERCENTILES,
            projection(own, "models"),
        ),
    ):
        figures[f"{key}_correlation"] = matrix.tolist()
        figures[f"{key}_correlation_shown"] = extremes(matrix, percentiles).tolist()
        figures[f"{key}_tour"] = [names[i] for i in correlation_order(matrix)]
        figures[f"{key}_tsne"] = points.tolist()
    return figures


def short_tour(distances: npt.NDArray[np.floating]) -> tuple[int, ...]:
    """The points in the order of a short closed tour, cut open at its longest edge.

    In this order, neighbours are alike. From each point on, a tour goes to the nearest one that is
    left; stretches of it are reversed for as long as that shortens it (2-opt: Croes, "A Method for
    Solving Traveling-Salesman Problems", 1958); the shortest of these tours is taken. Both matrices
    of the paper's figures get the order of a shortest tour, as a test shows.

    Args:
        distances: (n, n) symmetric, from 0 up; the diagonal doesn't count.

    Returns:
        Each position once. Of the two directions the one whose first point is the lower.
    """
    d = np.asarray(distances, dtype=np.float64)
    n = len(d)
    if n < 3:
        return tuple(range(n))
    tours = (_two_opt(d, _nearest_neighbours(d, start)) for start in range(n))
    tour = min(tours, key=lambda tour: tour_length(d, tour))
    edges = [d[tour[i - 1], tour[i]] for i in range(n)]
    start = int(np.argmax(edges))
    opened = tour[start:] + tour[:start]
    return tuple(opened if opened[0] < opened[-1] else opened[::-1])


def tour_length(distances: npt.NDArray[np.floating], tour: Sequence[int]) -> float:
    """The length of a closed tour."""
    return float(sum(distances[tour[i - 1], tour[i]] for i in range(len(tour))))


def _nearest_neighbours(d: Floats, start: int) -> list[int]:
    tour, left = [start], np.ones(len(d), dtype=bool)
    left[start] = False
    while left.any():
        following = int(np.argmin(np.where(left, d[tour[-1]], np.inf)))
        tour.append(following)
        left[following] = False
    return tour


def _two_opt(d: Floats, tour: list[int]) -> list[int]:
    n = len(tour)
    order = np.array(tour)
    while True:
        ahead = np.roll(order, -1)
        edge = d[order, ahead]
        # What reversing the stretch from i + 1 to j gains, for every pair i < j.
        gain = edge[:, None] + edge[None, :] - d[np.ix_(order, order)] - d[np.ix_(ahead, ahead)]
        gain = np.triu(gain, k=1)
        i, j = divmod(int(np.argmax(gain)), n)
        if gain[i, j] <= _SHORTER:
            return [int(point) for point in order]
        order[i + 1 : j + 1] = order[i + 1 : j + 1][::-1].copy()
