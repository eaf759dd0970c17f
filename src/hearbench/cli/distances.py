"""Results of distances as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.amounts import duration
from hearbench.cli.tables import number, output_console

if TYPE_CHECKING:
    from hearbench.distance import DistanceResult, DistanceSummary

__all__ = ["show_distances"]


def show_distances(results: Sequence[tuple[Path, DistanceResult]]) -> None:
    """Prints a table with a row per task, and below it what readers should know."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    for title in dict.fromkeys(_title(result) for _, result in results):
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
        # Narrow enough for a terminal of 80 columns.
        table.add_column("task", overflow="fold")
        table.add_column("score", no_wrap=True)
        table.add_column("mean", no_wrap=True)
        table.add_column("interval", no_wrap=True)
        table.add_column("test\nclips", no_wrap=True, justify="right")
        table.add_column("time", no_wrap=True, justify="right")
        for _, result in results:
            if _title(result) == title:
                table.add_row(*(Text(cell) for cell in _cells(result)))
        console.print(table)
    for _, result in results:
        for note in result.notes:
            console.print(Text(f"{result.task.name}: {note}"))


def _title(result: DistanceResult) -> str:
    return (
        f"{result.model.name}, L1 distances of {result.embeddings.size} numbers, "
        f"{100 * result.level:g} % intervals"
    )


def _cells(result: DistanceResult) -> tuple[str, ...]:
    n_folds = len(result.splits)
    clips = str(sum(split.n_clips for split in result.splits))
    return (
        result.task.name,
        "\n".join(result.scores),
        "\n".join(number(summary.mean) for summary in result.scores.values()),
        "\n".join(_interval(summary) for summary in result.scores.values()),
        clips if n_folds == 1 else f"{clips}\n{n_folds} folds",
        duration(result.resources.embed_s + result.resources.distance_s),
    )


def _interval(summary: DistanceSummary) -> str:
    if summary.interval is None or math.isnan(summary.mean):
        return "unknown"
    return f"{summary.interval.low:.3f} to {summary.interval.high:.3f}"
