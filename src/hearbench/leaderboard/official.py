"""The official table, which comes with the package, and CSV files that begin with it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.csv_file import parse_table, read_table, write_table
from hearbench.leaderboard.table import Row, Table
from hearbench.locks import lock_beside, one_after_another

__all__ = ["enter_row", "official_table", "official_text", "table_or_official"]

_FILE = "official.csv"


def official_text() -> str:
    """The CSV of the benchmark's organisers, as last changed in September 2023: 34 models."""
    return (files("hearbench.leaderboard") / _FILE).read_bytes().decode("utf-8")


def official_table() -> Table:
    """The table in `official_text`; nothing is asked of the network."""
    return parse_table(official_text(), _FILE)


def table_or_official(path: Path | None) -> Table:
    """Reads a leaderboard's CSV, or takes the official table where none is named.

    Raises:
        ResultError: The file can't be read, or something in it is wrong.
    """
    return official_table() if path is None else read_table(path)


def enter_row(
    row: Row, path: Path, *, overwrite: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Row | None:
    """Enters a model's row into a leaderboard's CSV, which is whole or unchanged.

    Args:
        path: The file; one that doesn't exist begins with the official table.
        overwrite: Whether a row of the same name is replaced.
        tell: Called with a line if another process is entering a row.

    Returns:
        The row of the same name that was there, if there was one.

    Raises:
        ResultError: The file can't be used or written, or has a model of that name.
    """
    with one_after_another(lock_beside(path), f"entering a row into {path}", tell):
        table = table_or_official(path if path.exists() else None)
        before = _same_named(table, row, path)
        if before is not None and before != row and not overwrite:
            raise ResultError(
                f"{path} has a model named {row.model!r}, submitted "
                f"{before.submitted or 'at an unknown date'}. Choose another --name, or "
                "--overwrite to replace its row."
            )
        write_table(table.with_row(row), path)
    return before


def _same_named(table: Table, row: Row, path: Path) -> Row | None:
    """The row of that name; one that differs in case or spaces alone is refused."""
    for other in table:
        if other.model == row.model:
            return other
        if name_key(other.model) == name_key(row.model):
            raise ResultError(
                f"{path} has a model named {other.model!r}, from which {row.model!r} differs in "
                "case or spaces alone. Use that name, or quite another."
            )
    return None
