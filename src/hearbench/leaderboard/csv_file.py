"""The official table as a CSV file: read in either of its forms, written in the official one.

The official form is UTF-8 with the columns ``Model,URL,Submission Date`` and one per task,
lines that end with a line feed, no quotes, and no line feed at the end. An older one, without
the date and with ``FSD50k``, is read and never written. A score is written with as few digits as
tell it from every other number, so reading and writing the official file gives its bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.files import write_text
from hearbench.leaderboard.cells import (
    date_problem,
    model_problem,
    name_key,
    score_of,
    score_problem,
    text_problem,
    url_problem,
)
from hearbench.leaderboard.table import COLUMNS, Row, Table
from hearbench.registry import did_you_mean

__all__ = ["check_row", "format_table", "parse_table", "read_table", "write_table"]

_MODEL, _URL, _DATE = "Model", "URL", "Submission Date"
_FACTS = (_MODEL, _URL, _DATE)
# As the older form has them.
_FORMER_NAMES = {"FSD50k": "FSD50K"}
_MOST_BYTES = 10_000_000
_MOST_PROBLEMS = 10
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_table(path: Path) -> Table:
    """Reads a CSV in either form.

    Returns:
        The table, its columns those of the official form in its order.

    Raises:
        ResultError: It can't be read, or something in it is wrong; the message lists what, with
            line and column.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ResultError(
                f"{path} has {path.stat().st_size} bytes, far more than a leaderboard. Is it the "
                "right file?"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ResultError(
            f"{path} can't be read: {error.strerror}. Name the leaderboard's CSV.",
            code="io",
        ) from error
    if data.startswith(_UTF_16):
        raise ResultError(f"{path} is in UTF-16. Save it as CSV in UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ResultError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} is not UTF-8. Save the file "
            "as CSV in UTF-8."
        ) from error
    return parse_table(text, str(path))


def parse_table(text: str, where: str) -> Table:
    """Reads a table from the text of a CSV, in either form.

    Args:
        text: The CSV; any of the three ends of lines, and a byte order mark, are fine.
        where: Name of the text in messages.

    Raises:
        ResultError: Something in it is wrong; the message lists what, with line and column.
    """
    # Strict, as otherwise a quote that isn't closed would swallow the rest of the file.
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    begin = 1
    try:
        for cells in reader:
            # Spreadsheets leave rows of nothing at the end.
            if any(cells):
                lines.append((begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ResultError(f"{where}, line {begin} is no CSV: {error}. Mend that line.") from error
    if not lines:
        raise ResultError(f"{where} is empty. Its first line names the columns: {_head()}.")
    columns = _columns(lines[0][1], f"{where}, line {lines[0][0]}")
    return _checked(columns, lines[1:], where)


def format_table(table: Table) -> str:
    """Writes a table as text in the official form, without a line feed at the end.

    Raises:
        ResultError: Its columns aren't the official ones, or a cell can't be written so that it
            would be read back.
    """
    if table.columns != COLUMNS:
        raise ResultError(
            f"A table with the columns {', '.join(table.columns)} can't be written: the official "
            f"ones are {', '.join(COLUMNS)}."
        )
    problems: list[str] = []
    keys: set[str] = set()
    for row in table:
        problems += [f"{row.model!r}, {problem}" for problem in _problems_of(row)]
        if name_key(row.model) in keys:
            problems.append(f"{row.model!r} is in it twice, or differs in case or spaces alone")
        keys.add(name_key(row.model))
    if problems:
        raise _error("The table can't be written", problems)
    lines = [_head()]
    lines += [
        ",".join((row.model, row.url, row.submitted, *map(_score_text, row.scores)))
        for row in table
    ]
    return "\n".join(lines)


def write_table(table: Table, path: Path) -> None:
    """Writes a table in the official form; the file is whole or unchanged.

    Raises:
        ResultError: As `format_table`, or the file can't be written.
    """
    text = format_table(table)
    try:
        write_text(path, text)
    except OSError as error:
        raise ResultError(f"{path} can't be written: {error.strerror}.", code="io") from error


def check_row(row: Row) -> None:
    """Refuses a row that the official form can't hold.

    Raises:
        ResultError: The message lists what is wrong.
    """
    problems = _problems_of(row)
    if problems:
        raise _error(f"The row of {row.model!r} can't be used", problems)


def _head() -> str:
    return ",".join((*_FACTS, *COLUMNS))


def _error(what: str, problems: Sequence[str]) -> ResultError:
    more = len(problems) - _MOST_PROBLEMS
    shown = [f"- {problem}" for problem in problems[:_MOST_PROBLEMS]]
    if more > 0:
        shown.append(f"- and {more} more")
    return ResultError("\n".join([f"{what}; wrong are:", *shown]))


def _columns(head: Sequence[str], where: str) -> dict[str, int]:
    """Position of each column by its official name."""
    known = (*_FACTS, *COLUMNS)
    if len(head) == 1 and ";" in head[0]:
        raise ResultError(f"{where}: columns are parted by semicolons. Save it with commas.")
    found: dict[str, int] = {}
    problems = []
    for i, written in enumerate(head):
        stripped = written.strip()
        name = _FORMER_NAMES.get(stripped, stripped)
        if name not in known:
            problems.append(
                f"the column {i + 1} is called {written!r}, which isn't one of the leaderboard's. "
                f"{did_you_mean(name, list(known))}"
            )
        elif name in found:
            problems.append(
                f"the columns {found[name] + 1} and {i + 1} are both {name!r}; remove one"
            )
        else:
            found[name] = i
    missing = [name for name in known if name not in found and name != _DATE]
    if missing:
        problems.append(
            f"the columns {', '.join(missing)} are missing; one of a task without scores is empty"
        )
    if problems:
        raise _error(f"{where}: the columns can't be used", problems)
    return found


def _checked(
    columns: dict[str, int], lines: Sequence[tuple[int, Sequence[str]]], where: str
) -> Table:
    problems: list[str] = []
    rows: list[Row] = []
    lines_by_key: dict[str, tuple[int, str]] = {}
    for number, cells in lines:
        if len(cells) != len(columns):
            problems.append(
                f"line {number} has {len(cells)} cells where the head has {len(columns)}; a "
                "missing score is an empty cell, and a comma in a name makes two of it"
            )
            continue
        row, wrong = _row({name: cells[i] for name, i in columns.items()})
        problems += [f"line {number}, {problem}" for problem in wrong]
        first = lines_by_key.setdefault(name_key(row.model), (number, row.model))
        if row.model and first[0] != number:
            alike = "" if first[1] == row.model else f", there as {first[1]!r}"
            problems.append(
                f"line {number}, {_MODEL}: {row.model!r} is in line {first[0]} already{alike}; "
                "remove or rename one"
            )
        rows.append(row)
    if problems:
        raise _error(f"{where} can't be used", problems)
    return Table(COLUMNS, tuple(rows))


def _row(cells: dict[str, str]) -> tuple[Row, list[str]]:
    problems = [f"{name}: {problem}" for name in COLUMNS if (problem := score_problem(cells[name]))]
    row = Row(
        model=cells[_MODEL],
        url=cells[_URL],
        submitted=cells.get(_DATE, ""),
        scores=tuple(
            score_of(cells[name]) if cells[name] and not score_problem(cells[name]) else None
            for name in COLUMNS
        ),
    )
    return row, [*_problems_of(row), *problems]


def _problems_of(row: Row) -> list[str]:
    """Says what keeps a row out of the official form, each fault with the column's name."""
    problems = []
    texts = {_MODEL: row.model, _URL: row.url, _DATE: row.submitted}
    own = {_MODEL: model_problem, _URL: url_problem, _DATE: date_problem}
    for name, text in texts.items():
        problem = text_problem(text) or own[name](text)
        if problem:
            problems.append(f"{name}: {problem}")
    if len(row.scores) != len(COLUMNS):
        problems.append(f"it has {len(row.scores)} scores for {len(COLUMNS)} columns")
    for name, score in zip(COLUMNS, row.scores, strict=False):
        if score is not None and not 0 <= score <= 1:
            problems.append(f"{name}: {score!r} isn't in 0 to 1")
    return problems


def _score_text(score: float | None) -> str:
    if score is None:
        return ""
    # repr is the shortest text that is read back as the same number; here without an exponent,
    # and 0 and 1 as the official file has them. (Adding 0.0 makes -0.0 a 0.)
    text = format(Decimal(repr(float(score) + 0.0)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
