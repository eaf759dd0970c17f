"""Which test data a model has heard: columns whose test was in its training."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import replace

from hearbench.leaderboard.columns import tasks_of
from hearbench.leaderboard.table import COLUMNS, Row, Table
from hearbench.tasks.catalog.schema import TrainingOverlap

__all__ = ["HEARD_MARK", "HEARD_NOTE", "heard_columns", "overlaps_of", "unheard", "unheard_scores"]

HEARD_MARK = "†"
"""Stands beside scores on test data that the model was trained on."""
HEARD_NOTE = (
    f"{HEARD_MARK} the test data was in the model's training, as its card says; left out of ranks."
)
"""What the mark means, below tables."""


@functools.cache
def overlaps_of(column: str) -> tuple[TrainingOverlap, ...]:
    """The training sets that hold test clips of a column's tasks, or may hold some."""
    return tuple(dict.fromkeys(each for task in tasks_of(column) for each in task.spec.overlaps))


def heard_columns(sets: Collection[str], how: str = "test") -> dict[str, str]:
    """The columns whose test is in training sets, and why.

    Args:
        sets: Names of training sets, as `find_training_sets` gives them.
        how: ``test`` for those whose test recordings are in one, ``perhaps`` for those of which
            some may be.
    """
    found = {}
    for column in COLUMNS:
        own = [each for each in overlaps_of(column) if each.set in sets]
        kinds = {each.how for each in own}
        if how in kinds and (how == "test" or "test" not in kinds):
            found[column] = " ".join(f"{each.set}: {each.why}" for each in own if each.how == how)
    return found


def unheard_scores(columns: Sequence[str], row: Row) -> tuple[float | None, ...]:
    """A row's scores, None for those on test data that the model was trained on."""
    return tuple(
        None if column in row.heard else score
        for column, score in zip(columns, row.scores, strict=True)
    )


def unheard(table: Table) -> Table:
    """A table without the scores on test data that a model was trained on, as for ranks."""
    rows = tuple(replace(row, scores=unheard_scores(table.columns, row)) for row in table)
    return Table(table.columns, rows)
