"""Results as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.amounts import duration
from hearbench.cli.render import number, output_console, show
from hearbench.results.notes import notes_on
from hearbench.table import Column, Table

if TYPE_CHECKING:
    from hearbench.results import Result
    from hearbench.results.uncertainty import Source, Uncertainty

__all__ = ["number", "output_console", "show_results"]


def show_results(results: Sequence[tuple[Path, Result]]) -> None:
    """Prints a table with a row per task, and below it what a reader should know."""
    from hearbench.evaluation.intervals import read_uncertainty

    shown = [_Shown(result, read_uncertainty(path.parent)) for path, result in results]
    for title in dict.fromkeys(each.title for each in shown):
        of_title = [each for each in shown if each.title == title]
        # Narrow enough for a terminal of 80 columns.
        table = Table(
            [
                Column("task\nchosen grid point", wrap="anywhere"),
                Column("score"),
                Column("mean ± std\n95 % interval"),
                Column("test\nclips", align="right"),
                Column("time", align="right"),
            ],
            title,
        )
        for each in of_title:
            table.add(*each.cells())
        show(table)
        if any(len(each.seeds) > 1 for each in of_title):
            show("±: standard deviation over seeds.", _sources(of_title))
        elif any(len(each.result.folds) > 1 for each in of_title):
            show("±: standard deviation over folds.")
    show(*notes_on(results))


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


def _sources(shown: Sequence[_Shown]) -> Table:
    """Where the uncertainty comes from: the standard deviation of a mean by each source."""
    table = Table(
        [
            Column("task", wrap="anywhere"),
            Column("score"),
            *(
                Column(source, align="right")
                for source in ("test clips", "seeds", "folds", "together")
            ),
        ],
        "where the uncertainty comes from, as standard deviations of the mean",
    )
    for each in shown:
        for name, score in each.sure.scores.items() if each.sure else ():
            table.add(
                each.result.task.name,
                name,
                _part(score.clips, None),
                _part(score.seeds, len(each.seeds)),
                _part(score.folds, score.folds.n if score.folds else None),
                _part(score.total, None),
            )
    return table


def _part(source: Source | None, n: int | None) -> str:
    """A source's part in the mean's deviation: what goes beyond the noise of the others."""
    if source is None:
        return "unknown"
    if n is None:
        return f"{source.std:.4f}"
    return "unknown" if source.beyond is None else f"{source.beyond / math.sqrt(n):.4f}"
