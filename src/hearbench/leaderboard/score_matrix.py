"""The table as arrays, with what the aggregates need beside the scores."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import FEWEST_MODELS, imputed, standardised
from hearbench.leaderboard.table import Row, Table

__all__ = ["Floats", "ScoreMatrix", "score_matrix"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """Scores of models on tasks.

    Attributes:
        scores: (n_models, n_tasks) in 0 to 1, NaN where missing.
        normalised: (n_models, n_tasks) in the paper's measure, -1 to 1, missing scores imputed.
            It is made of the models that have half of the table's scores. To the others nothing
            is imputed; all is NaN where there are fewer than three models to make it of.
        best: (n_tasks,) best score of the reference; NaN where it has none.
        lowest: (n_tasks,) lowest score of the reference; NaN where it has none.
    """

    models: tuple[str, ...]
    columns: tuple[str, ...]
    scores: Floats
    normalised: Floats
    best: Floats
    lowest: Floats

    @property
    def n_scores(self) -> npt.NDArray[np.int64]:
        """(n_models,) how many scores a model has."""
        return np.asarray(np.count_nonzero(~np.isnan(self.scores), axis=1), dtype=np.int64)

    @property
    def ran(self) -> npt.NDArray[np.bool_]:
        """(n_models,) whether a model has a score."""
        return self.n_scores > 0

    @property
    def ran_half(self) -> npt.NDArray[np.bool_]:
        """(n_models,) whether a model has half of the scores, and at least one."""
        return self.ran & (2 * self.n_scores >= len(self.columns))

    def select(self, columns: Sequence[str]) -> ScoreMatrix:
        """The matrix with some of the tasks, in this order."""
        at = [self.columns.index(column) for column in columns]
        return replace(
            self,
            columns=tuple(columns),
            scores=self.scores[:, at],
            normalised=self.normalised[:, at],
            best=self.best[at],
            lowest=self.lowest[at],
        )


def score_matrix(table: Table, reference: Table | None = None) -> ScoreMatrix:
    """Makes arrays of a table.

    Args:
        table: The models; a user's own may be among them.
        reference: The models whose best and lowest scores count as such; by default the official
            table. A task that it doesn't have says nothing in the aggregates that need them.
    """
    reference = official_table() if reference is None else reference
    scores = _array(table.rows, len(table.columns))
    normalised = np.full_like(scores, np.nan)
    n_scores = (~np.isnan(scores)).sum(axis=1)
    half = (n_scores > 0) & (2 * n_scores >= len(table.columns))
    if half.sum() >= FEWEST_MODELS:
        rows = tuple(row for row, there in zip(table.rows, half, strict=True) if there)
        complete = _imputed(Table(table.columns, rows))
        normalised[half] = standardised(complete, complete)
        normalised[~half] = standardised(scores[~half], complete)
    ends = [_ends(reference, column) for column in table.columns]
    return ScoreMatrix(
        models=table.models,
        columns=table.columns,
        scores=scores,
        normalised=normalised,
        best=np.array([best for best, _ in ends], dtype=np.float64),
        lowest=np.array([lowest for _, lowest in ends], dtype=np.float64),
    )


def _array(rows: Sequence[Row], n_columns: int) -> Floats:
    cells = [[np.nan if score is None else score for score in row.scores] for row in rows]
    return np.array(cells, dtype=np.float64).reshape(len(rows), n_columns)


def _ends(reference: Table, column: str) -> tuple[float, float]:
    if column not in reference.columns:
        return np.nan, np.nan
    known = [score for score in reference.column(column) if score is not None]
    return (max(known), min(known)) if known else (np.nan, np.nan)


# Imputing takes seconds, and a site or command asks for the same table more than once.
@functools.lru_cache(maxsize=8)
def _imputed(table: Table) -> Floats:
    complete = imputed(_array(table.rows, len(table.columns)))
    complete.setflags(write=False)
    return complete
