"""Shared by the verbs of ``hearbench leaderboard``: an option, and notes on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli.terminal import say
from hearbench.errors import ResultError
from hearbench.leaderboard.own_row import OwnRow

__all__ = ["Csv", "counted", "say_what_is_left_out"]

Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="F", help="CSV of a leaderboard, instead of the official one."),
]


def say_what_is_left_out(own: Sequence[OwnRow], refused: str = "refused") -> None:
    """Tells on stderr which results don't count, and what else to know of the rows.

    Args:
        refused: What becomes of results that don't count.
    """
    for row in own:
        for refusal in row.refused:
            say(f"{refused}: {refusal}")
        if row.elsewhere:
            say(f"{row.row.model}: not on the leaderboard: {', '.join(row.elsewhere)}")
        for note in row.notes:
            say(f"{row.row.model}: {note}")


def counted(own: Sequence[OwnRow]) -> list[OwnRow]:
    """Selects the rows that have a score, and tells what is left out.

    Raises:
        ResultError: There are rows, and none has a score.
    """
    say_what_is_left_out(own)
    rows = [row for row in own if row.sources]
    if own and not rows:
        if any(row.refused for row in own):
            raise ResultError(
                "Nothing is left to be shown: every result of the leaderboard's tasks is refused."
            )
        raise ResultError(
            "No result is of a task that is on the leaderboard. `hearbench list catalog` shows "
            "which are its own; `hearbench evaluate MODEL --task esc50 --out results` runs one."
        )
    return rows
