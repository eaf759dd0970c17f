"""The numbers behind the paper's figures, in the order in which the site draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hearbench.leaderboard import paper
from hearbench.leaderboard.table import Row, Table

__all__ = ["FEWEST_SCORES", "Correlations", "Floats", "PaperFigures", "figures_of"]

FEWEST_SCORES = 5
"""Models with fewer say more about the imputation than about themselves."""

_FEWEST_MODELS = 4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Correlations:
    """Pearson correlations of tasks, or of models, with each other.

    Attributes:
        names: Names of rows and columns, neighbours being alike.
        values: (n, n), in that order; NaN where undefined.
        shown: (n, n), whether the paper shows it, being extreme.
        percentiles: Those between are the ones that aren't shown.
    """

    names: tuple[str, ...]
    values: Floats
    shown: npt.NDArray[np.bool_]
    percentiles: tuple[float, float]


@dataclass(frozen=True)
class PaperFigures:
    """The paper's figures of a table.

    Attributes:
        models: Names, best first by the mean of their normalised scores.
        columns: Names of the tasks, in the table's order.
        scores: (n_models, n_tasks) as in the table; NaN where missing.
        normalised: (n_models, n_tasks) in -1 to 1; NaN where missing.
        by_task: Correlations of tasks.
        by_model: Correlations of models.
        task_map: (n_tasks, 2) t-SNE of the tasks, in the order of ``columns``.
        model_map: (n_models, 2) t-SNE of the models, in the order of ``models``.
        left_out: Names of models with too few scores.
    """

    models: tuple[str, ...]
    columns: tuple[str, ...]
    scores: Floats
    normalised: Floats
    by_task: Correlations
    by_model: Correlations
    task_map: Floats
    model_map: Floats
    left_out: tuple[str, ...] = ()


def figures_of(table: Table) -> PaperFigures | None:
    """The paper's figures of a table, without models that have fewer than five scores.

    Correlations over two or three tasks are near 1 or -1 whatever the model, and what is imputed
    from them moves everybody else.

    Returns:
        None where there are fewer than four models or tasks, too few for its maps.
    """
    rows = tuple(row for row in table.rows if _count(row) >= FEWEST_SCORES)
    if min(len(rows), len(table.columns)) < _FEWEST_MODELS:
        return None
    left_out = tuple(row.model for row in table.rows if _count(row) < FEWEST_SCORES)
    table = replace(table, rows=rows)
    of = paper.normalise(table)
    order = list(of.order)
    scores = np.array(
        [[np.nan if score is None else score for score in rows[place].scores] for place in order],
        dtype=np.float64,
    )
    return PaperFigures(
        models=of.ordered_models,
        columns=table.columns,
        scores=scores,
        normalised=of.normalised[order],
        by_task=_correlations(of.tasks, paper.task_correlations(of), paper.TASK_PERCENTILES),
        by_model=_correlations(of.models, paper.model_correlations(of), paper.MODEL_PERCENTILES),
        task_map=paper.projection(of, "tasks"),
        model_map=paper.projection(of, "models")[order],
        left_out=left_out,
    )


def _count(row: Row) -> int:
    return sum(score is not None for score in row.scores)


def _correlations(
    names: Sequence[str], values: Floats, percentiles: tuple[float, float]
) -> Correlations:
    order = list(paper.correlation_order(values))
    shown = paper.extremes(values, percentiles)
    grid = np.ix_(order, order)
    return Correlations(
        names=tuple(names[place] for place in order),
        values=values[grid],
        shown=shown[grid],
        percentiles=percentiles,
    )
