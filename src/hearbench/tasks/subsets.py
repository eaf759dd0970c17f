"""Named subsets of the benchmark's tasks, as papers evaluate them: ``hear-11``, ``hear-10``."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.resources import files

from hearbench.records import Record
from hearbench.toml import tomllib

__all__ = ["TaskSubset", "expand_subsets", "task_subsets"]


class TaskSubset(Record):
    """Tasks that are named together.

    Attributes:
        about: Which tasks they are, in a sentence.
        source: Who uses the subset, and where that can be read.
        tasks: Folder names (``<task>-<version>-<mode>``), in the order of the leaderboard's
            columns.
    """

    about: str
    source: str
    tasks: tuple[str, ...]


@functools.cache
def task_subsets() -> dict[str, TaskSubset]:
    """The subsets by their names."""
    text = files("hearbench.tasks").joinpath("subsets.toml").read_text(encoding="utf-8")
    return {name: TaskSubset(**facts) for name, facts in tomllib.loads(text).items()}


def expand_subsets(names: Iterable[str]) -> list[str]:
    """Names of tasks, with the tasks of each named subset in its place; each name once."""
    known = task_subsets()
    found: list[str] = []
    for name in names:
        found += known[name].tasks if name in known else [name]
    return list(dict.fromkeys(found))
