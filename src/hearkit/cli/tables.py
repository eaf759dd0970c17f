"""Results as a table."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearkit.cli.terminal import duration

if TYPE_CHECKING:
    from rich.console import Console

    from hearkit.results import Result, ScoreSummary

__all__ = ["number", "output_console", "show_results", "undefined_notes"]

_PIPE_WIDTH = 200


def output_console() -> Console:
    """A console on stdout; wide where it isn't a terminal, so that nothing is folded."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else max(_PIPE_WIDTH, shutil.get_terminal_size().columns)
    return Console(highlight=False, width=width)


def number(value: float) -> str:
    """A score with three decimals; NaN as ``undefined``."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value:.3f}"


def show_results(results: Sequence[tuple[Path, Result]]) -> None:
    """Prints a table with a row per task, and below it why numbers are undefined."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    for title in dict.fromkeys(_title(result) for _, result in results):
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
        # Narrow enough for a terminal of 80 columns.
        table.add_column("task\nchosen grid point", overflow="fold")
        table.add_column("score", no_wrap=True)
        table.add_column("mean ± std", no_wrap=True)
        table.add_column("test\nclips", no_wrap=True, justify="right")
        table.add_column("time", no_wrap=True, justify="right")
        for _, result in results:
            if _title(result) == title:
                table.add_row(*(Text(cell) for cell in _cells(result)))
        console.print(table)
    for _, result in results:
        for note in undefined_notes(result):
            console.print(Text(note))


def _title(result: Result) -> str:
    return f"{result.model.name}, protocol {result.protocol.name}, seed {result.seed}"


def _cells(result: Result) -> tuple[str, ...]:
    took = result.resources
    n_folds = len(result.folds)
    clips = str(sum(fold.n_clips for fold in result.folds))
    return (
        f"{result.task.name}\n{result.grid[result.chosen].point.label()}",
        "\n".join(result.scores),
        "\n".join(_summary(summary) for summary in result.scores.values()),
        clips if n_folds == 1 else f"{clips}\n{n_folds} folds",
        duration(took.embed_s + took.probe_s),
    )


def _summary(summary: ScoreSummary) -> str:
    if summary.std is None or math.isnan(summary.mean) or math.isnan(summary.std):
        return number(summary.mean)
    return f"{number(summary.mean)} ± {number(summary.std)}"


def undefined_notes(result: Result) -> list[str]:
    """Why scores are undefined or infinite, one sentence per cause."""
    untrained = [fold.test for fold in result.folds if math.isnan(fold.validation_score)]
    notes = []
    if untrained:
        notes.append(
            f"{result.task.name}: nothing could be chosen for {', '.join(untrained)}, as "
            f"{result.primary_score} is undefined on the validation clips (a label that no clip "
            "has, or every clip); so all scores there are undefined."
        )
    for name, summary in result.scores.items():
        undefined = [split for split, value in summary.per_fold.items() if math.isnan(value)]
        rest = [split for split in undefined if split not in untrained]
        if rest:
            notes.append(
                f"{result.task.name}: {name} is undefined on {', '.join(rest)}: there, some label "
                "is that of no clip, or of every clip."
            )
        infinite = [split for split, value in summary.per_fold.items() if math.isinf(value)]
        if infinite:
            notes.append(
                f"{result.task.name}: {name} is infinite on {', '.join(infinite)}: there, some "
                "label is told apart without an error."
            )
    return notes
