"""Models in an order, and a model's rank among the others, task by task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.heard import unheard
from hearbench.leaderboard.paper import FEWEST_MODELS, normalise
from hearbench.leaderboard.table import Row, Table

__all__ = [
    "ORDERS",
    "RankedMean",
    "RankedScore",
    "order_models",
    "other_models",
    "ranked_mean",
    "ranked_scores",
    "with_own",
]

ORDERS = ("model", "date", "sum", "mean")
"""What models can be ordered by besides the tasks: see `order_models`."""

# Of a model that ran fewer tasks, the mean would be one of imputed scores.
_FEWEST_TASKS = 10


@dataclass(frozen=True)
class RankedScore:
    """A model's score on one task, and how it stands among the others.

    Attributes:
        score: In 0 to 1; None where missing.
        rank: 1 for the best; equal scores share the better rank. None without a score, and for one
            on test data that the model was trained on.
        of: How many models are ranked, this one included if it is.
        best: The best score of the others; None if there is none.
        best_model: The model with the best score, of equal ones the table's first.
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


@dataclass(frozen=True)
class RankedMean:
    """A model's mean normalised score, and how it stands among the others.

    Attributes:
        value: The score in -1 to 1.
        rank: 1 for the best.
        of: How many models are ranked.
    """

    value: float
    rank: int
    of: int


def other_models(table: Table, row: Row) -> Table:
    """The table without the models that have the row's name, but for case and spaces."""
    key = name_key(row.model)
    rows = tuple(other for other in table if name_key(other.model) != key)
    return Table(table.columns, rows)


def with_own(table: Table, own: Sequence[Row]) -> Table:
    """The table with a user's models at its end, in the place of those of the same names."""
    for row in own:
        table = other_models(table, row)
    return Table(table.columns, (*table.rows, *own))


def order_models(table: Table, columns: Sequence[str], order: str | None) -> tuple[Table, str]:
    """Puts a table's models in order.

    Args:
        columns: The tasks whose sum counts.
        order: A column, or one of `ORDERS`; by default the only column, or the sum. ``mean`` is
            the paper's mean normalised score, and of fewer than three models the sum.

    Returns:
        The table in that order, and what it is ordered by, in words.
    """
    ranked = {id(row): of_rank for row, of_rank in zip(table, unheard(table), strict=True)}
    order = order or (columns[0] if len(columns) == 1 else "sum")
    if order == "mean" and len(table) >= FEWEST_MODELS:
        rows = tuple(table.rows[i] for i in normalise(unheard(table)).order)
        return Table(table.columns, rows), "the mean normalised score"
    shown = [table.columns.index(column) for column in columns]
    keys: dict[str, tuple[Callable[[Row], object], str]] = {
        "model": (lambda row: row.model.casefold(), "name"),
        "date": (_date_key, "date"),
        "sum": (
            lambda row: -sum(ranked[id(row)].scores[i] or 0.0 for i in shown),
            "their sum, missing ones as 0",
        ),
    }
    key, by = keys.get("sum" if order == "mean" else order) or (_by_column(table, order), order)
    return Table(table.columns, tuple(sorted(table, key=key))), by  # type: ignore[arg-type]


def _date_key(row: Row) -> tuple[bool, str]:
    # The official round came before all dates, and letters come after digits.
    is_date = row.submitted[:1].isdigit()
    return is_date, row.submitted if is_date else ""


def _by_column(table: Table, column: str) -> Callable[[Row], float]:
    i = table.columns.index(column)

    def key(row: Row) -> float:
        score = None if column in row.heard else row.scores[i]
        return 1.0 if score is None else -score

    return key


def ranked_mean(table: Table, row: Row) -> RankedMean | None:
    """Ranks a model among the others of a table by the paper's mean normalised score.

    None if it ran fewer than ten tasks, or there are fewer than two others.
    """
    models = unheard(with_own(table, [row]))
    row = models.rows[-1]
    n_scores = sum(score is not None for score in row.scores)
    if n_scores < _FEWEST_TASKS or len(models) < FEWEST_MODELS:
        return None
    of = normalise(models)
    i = len(models) - 1
    return RankedMean(float(of.mean_with_imputed[i]), of.order.index(i) + 1, len(models))


def ranked_scores(table: Table, row: Row) -> tuple[RankedScore, ...]:
    """Ranks a model among the others of a table on each task, in the columns' order."""
    others = unheard(other_models(table, row))
    ranked = (_ranked(others, column, row.scores[i]) for i, column in enumerate(table.columns))
    return tuple(
        replace(one, rank=None, of=one.of - 1) if one.column in row.heard and one.rank else one
        for one in ranked
    )


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
