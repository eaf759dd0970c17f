"""Where a model stands among others, task by task."""

from __future__ import annotations

from dataclasses import dataclass

from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.table import Row, Table

__all__ = ["Place", "others", "places"]


@dataclass(frozen=True)
class Place:
    """A model's place on one task.

    Attributes:
        column: The task.
        score: In 0 to 1; None where missing.
        rank: 1 for the best; equal scores share the better rank. None without a score.
        of: How many models have a score, this one included if it has.
        best: The best score of the others; None if there is none.
        best_model: Whose it is, the first in the table's order of equal ones.
        gap: This score less the best of the others: below 0 where another is better. None where
            one of both is missing.
    """

    column: str
    score: float | None
    rank: int | None
    of: int
    best: float | None
    best_model: str | None
    gap: float | None


def others(table: Table, row: Row) -> Table:
    """A table without the models that have the row's name, but for case and spaces."""
    key = name_key(row.model)
    rows = tuple(other for other in table if name_key(other.model) != key)
    return Table(table.columns, rows)


def places(table: Table, row: Row) -> tuple[Place, ...]:
    """The places of a model among the others of a table, in the columns' order."""
    rest = others(table, row)
    return tuple(_place(rest, column, row.scores[i]) for i, column in enumerate(table.columns))


def _place(rest: Table, column: str, score: float | None) -> Place:
    known = [
        (model, value)
        for model, value in zip(rest.models, rest.column(column), strict=True)
        if value is not None
    ]
    # Of equal ones max takes the first.
    best_model, best = max(known, key=lambda item: item[1], default=(None, None))
    if score is None:
        return Place(column, None, None, len(known), best, best_model, None)
    better = sum(value > score for _, value in known)
    gap = None if best is None else score - best
    return Place(column, score, better + 1, len(known) + 1, best, best_model, gap)
