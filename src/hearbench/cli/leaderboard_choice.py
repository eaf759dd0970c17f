"""What the verbs of ``hearbench leaderboard`` are asked for: own rows, columns, an order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.cli.terminal import say
from hearbench.errors import ResultError, UnknownNameError
from hearbench.registry import did_you_mean
from hearbench.workspace import user_path

if TYPE_CHECKING:
    from hearbench.leaderboard.own_row import OwnRow

__all__ = [
    "OWN_ORDERS",
    "TABLE_ORDERS",
    "check_names",
    "columns_of",
    "names_of",
    "nothing_left",
    "order_of",
    "own_rows",
    "say_what_is_left_out",
]

# What the rows of an own model, and those of the whole table, can be put in order of.
OWN_ORDERS = ("task", "score", "rank", "gap")
TABLE_ORDERS = ("model", "date", "sum", "mean")


def own_rows(text: str) -> list[OwnRow]:
    """A row for each model in ``RESULTS[:NAME]``.

    Raises:
        ResultError: There are no results, they can't be read, or the name isn't for one model.
    """
    from hearbench.leaderboard.own_row import find_results, own_row

    place, name = user_path(text), None
    if not place.exists() and ":" in text:
        folder, _, name = text.rpartition(":")
        place = user_path(folder)
    found = find_results(place)
    if name is not None and len(found) > 1:
        raise ResultError(
            f"--with {text}: {place} has the results of {len(found)} models, "
            f"{names_of(found)}, and one name can't be that of all. Name the folder of one."
        )
    return [own_row(files, name) for files in found.values()]


def check_names(mine: Sequence[OwnRow]) -> None:
    """Refuses models of one name, which nobody could tell apart.

    Raises:
        ResultError: There are some.
    """
    names = [own.row.model for own in mine]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ResultError(
            f"Two of the models are called {twice[0]}. Give one another name: --with RESULTS:NAME."
        )


def names_of(found: dict[Path, tuple[Path, ...]]) -> str:
    """The names of models' folders, for messages."""
    return ", ".join(folder.name for folder in found)


def columns_of(
    tasks: Sequence[str] | None, domains: Sequence[str] | None, every: bool
) -> tuple[str, ...]:
    """The columns that are asked for, in the table's order; none for the overview.

    Raises:
        UnknownNameError: There is no such column or domain.
    """
    from hearbench.leaderboard.table import COLUMNS

    if every:
        return COLUMNS
    wanted = {_column(text) for text in tasks or ()}
    if domains:
        from hearbench.leaderboard.columns import domain_of
        from hearbench.tasks.catalog.schema import DOMAINS

        for domain in domains:
            if domain not in DOMAINS:
                known = did_you_mean(domain, list(DOMAINS))
                raise UnknownNameError(f"There is no domain {domain!r}. {known}")
        wanted |= {column for column in COLUMNS if domain_of(column) in domains}
    return tuple(column for column in COLUMNS if column in wanted)


def _column(text: str) -> str:
    """A column by its name, whatever the case, or by its task's as ``esc50``."""
    from hearbench.leaderboard.cells import name_key
    from hearbench.leaderboard.columns import leaderboard_tasks
    from hearbench.leaderboard.table import COLUMNS
    from hearbench.tasks.naming import catalog_folder

    by_key = {name_key(column): column for column in COLUMNS}
    if name_key(text) in by_key:
        return by_key[name_key(text)]
    counted = leaderboard_tasks().get(catalog_folder(text) or "")
    if counted is not None:
        return counted.column
    raise UnknownNameError(
        f"The leaderboard has no column {text!r}. {did_you_mean(text, list(COLUMNS))}"
    )


def order_of(sort: str | None, known: tuple[str, ...]) -> str | None:
    """The order that is asked for: one of those that are known, or a column.

    Raises:
        UnknownNameError: It is neither.
    """
    if sort is None or sort.lower() in known:
        return None if sort is None else sort.lower()
    if known is OWN_ORDERS:
        raise UnknownNameError(f"--sort {sort}: {did_you_mean(sort, list(known))}")
    try:
        return _column(sort)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} Or use {', '.join(known)}.") from error


def say_what_is_left_out(mine: Sequence[OwnRow]) -> None:
    """Tells on stderr which results don't count, and what else to know of a row."""
    for own in mine:
        for refusal in own.refused:
            say(f"refused: {refusal}")
        if own.elsewhere:
            say(f"{own.row.model}: not on the leaderboard: {', '.join(own.elsewhere)}")
        for note in own.notes:
            say(f"{own.row.model}: {note}")


def nothing_left(mine: Sequence[OwnRow]) -> str:
    """What to say where no result counts."""
    if any(own.refused for own in mine):
        return "Nothing is left to be shown: every result of the leaderboard's tasks is refused."
    return (
        "No result is of a task that is on the leaderboard. `hearbench list catalog` shows which "
        "are its own; `hearbench evaluate MODEL --task esc50 --out results` runs one."
    )
