"""``hearbench tasks``: looking at prepared tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import answers_only, verb
from hearbench.cli.tables import output_console
from hearbench.cli.terminal import answer_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from hearbench.tasks.event_stats import Spread
    from hearbench.tasks.stats import TaskStats

__all__ = ["stats"]

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="A prepared task: its folder, its .tar.gz, or its name in the cache.",
        show_default=False,
    ),
]

# Without --all, the labels in the table: all of a few, else these many of both ends.
_FEW = 25
_ENDS = 10
_SHOWN_MISSING = 10


@verb(
    "hearbench tasks stats data/tasks/birds-1.0.0-full --plot birds.png",
    "hearbench tasks stats birds --silence --json",
)
def stats(
    task: TaskName,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw it into this .png, .svg or .pdf."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every label, not only the most and least frequent.")
    ] = False,
    silence: Annotated[
        bool, typer.Option("--silence", help="Read all audio, to name clips that are silent.")
    ] = False,
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    json: o.Json = False,
) -> None:
    """Counts a task's clips, durations, labels and events, split by split.

    --plot needs the extra 'plot'.
    """
    with answers_only():
        from hearbench.tasks.stats import task_stats
        from hearbench.tasks.store import load_task

        workspace = o.settings_of(cache, None, workers)
        loaded = load_task(task, workspace=workspace, download=False)
        found = task_stats(loaded, listen=silence, workspace=workspace)
        if plot is not None:
            from hearbench.views.task_plot import write_task_plot

            write_task_plot(found, plot)
    if json:
        answer_json(found.to_json() | {"plot": None if plot is None else str(plot)})
        return
    _show(found, everything)
    if plot is not None:
        say(f"Drawn into {plot}.")


def _show(found: TaskStats, everything: bool) -> None:
    from rich.text import Text

    console = output_console()
    console.print(_splits(found))
    if found.kind == "event":
        console.print(_events(found))
    console.print(_labels(found, everything))
    for line in (*_missing(found, everything), *_remarks(found, everything)):
        console.print(Text(line))


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)


def _splits(found: TaskStats) -> Table:
    table = _table(f"{found.name}: {found.prediction_type} {found.kind} task")
    table.add_column("split", overflow="fold")
    for name in ("clips", "hours", "shortest\ns", "median\ns", "longest\ns"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("without\nlabels", justify="right", no_wrap=True)
    table.add_column("labels\nper clip", justify="right", no_wrap=True)
    for split in found.splits:
        _add_row(
            table,
            split.name,
            f"{split.clips:,}",
            f"{split.hours:.3f}",
            *_spread(split.duration),
            f"{split.unlabelled:,}",
            f"{split.labels_per_clip:.2f}",
        )
    if len(found.splits) > 1:
        unlabelled = sum(split.unlabelled for split in found.splits)
        cells = ("", "", "", f"{unlabelled:,}", "")
        _add_row(table, "all", f"{found.clips:,}", f"{found.hours:.3f}", *cells)
    return table


def _events(found: TaskStats) -> Table:
    table = _table("Events")
    table.add_column("split", overflow="fold")
    for name in ("events", "shortest\ns", "median\ns", "longest\ns", "most\nat once"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("time\nwith any", justify="right", no_wrap=True)
    table.add_column("time\nwith two", justify="right", no_wrap=True)
    for split in found.splits:
        if (events := split.events) is not None:
            _add_row(
                table,
                split.name,
                f"{events.count:,}",
                *(("", "", "") if events.duration is None else _spread(events.duration)),
                str(events.most_at_once),
                f"{events.active:.1%}",
                f"{events.overlapping:.1%}",
            )
    return table


def _labels(found: TaskStats, everything: bool) -> Table:
    order = found.by_frequency()
    cut = not everything and len(order) > _FEW
    shown: list[int | None] = [*order]
    if cut:
        shown = [*order[:_ENDS], None, *order[-_ENDS:]]
    n_labels = len(order)
    table = _table(
        f"{found.counted.capitalize()} of each of {n_labels} label{'' if n_labels == 1 else 's'}"
    )
    table.add_column("label", overflow="fold")
    for split in found.splits:
        table.add_column(split.name, justify="right", overflow="fold")
    table.add_column("all", justify="right", no_wrap=True)
    for label in shown:
        if label is None:
            _add_row(table, f"... {len(order) - 2 * _ENDS} more, by --all")
        else:
            column = found.counts[:, label]
            cells = (f"{count:,}" for count in [*column.tolist(), int(column.sum())])
            _add_row(table, found.labels[label], *cells)
    return table


def _add_row(table: Table, *cells: str) -> None:
    from rich.text import Text

    # Names are the user's; they hold no markup.
    table.add_row(*(Text(cell) for cell in cells))


def _spread(spread: Spread) -> tuple[str, str, str]:
    return f"{spread.shortest_s:.3f}", f"{spread.median_s:.3f}", f"{spread.longest_s:.3f}"


def _missing(found: TaskStats, everything: bool) -> list[str]:
    return [
        f"{split} has no {found.counted.removesuffix('s')} of {len(labels)} of the labels: "
        f"{_named(labels, everything)}"
        for split, labels in found.missing.items()
    ]


def _named(names: Sequence[str], everything: bool) -> str:
    if everything or len(names) <= _SHOWN_MISSING:
        return ", ".join(names)
    rest = len(names) - _SHOWN_MISSING
    return f"{', '.join(names[:_SHOWN_MISSING])} and {rest} more"


def _remarks(found: TaskStats, everything: bool) -> list[str]:
    rates = ", ".join(map(str, found.sample_rates))
    lines = [f"Optimised for {found.scores[0]}; audio at {rates} Hz."]
    if found.imbalance is not None and len(found.labels) > 1:
        lines.append(f"The most frequent label is {found.imbalance:.1f} times the rarest.")
    for split in found.splits:
        if split.events is not None and split.events.beyond:
            lines.append(f"{split.name}: {split.events.beyond:,} events end after their clip.")
        if split.silent:
            names = _named(split.silent, everything)
            lines.append(f"{split.name}: {len(split.silent):,} clips are silent: {names}")
    if all(split.silent == () for split in found.splits):
        lines.append("No clip is silent.")
    return lines
