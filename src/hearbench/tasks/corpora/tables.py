"""Reading a corpus's metadata, so that what is wrong with them is said with its place."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench.errors import TaskError
from hearbench.files import SYNTAX_ERRORS
from hearbench.tasks.corpora.files import is_plain_path

__all__ = ["Row", "read_json_object", "read_rows", "read_text"]

_END = "\x1e\x04"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table of text.

    Attributes:
        line: The line that it begins on, from 1 on.
        cells: Text of the cells by column.
    """

    path: Path
    line: int
    cells: Mapping[str, str]

    def error(self, column: str, expected: str) -> TaskError:
        """Makes the error that says what is wrong with a cell."""
        return TaskError(
            f"{self.path}, line {self.line}, column {column!r}: {self.cells[column]!r} is not "
            f"{expected}."
        )

    def text(self, column: str) -> str:
        """Reads a cell that isn't empty.

        Raises:
            TaskError: It is.
        """
        text = self.cells[column]
        if not text.strip():
            raise self.error(column, "a text; it is empty")
        return text

    def integer(self, column: str, *, lowest: int) -> int:
        """Reads a cell as an integer.

        Raises:
            TaskError: It isn't one, or is too low.
        """
        try:
            value = int(self.cells[column])
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise self.error(column, f"an integer from {lowest} on")
        return value

    def number(self, column: str) -> float:
        """Reads a cell as a finite number.

        Raises:
            TaskError: It isn't one.
        """
        try:
            value = float(self.cells[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, "a number")
        return value

    def flag(self, column: str) -> bool:
        """Reads a cell as true or false.

        Raises:
            TaskError: It is neither.
        """
        text = self.cells[column].strip().lower()
        if text not in {"true", "1", "false", "0"}:
            raise self.error(column, "True or False")
        return text in {"true", "1"}

    def relative_path(self, column: str) -> str:
        """Reads a cell as the path of a file below some folder.

        Raises:
            TaskError: It is empty, absolute or leads outside.
        """
        text = self.text(column)
        if not is_plain_path(text):
            raise self.error(column, "the name of a file, or a path below the corpus's folder")
        return text


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Raises:
        TaskError: It can't be read, or isn't UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TaskError(f"{path} can't be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path} is no text in UTF-8: {error}.") from error


def read_rows(
    path: Path, columns: Sequence[str], *, delimiter: str = ",", header: bool = True
) -> Iterator[Row]:
    """The rows of a table; blank lines are passed over, and columns may be more than needed.

    Args:
        columns: The columns that are needed; without a header, all there are.
        delimiter: What stands between cells.
        header: Whether the first line names the columns.

    Raises:
        TaskError: The file can't be read, lacks a column, or has rows that don't fit.
    """
    # A quotation mark that is never closed swallows all that follows, even this line.
    text = f"{read_text(path)}\n{_END}\n"
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = None if header else list(columns)
    begin = 1
    try:
        for cells in reader:
            line, begin = begin, reader.line_num + 1
            if cells == [_END]:
                break
            if any(_END in cell for cell in cells):
                raise TaskError(f"{path}, line {line}: a quotation mark is never closed.")
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = _header(path, cells, columns)
                continue
            # Cells that no one needs may be missing at the end; further ones mean that something
            # within the row was taken for a delimiter.
            named = dict(zip(names, cells, strict=False))
            if len(cells) > len(names) or any(column not in named for column in columns):
                raise TaskError(
                    f"{path}, line {line} has {len(cells)} cells, where {len(names)} are expected: "
                    f"{', '.join(names)}."
                )
            yield Row(path, line, named)
    except csv.Error as error:
        raise TaskError(f"{path}, line {begin} can't be read as a table: {error}.") from error
    if names is None:
        raise TaskError(f"{path} is empty; its first line should name {', '.join(columns)}.")


def _header(path: Path, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise TaskError(
            f"{path} lacks the columns {', '.join(lacking)}; its first line names "
            f"{', '.join(names)}."
        )
    return names


def read_json_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file that holds an object.

    Raises:
        TaskError: It can't be read, is no JSON, or holds something else.
    """
    try:
        value = json.loads(read_text(path))
    except SYNTAX_ERRORS as error:
        raise TaskError(f"{path} is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise TaskError(f"{path} should hold a JSON object, not {type(value).__name__}.")
    return value
