"""What the catalog knows of the table's columns: their tasks, domains and scores."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from hearbench.errors import UnknownNameError
from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.table import COLUMNS
from hearbench.metrics import get_score
from hearbench.registry import did_you_mean
from hearbench.tasks.catalog import TaskSpec, catalog_folder, catalog_task, get_spec
from hearbench.tasks.catalog.schema import DOMAINS
from hearbench.tasks.record import load_record
from hearbench.tasks.subsets import expand_subsets

__all__ = [
    "OTHER_DOMAIN",
    "ColumnFacts",
    "LeaderboardTask",
    "column_facts",
    "column_of",
    "columns_of_domains",
    "domain_of",
    "find_column",
    "find_columns",
    "leaderboard_tasks",
    "tasks_of",
]

OTHER_DOMAIN = "other"
"""Domain of a column that the catalog doesn't know."""


@dataclass(frozen=True)
class LeaderboardTask:
    """A task and mode whose score counts for a column.

    Attributes:
        name: ``<name>-<version>-<mode>``.
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


@dataclass(frozen=True)
class ColumnFacts:
    """A column of the table.

    Attributes:
        domain: ``speech``, ``environment``, ``music``, or `OTHER_DOMAIN`.
        tasks: The tasks behind it; Beehive has two, a column that the catalog doesn't know none.
        score: The score that the column holds, in words.
    """

    column: str
    domain: str
    tasks: tuple[LeaderboardTask, ...]
    score: str

    @property
    def clips(self) -> int | None:
        """Clips in all splits of its first task, where known."""
        if not self.tasks:
            return None
        first = self.tasks[0]
        return first.spec.mode(first.mode).clips

    @property
    def hours(self) -> float | None:
        """Hours of audio in its first task, where known."""
        if not self.tasks:
            return None
        first = self.tasks[0]
        return first.spec.hours_of(first.mode)


@functools.cache
def leaderboard_tasks() -> dict[str, LeaderboardTask]:
    """The 20 tasks of the benchmark by name, without those that another package adds."""
    found = {}
    for name in load_record().folders:
        known = catalog_task(name)
        if known is None:
            continue
        spec, mode = get_spec(known[0].name), known[1]
        column = spec.mode(mode).leaderboard
        if column in COLUMNS:
            found[name] = LeaderboardTask(name, column, spec, mode)
    return found


def tasks_of(column: str) -> tuple[LeaderboardTask, ...]:
    """The tasks whose mean a column is; Beehive has two, every other column one."""
    return tuple(task for task in leaderboard_tasks().values() if task.column == column)


def column_of(task: str) -> str | None:
    """The column that ``<name>-<version>-<mode>`` counts for; None for another task."""
    found = leaderboard_tasks().get(task)
    return None if found is None else found.column


def domain_of(column: str) -> str:
    """``speech``, ``environment`` or ``music``; `OTHER_DOMAIN` for an unknown column."""
    tasks = tasks_of(column)
    return tasks[0].spec.domain if tasks else OTHER_DOMAIN


def column_facts(column: str) -> ColumnFacts:
    """Looks a column up in the catalog, which may not know it."""
    tasks = tasks_of(column)
    if not tasks:
        return ColumnFacts(column, OTHER_DOMAIN, (), "its first score")
    spec = tasks[0].spec
    title = get_score(spec.task_type, spec.scores[0]).title
    return ColumnFacts(column, spec.domain, tasks, title)


def find_column(text: str) -> str:
    """A column by its name, whatever the case and spaces, or by its task's as ``esc50``.

    Raises:
        UnknownNameError: The table has no such column.
    """
    by_key = {name_key(column): column for column in COLUMNS}
    column = by_key.get(name_key(text)) or column_of(catalog_folder(text) or "")
    if column is None:
        raise UnknownNameError(
            f"The leaderboard has no column {text!r}. {did_you_mean(text, list(COLUMNS))}"
        )
    return column


def find_columns(texts: Iterable[str]) -> tuple[str, ...]:
    """Columns by their names, in the table's order; ``hear-11`` and the like name several.

    Raises:
        UnknownNameError: The table has no such column.
    """
    found = {find_column(text) for text in expand_subsets(texts)}
    return tuple(column for column in COLUMNS if column in found)


def columns_of_domains(domains: Collection[str]) -> tuple[str, ...]:
    """The columns of some domains, in the table's order.

    Raises:
        UnknownNameError: One of the domains doesn't exist.
    """
    for domain in domains:
        if domain not in DOMAINS:
            known = did_you_mean(domain, list(DOMAINS))
            raise UnknownNameError(f"There is no domain {domain!r}. {known}")
    return tuple(column for column in COLUMNS if domain_of(column) in domains)
