"""Which tasks count for which columns of the table."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hearbench.leaderboard.table import COLUMNS
from hearbench.tasks.catalog import TaskSpec, get_spec
from hearbench.tasks.naming import catalog_task
from hearbench.tasks.record import load_record

__all__ = ["CountedTask", "column_of", "counted_tasks", "domain_of", "tasks_of"]


@dataclass(frozen=True)
class CountedTask:
    """A task and mode that counts for a column.

    Attributes:
        name: ``<name>-<version>-<mode>``.
        column: The column.
        spec: The task's facts.
        mode: Its mode.
    """

    name: str
    column: str
    spec: TaskSpec
    mode: str

    @property
    def test_splits(self) -> tuple[str, ...]:
        """Names of the splits that are scored."""
        folds = self.spec.mode(self.mode).nfolds or self.spec.nfolds
        if folds is None:
            return ("test",)
        return tuple(f"fold{i:02d}" for i in range(folds))


@functools.cache
def counted_tasks() -> dict[str, CountedTask]:
    """By their names, the 20 tasks of the benchmark; none that another package adds."""
    found = {}
    for name in load_record().folders:
        known = catalog_task(name)
        if known is None:
            continue
        spec, mode = get_spec(known[0].name), known[1]
        column = spec.mode(mode).leaderboard
        if column in COLUMNS:
            found[name] = CountedTask(name, column, spec, mode)
    return found


def tasks_of(column: str) -> tuple[CountedTask, ...]:
    """The tasks whose mean a column is; Beehive has two, every other column one."""
    return tuple(task for task in counted_tasks().values() if task.column == column)


def column_of(task: str) -> str | None:
    """The column that ``<name>-<version>-<mode>`` counts for, or None."""
    counted = counted_tasks().get(task)
    return None if counted is None else counted.column


def domain_of(column: str) -> str:
    """``speech``, ``environment`` or ``music``."""
    return tasks_of(column)[0].spec.domain
