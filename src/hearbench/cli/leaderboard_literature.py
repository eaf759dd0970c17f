"""Scores from papers and READMEs on a terminal and as JSON: marked, and never ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hearbench.cli.leaderboard_tables import parts_that_fit
from hearbench.cli.render import output_console, show
from hearbench.leaderboard.literature import LiteratureRow, literature, literature_rows, score_text
from hearbench.table import Column, Table

__all__ = ["as_json", "show_literature"]

_MODEL_WIDTH = 28
_NOT_RANKED = (
    "Not ranked, in the order of the sources: other code, other seeds and other choices give other "
    "scores. code: the protocol whose program made them, hear2021 being the benchmark's own."
)


def as_json(columns: Sequence[str]) -> list[dict[str, Any]]:
    """The scores on some columns for programs, each with its source."""
    return [
        score.model_dump()
        | {
            "score": float(score.score),
            "plus_minus": None if score.plus_minus is None else float(score.plus_minus),
        }
        for score in literature()
        if score.column in columns
    ]


def show_literature(columns: Sequence[str]) -> None:
    """Prints the scores on some columns; an overview of models and sources where there are none."""
    rows = literature_rows(
        score for score in literature() if not columns or score.column in columns
    )
    if not rows:
        show(f"The literature has no score on {', '.join(columns)}.")
        return
    numbers: dict[tuple[str, str], int] = {}
    for row in rows:
        numbers.setdefault(_place(row), len(numbers) + 1)
    if columns:
        _show_scores(rows, columns, numbers)
    else:
        _show_overview(rows, numbers)
    show(_NOT_RANKED, "")
    for place, number in numbers.items():
        show(f"[{number}] {_about([row for row in rows if _place(row) == place])}")


def _place(row: LiteratureRow) -> tuple[str, str]:
    return row.first.source, row.first.place


def _about(rows: Sequence[LiteratureRow]) -> str:
    """Where a source's rows stand, and what else to know of them."""
    scores = [score for row in rows for score in row.scores.values()]
    deviations = [f"± is the {score.plus_minus_of}" for score in scores if score.plus_minus_of]
    notes = dict.fromkeys([*deviations, *(score.note for score in scores if score.note)])
    first = scores[0]
    return "; ".join([f"{first.place}: {first.source}", *notes])


def _heads() -> list[Column]:
    return [
        Column("model", wrap="names", max_width=_MODEL_WIDTH),
        Column("from", "[{}]", align="right"),
        Column("code"),
    ]


def _show_overview(rows: Sequence[LiteratureRow], numbers: dict[tuple[str, str], int]) -> None:
    table = Table(
        [
            *_heads(),
            Column("year"),
            Column("tasks", align="right"),
            Column("subset"),
            Column("seeds", align="right"),
        ],
        title="from the literature, not ranked",
        gap=1,
    )
    for row in rows:
        first = row.first
        cells = (first.year, len(row.scores), first.subset, first.seeds)
        table.add(first.model, numbers[_place(row)], first.code, *cells)
    show(table)


def _show_scores(
    rows: Sequence[LiteratureRow], columns: Sequence[str], numbers: dict[tuple[str, str], int]
) -> None:
    width = min(_MODEL_WIDTH, max(len(row.first.model) for row in rows))
    for part in parts_that_fit(columns, output_console().width - width - 19):
        shown = [row for row in rows if any(column in row.scores for column in part)]
        # All begin with "0.", so that their points stand below each other.
        heads = [Column(column.replace(" ", "\n"), score_text) for column in part]
        # Where there is room, what follows ± in the source.
        deviation = len(columns) == 1 and any(
            score.plus_minus is not None for row in shown for score in row.scores.values()
        )
        table = Table(
            [*_heads(), *heads, *([Column("±", score_text)] if deviation else [])],
            title="from the literature, not ranked",
            gap=1,
        )
        for row in shown:
            scores = [row.scores.get(column) for column in part]
            cells: list[Any] = [None if score is None else score.score for score in scores]
            if deviation:
                cells.append(scores[0] and scores[0].plus_minus)
            table.add(row.first.model, numbers[_place(row)], row.first.code, *cells)
        show(table)
