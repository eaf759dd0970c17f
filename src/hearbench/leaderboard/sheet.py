"""A table as arrays, with what the aggregates need beside the scores."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hearbench.leaderboard.counted import tasks_of
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import imputed, normalise
from hearbench.leaderboard.table import Row, Table

__all__ = ["OTHER_DOMAIN", "Floats", "Sheet", "domain_or_other", "sheet_of"]

OTHER_DOMAIN = "other"
"""Of a column that the catalog doesn't know."""

# Of which the paper's measure can be given.
_FEWEST_MODELS = 3
_FLAT = 1e-12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sheet:
    """Scores of models on tasks.

    Attributes:
        models: Names.
        columns: Names of the tasks.
        scores: (n_models, n_tasks) in 0 to 1, NaN where missing.
        imputed: The same with missing scores imputed as in the paper, which may lie a little
            outside. Of models with less than half of the table's scores nothing is imputed, nor
            from them.
        normalised: The same in the paper's measure, in -1 to 1; all NaN where there are fewer
            than three models with half of the scores, which it is made of.
        best: (n_tasks,) best score of the reference; NaN where it has none.
        lowest: (n_tasks,) its lowest one.
    """

    models: tuple[str, ...]
    columns: tuple[str, ...]
    scores: Floats
    imputed: Floats
    normalised: Floats
    best: Floats
    lowest: Floats

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """(n_models, n_tasks), where there is no score."""
        return np.isnan(self.scores)

    @property
    def n_scores(self) -> npt.NDArray[np.int64]:
        """(n_models,) how many scores a model has."""
        return np.asarray(np.count_nonzero(~self.missing, axis=1), dtype=np.int64)

    @property
    def ran(self) -> npt.NDArray[np.bool_]:
        """(n_models,) whether a model has a score."""
        return self.n_scores > 0

    @property
    def ran_half(self) -> npt.NDArray[np.bool_]:
        """(n_models,) whether a model has half of the scores, of which one at least."""
        return self.ran & (2 * self.n_scores >= len(self.columns))

    def select(self, columns: Sequence[str]) -> Sheet:
        """The same with some of the tasks, in this order."""
        at = [self.columns.index(column) for column in columns]
        return replace(
            self,
            columns=tuple(columns),
            scores=self.scores[:, at],
            imputed=self.imputed[:, at],
            normalised=self.normalised[:, at],
            best=self.best[at],
            lowest=self.lowest[at],
        )


def sheet_of(table: Table, reference: Table | None = None) -> Sheet:
    """A table as arrays.

    Args:
        table: The models; a user's own may be among them.
        reference: The models whose best and lowest scores count as such; by default the official
            table. A task that it doesn't have says nothing in the aggregates that need them.
    """
    reference = official_table() if reference is None else reference
    scores = _array(table.rows, len(table.columns))
    imputed, normalised = scores.copy(), np.full_like(scores, np.nan)
    n_scores = (~np.isnan(scores)).sum(axis=1)
    half = (n_scores > 0) & (2 * n_scores >= len(table.columns))
    if half.sum() >= _FEWEST_MODELS:
        rows = tuple(row for row, there in zip(table.rows, half, strict=True) if there)
        imputed[half], normalised[half] = _imputation(Table(table.columns, rows))
        normalised[~half] = _on_the_scale_of(imputed[half], scores[~half])
    ends = [_ends(reference, column) for column in table.columns]
    return Sheet(
        models=table.models,
        columns=table.columns,
        scores=scores,
        imputed=imputed,
        normalised=normalised,
        best=np.array([best for best, _ in ends], dtype=np.float64),
        lowest=np.array([lowest for _, lowest in ends], dtype=np.float64),
    )


def domain_or_other(column: str) -> str:
    """``speech``, ``environment`` or ``music``; ``other`` for none of the benchmark's columns."""
    counted = tasks_of(column)
    return counted[0].spec.domain if counted else OTHER_DOMAIN


def _array(rows: Sequence[Row], n_columns: int) -> Floats:
    cells = [[np.nan if score is None else score for score in row.scores] for row in rows]
    return np.array(cells, dtype=np.float64).reshape(len(rows), n_columns)


def _ends(reference: Table, column: str) -> tuple[float, float]:
    if column not in reference.columns:
        return np.nan, np.nan
    known = [score for score in reference.column(column) if score is not None]
    return (max(known), min(known)) if known else (np.nan, np.nan)


def _on_the_scale_of(others: Floats, scores: Floats) -> Floats:
    """Scores in the paper's measure without being part of what it is made of."""
    centred, spread = scores - others.mean(axis=0), others.std(axis=0)
    flat = np.where(np.isnan(scores), np.nan, 0.0)
    scaled: Floats = np.divide(centred, spread, out=flat, where=spread > _FLAT)
    return np.clip(scaled, -1.0, 1.0)


# Imputing takes seconds, and a site or command asks for the same table more than once.
@functools.lru_cache(maxsize=8)
def _imputation(table: Table) -> tuple[Floats, Floats]:
    """Scores with missing ones imputed, and the paper's normalised ones, (n_models, n_tasks)."""
    filled = imputed(_array(table.rows, len(table.columns)))
    # The paper's measure is of the imputed scores; so none is imputed a second time.
    full = tuple(
        replace(row, scores=tuple(scores))
        for row, scores in zip(table.rows, filled.tolist(), strict=True)
    )
    normalised = normalise(Table(table.columns, full)).with_imputed
    for array in (filled, normalised):
        array.setflags(write=False)
    return filled, normalised
