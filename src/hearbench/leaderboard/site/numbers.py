"""The table's default order, and how numbers are written."""

from __future__ import annotations

from hearbench.leaderboard.table import Row, Table

__all__ = ["by_sum", "digits", "sum_of"]


def sum_of(row: Row) -> float:
    """The sum of a model's scores, missing ones as 0, by which the table is ordered."""
    return sum(score for score in row.scores if score is not None)


def by_sum(table: Table) -> tuple[Row, ...]:
    """The models by the sum of their scores, then by their names."""
    return tuple(sorted(table.rows, key=lambda row: (-sum_of(row), row.model)))


def digits(value: float | None, count: int = 4) -> str:
    """A number with so many significant digits; an empty text for none.

    >>> digits(0.000334928), digits(0.9), digits(12), digits(None)
    ('0.0003349', '0.9000', '12.00', '')
    """
    return "" if value is None else f"{value:#.{count}g}".removesuffix(".")
