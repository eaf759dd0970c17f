"""A model's rank among the others of a table, task by task."""

from __future__ import annotations

from dataclasses import dataclass

from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.table import Row, Table

__all__ = ["RankedScore", "other_models", "ranked_scores"]


@dataclass(frozen=True)
class RankedScore:
    """A model's score on one task, and how it stands among the others.

    Attributes:
        column: Name of the task.
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


def other_models(table: Table, row: Row) -> Table:
    """The table without the models that have the row's name, but for case and spaces."""
    key = name_key(row.model)
    rows = tuple(other for other in table if name_key(other.model) != key)
    return Table(table.columns, rows)


def ranked_scores(table: Table, row: Row) -> tuple[RankedScore, ...]:
    """Ranks a model among the others of a table on each task, in the columns' order."""
    others = other_models(table, row)
    return tuple(_ranked(others, column, row.scores[i]) for i, column in enumerate(table.columns))


def _ranked(others: Table, column: str, score: float | None) -> RankedScore:
    known = [
        (model, value)
        for model, value in zip(others.models, others.column(column), strict=True)
        if value is not None
    ]
    # Of equal ones max takes the first.
    best_model, best = max(known, key=lambda item: item[1], default=(None, None))
    if score is None:
        return RankedScore(column, None, None, len(known), best, best_model, None)
    better = sum(value > score for _, value in known)
    gap = None if best is None else score - best
    return RankedScore(column, score, better + 1, len(known) + 1, best, best_model, gap)
