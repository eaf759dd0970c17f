"""A table of results, rates or sizes: columns and rows, for the terminal and as text for programs.

table = Table([Column("task"), Column("mAP", "{:.3f}", align="right")], title="scores")
table.add("fsd50k", 0.4213)
print(table.to_markdown())
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.measure import Measurement
    from rich.table import Table as RichTable
    from rich.text import Text

__all__ = ["Column", "Styled", "Table", "folded_name", "rich_text"]


@dataclass(frozen=True)
class Column:
    """A column: its heading, how its values are written, and where they stand.

    Attributes:
        name: The heading; a line break in it is kept on the terminal.
        form: How a value becomes text: a format such as ``"{:.3f}"``, or a function, whose text
            may have styles (rich.text.Text). None becomes an empty cell in any case.
        wrap: Where a value that is too wide is continued on another line; ``"anywhere"`` breaks
            long words, too, and ``"names"`` breaks behind dots, dashes and the like. What doesn't
            fit otherwise is cut.
        min_width: In characters.
        max_width: In characters.
    """

    name: str
    form: str | Callable[[Any], str | Text] = "{}"
    align: Literal["left", "right"] = "left"
    wrap: Literal["no", "between words", "anywhere", "names"] = "no"
    min_width: int | None = None
    max_width: int | None = None

    def text(self, value: Any) -> str | Text:
        """Formats one value."""
        value = _plain(value)
        if value is None:
            return ""
        return self.form.format(value) if isinstance(self.form, str) else self.form(value)


@dataclass(frozen=True)
class Styled:
    """A value with a style of rich, such as ``"bold"``, for the terminal alone."""

    value: Any
    style: str


class Table:
    """Columns and rows, written in any of several forms.

    Args:
        title: Stands above the table on the terminal.
        gap: Blank characters between columns on the terminal: 1 or 2.
    """

    def __init__(self, columns: Sequence[Column], title: str | Styled = "", gap: int = 2) -> None:
        self.columns = tuple(columns)
        self.title = title
        self.gap = gap
        self._rows: list[_Row] = []

    def add(self, *values: Any, style: str = "") -> None:
        """Adds a row.

        Args:
            *values: One per column, before formatting, each perhaps in a `Styled`; columns at the
                end that have none stay empty.
            style: A style of rich for the whole row.

        Raises:
            ValueError: There are more values than columns.
        """
        if len(values) > len(self.columns):
            raise ValueError(f"{len(values)} values for {len(self.columns)} columns.")
        missing = [None] * (len(self.columns) - len(values))
        self._rows.append(_Row((*values, *missing), style))

    def end_section(self) -> None:
        """Leaves a line free below the rows so far, on the terminal."""
        if self._rows:
            self._rows[-1].ends_section = True

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def to_rich(self) -> RichTable:
        """The table for a terminal; no text in it is taken for markup."""
        from rich import box
        from rich.table import Table as RichTable

        table = RichTable(
            title=rich_text(self.title) if _plain(self.title) else None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1) if self.gap == 2 else (0, 1, 0, 0),
        )
        for column in self.columns:
            table.add_column(
                _wrapped(column, rich_text(column.name)),
                justify=column.align,
                no_wrap=column.wrap == "no",
                overflow="fold" if column.wrap in ("anywhere", "names") else "ellipsis",
                min_width=column.min_width,
                max_width=column.max_width,
            )
        for row in self._rows:
            cells = [
                _wrapped(column, rich_text(column.text(value), _style(value)))
                for column, value in zip(self.columns, row.values, strict=True)
            ]
            table.add_row(*cells, style=row.style or None, end_section=row.ends_section)
        return table

    def to_text(self, width: int = 100) -> str:
        """The table as it looks on a terminal without colours, ``width`` characters wide."""
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=width, color_system=None).print(self.to_rich())
        return "".join(
            f"{line.rstrip()}\n" for line in text.getvalue().splitlines() if line.strip()
        )

    def to_json(self) -> list[dict[str, Any]]:
        """A mapping per row, from headings to values as they are."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, map(_plain, row.values), strict=True)) for row in self._rows]

    def to_csv(self) -> str:
        """Comma-separated values as they are, below a line of headings; NaN is left empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(column.name for column in self.columns)
        for row in self._rows:
            values = map(_plain, row.values)
            # Only NaN differs from itself.
            writer.writerow("" if value != value else value for value in values)
        return text.getvalue()

    def to_markdown(self) -> str:
        """Formatted values as a table in Markdown, without the title."""
        lines = [
            [column.name for column in self.columns],
            ["---:" if column.align == "right" else "---" for column in self.columns],
            *(
                [
                    str(column.text(value))
                    for column, value in zip(self.columns, row.values, strict=True)
                ]
                for row in self._rows
            ),
        ]
        return "".join(f"| {' | '.join(map(_markdown, cells))} |\n" for cells in lines)


@dataclass
class _Row:
    values: tuple[Any, ...]
    style: str
    ends_section: bool = False


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Styled) else value


def _style(value: Any) -> str:
    return value.style if isinstance(value, Styled) else ""


def rich_text(text: str | Styled | Text, style: str = "") -> Text:
    """Makes a text of rich, of which nothing is taken for markup; styles that it has stay."""
    from rich.text import Text

    if isinstance(text, Text):
        if style:
            text.stylize_before(style)
        return text
    return Text(str(_plain(text)), style=style or _style(text))


def _wrapped(column: Column, text: Text) -> Text | _Names:
    return _Names(text) if column.wrap == "names" else text


class _Names:
    """Names, one in each line of a text, that a terminal folds by `folded_name`."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        lines = self._text.plain.split("\n")
        words = (word for line in lines for word in folded_name(line, 1).split("\n"))
        return Measurement(max(map(len, words)), max(map(len, lines)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        lines = self._text.plain.split("\n")
        folded = "\n".join(folded_name(line, options.max_width) for line in lines)
        yield Text(folded, style=self._text.style, overflow="fold", justify=options.justify)


def folded_name(name: str, width: int) -> str:
    """Breaks a name into lines behind its dots, dashes and the like, never inside a word.

    A word that is longer than ``width`` characters keeps a line of its own.
    """
    lines = [""]
    for word in re.findall(r"[^./_=,: -]+[./_=,: -]*|[./_=,: -]+", name):
        if lines[-1] and len(lines[-1] + word) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
