"""A comparison of models as tables that fit 80 columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hearbench.cli.tables import number, output_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hearbench.comparison.record import Comparison, PairDifference, TaskComparison

__all__ = ["show_comparison"]

# Where fewer would tell another side of 0, or of the tests' level.
_MOST_DIGITS = 9
_TESTS = {
    "bootstrap": "bootstrap of the test clips",
    "permutation": "permutations and bootstrap of the test clips, the larger one",
}


def show_comparison(found: Comparison) -> None:
    """Prints scores and differences per task, then all tasks together."""
    from rich.text import Text

    console = output_console()
    for task in found.tasks:
        console.print(Text(_title(task), style="bold"))
        _scores(console, task, found)
        _differences(console, task, found)
    _standings(console, found)
    notes = [note for task in found.tasks for note in task.notes] + list(found.notes)
    for note in (*_legend(found), *notes):
        console.print(Text(note))


def _title(task: TaskComparison) -> str:
    folds = f" in {task.n_folds} folds" if task.n_folds > 1 else ""
    better = "" if task.maximise else ", lower is better"
    lines = [f"{task.task}: {task.score}{better}, {task.n_clips} test clips{folds}"]
    if task.resolution is not None:
        line = f"By the clips alone: one score to ±{_size(task.resolution.alone)}"
        if not math.isnan(task.resolution.paired):
            line += f", a difference from {_size(task.resolution.paired)} on"
        lines.append(f"{line}.")
    return "\n".join(lines)


def _scores(console: Console, task: TaskComparison, found: Comparison) -> None:
    from rich.text import Text

    table = _table()
    table.add_column("model", overflow="fold", min_width=24)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column(_level(found), justify="right", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    table.add_column("rank", no_wrap=True)
    order = sorted(
        task.scores, key=lambda s: (math.isnan(s.rank), s.rank if not math.isnan(s.rank) else 0)
    )
    for score in order:
        table.add_row(
            Text(score.model),
            number(score.mean),
            _interval(score.low, score.high),
            str(len(score.seeds)),
            _rank(score.rank, score.rank_low, score.rank_high, digits=1),
        )
    console.print(table)


def _differences(console: Console, task: TaskComparison, found: Comparison) -> None:
    from rich.text import Text

    table = _table()
    table.add_column("pair", overflow="fold")
    table.add_column("difference", justify="right", no_wrap=True)
    table.add_column("interval", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("verdict", min_width=20)
    for pair in task.pairs:
        table.add_row(
            Text(f"{pair.model_a}\n− {pair.model_b}"),
            _signed(pair.difference),
            _difference_interval(pair),
            _p(pair.p_holm, 1 - found.level),
            Text(pair.verdict, style=_style(pair)),
        )
    console.print(table)


def _standings(console: Console, found: Comparison) -> None:
    from rich.text import Text

    n_tasks = found.standings[0].n_tasks
    table = _table()
    title = f"over {n_tasks} task{'' if n_tasks == 1 else 's'}"
    table.add_column(title, overflow="fold", min_width=24)
    for name in ("mean rank", "ahead", "better", "worse"):
        table.add_column(name, justify="right" if name != "mean rank" else "left", no_wrap=True)
    key = dict.fromkeys(found.models, math.inf)
    key |= {s.model: s.mean_rank for s in found.standings if not math.isnan(s.mean_rank)}
    for standing in sorted(found.standings, key=lambda s: key[s.model]):
        table.add_row(
            Text(standing.model),
            _rank(standing.mean_rank, standing.low, standing.high, digits=2),
            f"{standing.ahead:g} of {standing.n_pairs}",
            str(standing.clearly_better),
            str(standing.clearly_worse),
        )
    console.print(table)


def _legend(found: Comparison) -> list[str]:
    n = found.n_tests
    if not n:
        return []
    corrected = f"corrected for {n} comparisons (Holm)" if n > 1 else "of one comparison"
    notes = [
        f"p: by {_TESTS[found.test]}, {corrected}; a difference at p <= {1 - found.level:.3g}.",
        "interval: of a difference, widened by the same correction, so that it leaves out 0 where "
        "there is one; rank: in brackets all that no verdict speaks against.",
        "better, worse: comparisons with such a difference; ahead: with the better score.",
    ]
    single = sorted(
        {s.model for task in found.tasks for s in task.scores if len(s.seeds) == 1 and s.is_random}
    )
    if single:
        notes.append(
            "With one seed, so that the luck of the training is not all in the intervals, nor in "
            "p, and 'better' is said of these trainings rather than of the models: "
            f"{', '.join(single)}."
        )
    return notes


def _table() -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _interval(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "unknown"
    return f"{number(low)} to {number(high)}"


def _difference_interval(pair: PairDifference) -> str:
    if math.isnan(pair.low) or math.isnan(pair.high):
        return "unknown"
    # With as many digits as show an end that isn't 0 to be none.
    digits = 3
    while digits < _MOST_DIGITS and any(
        end != 0 and round(end, digits) == 0 for end in (pair.low, pair.high)
    ):
        digits += 1
    return f"{_signed(pair.low, digits)} to {_signed(pair.high, digits)}"


def _level(found: Comparison) -> str:
    return f"{100 * found.level:.4g} % interval"


def _signed(value: float, digits: int = 3) -> str:
    if not math.isfinite(value):
        return number(value)
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def _size(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) and value < 0.1 else number(value)


def _rank(rank: float, low: float, high: float, *, digits: int) -> str:
    if math.isnan(rank):
        return "undefined"
    ends = [f"{end:.{digits}f}".rstrip("0").rstrip(".") for end in (rank, low, high)]
    return f"{ends[0]} ({ends[1]} to {ends[2]})"


def _p(value: float, alpha: float) -> str:
    """A corrected p, with as many digits as show on which side of the tests' level it is."""
    if math.isnan(value):
        return "unknown"
    if value < 0.001 <= alpha:
        return "<0.001"
    digits = 3
    while digits < _MOST_DIGITS and (round(value, digits) <= alpha) != (value <= alpha):
        digits += 1
    return f"{value:.{digits}f}"


def _style(pair: PairDifference) -> str:
    return "bold" if pair.better else ""
