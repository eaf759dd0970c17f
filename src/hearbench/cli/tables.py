"""Results as a table."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.amounts import duration
from hearbench.cli.intervals import read_uncertainty
from hearbench.cli.result_notes import notes_on

if TYPE_CHECKING:
    from rich.console import Console

    from hearbench.results import Result
    from hearbench.results.uncertainty import Source, Uncertainty

__all__ = ["number", "output_console", "show_results"]

_PIPE_WIDTH = 200


def output_console() -> Console:
    """A console on stdout; wide where it isn't a terminal, so that nothing is folded."""
    from hearbench.console import PlainConsole

    width = None if sys.stdout.isatty() else max(_PIPE_WIDTH, shutil.get_terminal_size().columns)
    return PlainConsole(width=width)


def number(value: float) -> str:
    """A score with three decimals; NaN as ``undefined``."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return f"{value:.3f}"


def show_results(results: Sequence[tuple[Path, Result]]) -> None:
    """Prints a table with a row per task, and below it what a reader should know."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = output_console()
    shown = [_Shown(result, read_uncertainty(path.parent)) for path, result in results]
    for title in dict.fromkeys(each.title for each in shown):
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
        # Narrow enough for a terminal of 80 columns.
        table.add_column("task\nchosen grid point", overflow="fold")
        table.add_column("score", no_wrap=True)
        table.add_column("mean ± std\n95 % interval", no_wrap=True)
        table.add_column("test\nclips", no_wrap=True, justify="right")
        table.add_column("time", no_wrap=True, justify="right")
        of_title = [each for each in shown if each.title == title]
        for each in of_title:
            table.add_row(*(Text(cell) for cell in each.cells()))
        console.print(table)
        if any(len(each.seeds) > 1 for each in of_title):
            console.print(Text("±: standard deviation over seeds."))
            _show_sources(of_title, console)
        elif any(len(each.result.folds) > 1 for each in of_title):
            console.print(Text("±: standard deviation over folds."))
    for note in notes_on(results):
        console.print(Text(note), soft_wrap=True)


@dataclass(frozen=True)
class _Shown:
    """A result and how sure it is."""

    result: Result
    sure: Uncertainty | None

    @property
    def seeds(self) -> tuple[int, ...]:
        return (self.result.seed,) if self.sure is None else self.sure.seeds

    @property
    def title(self) -> str:
        seeds = self.seeds
        listed = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds from {seeds[0]}"
        return f"{self.result.model.name}, protocol {self.result.protocol.name}, {listed}"

    def cells(self) -> tuple[str, ...]:
        result, took = self.result, self.result.resources
        n_folds = len(result.folds)
        clips = str(sum(fold.n_clips for fold in result.folds))
        # An interval takes a second line of its score.
        lines = [self._lines(name) for name in result.scores]
        return (
            f"{result.task.name}\n{result.grid[result.chosen].point.label()}",
            "\n".join(
                name + "\n" * (own.count("\n"))
                for name, own in zip(result.scores, lines, strict=True)
            ),
            "\n".join(lines),
            clips if n_folds == 1 else f"{clips}\n{n_folds} folds",
            duration(took.embed_s + took.probe_s),
        )

    def _lines(self, name: str) -> str:
        own = self.result.scores[name]
        if self.sure is None:
            return _mean_std(own.mean, own.std)
        score = self.sure.scores[name]
        # Of several seeds the deviation is that over seeds, otherwise the one over folds.
        std = score.seeds.std if score.seeds is not None else own.std
        mean = _mean_std(score.mean, std)
        if score.total is None:
            return mean
        interval = score.total.interval
        return f"{mean}\n{number(interval.low)} to {number(interval.high)}"


def _mean_std(mean: float, std: float | None) -> str:
    if std is None or math.isnan(mean) or math.isnan(std):
        return number(mean)
    return f"{number(mean)} ± {number(std)}"


def _show_sources(shown: Sequence[_Shown], console: Console) -> None:
    """Where the uncertainty comes from: the standard deviation of a mean by each source."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text("where the uncertainty comes from, as standard deviations of the mean"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("task", overflow="fold")
    table.add_column("score", no_wrap=True)
    for source in ("test clips", "seeds", "folds", "together"):
        table.add_column(source, justify="right", no_wrap=True)
    for each in shown:
        for name, score in each.sure.scores.items() if each.sure else ():
            cells = (
                _part(score.clips, None),
                _part(score.seeds, len(each.seeds)),
                _part(score.folds, score.folds.n if score.folds else None),
                _part(score.total, None),
            )
            table.add_row(Text(each.result.task.name), Text(name), *cells)
    console.print(table)


def _part(source: Source | None, n: int | None) -> str:
    """A source's part in the mean's deviation: what goes beyond the noise of the others."""
    if source is None:
        return "unknown"
    if n is None:
        return f"{source.std:.4f}"
    return "unknown" if source.beyond is None else f"{source.beyond / math.sqrt(n):.4f}"
