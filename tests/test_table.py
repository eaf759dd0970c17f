"""Tables: the same rows for a terminal, and as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from typing import Literal

import pytest
from rich.console import Console

from hearbench.table import Column, Styled, Table


def example() -> Table:
    table = Table(
        [
            Column("task", wrap="anywhere"),
            Column("mAP", "{:.3f}", align="right"),
            Column("clips", lambda count: f"{count:,}", align="right"),
        ],
        title="scores",
    )
    table.add("fsd50k", 0.42131, 10231)
    table.end_section()
    table.add(Styled("a|b [bold]", "cyan"), None, Styled(3, "bold"), style="dim")
    table.add("short")
    return table


def drawn(table: Table, width: int = 40, color: bool = False) -> list[str]:
    system: Literal["standard"] | None = "standard" if color else None
    console = Console(width=width, file=io.StringIO(), color_system=system, force_terminal=color)
    console.print(table.to_rich())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def test_on_a_terminal() -> None:
    assert drawn(example()) == [
        "scores",
        "",
        "  task           mAP    clips",
        " ─────────────────────────────",
        "  fsd50k       0.421   10,231",
        "",
        "  a|b [bold]                3",
        "  short",
        "",
    ]


def test_styles_are_for_a_terminal_with_colours() -> None:
    (line,) = [line for line in drawn(example(), color=True) if "a|b" in line]
    assert "\x1b[2;36ma|b [bold]\x1b[0m" in line
    assert "\x1b[1;2m     3\x1b[0m" in line


@pytest.mark.parametrize(
    ("wrap", "lines"),
    [
        ("no", ["one l…"]),
        ("between words", ["one", "longe…"]),
        ("anywhere", ["one", "longer", "er"]),
        ("names", ["one", "longer", "er"]),
    ],
)
def test_what_is_too_wide(wrap: str, lines: list[str]) -> None:
    table = Table([Column("c", wrap=wrap, max_width=6)], gap=1)  # type: ignore[arg-type]
    table.add("one longerer")
    assert [line.strip() for line in drawn(table)[3:-1]] == lines


def test_names_are_broken_between_their_parts() -> None:
    table = Table([Column("package.models", wrap="names", max_width=9), Column("score")], gap=1)
    table.add("package.models-tiny", 1)
    table.add("lab/net_a\n− b", 2)
    assert [line.split() for line in drawn(table)[:-1] if line.strip(" ─")] == [
        ["package."],
        ["models", "score"],
        ["package.", "1"],
        ["models-"],
        ["tiny"],
        ["lab/net_a", "2"],
        ["−", "b"],
    ]


def test_for_programs_values_are_not_formatted() -> None:
    table = example()
    assert len(table) == 3
    assert table.to_json() == [
        {"task": "fsd50k", "mAP": 0.42131, "clips": 10231},
        {"task": "a|b [bold]", "mAP": None, "clips": 3},
        {"task": "short", "mAP": None, "clips": None},
    ]
    table.add('quoted, "so"', math.nan, 1)
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [
        ["task", "mAP", "clips"],
        ["fsd50k", "0.42131", "10231"],
        ["a|b [bold]", "", "3"],
        ["short", "", ""],
        ['quoted, "so"', "", "1"],
    ]


def test_markdown() -> None:
    assert example().to_markdown() == (
        "| task | mAP | clips |\n"
        "| --- | ---: | ---: |\n"
        "| fsd50k | 0.421 | 10,231 |\n"
        "| a\\|b [bold] |  | 3 |\n"
        "| short |  |  |\n"
    )


def test_a_row_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="2 values for 1 columns"):
        Table([Column("only")]).add(1, 2)
