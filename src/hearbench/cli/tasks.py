"""``hearbench tasks``: prepared tasks in numbers, and those that the benchmark published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError
from hearbench.table import Column, Table

if TYPE_CHECKING:
    from hearbench.tasks.stats import Spread, TaskStats

__all__ = ["download", "stats"]

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
    options="plot everything silence cache workers json",
)
def stats(
    task: TaskName,
    place: o.WorkspaceOptions,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Picture to draw as well: a .png, .svg or .pdf."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every label, not only the most and least frequent.")
    ] = False,
    silence: Annotated[
        bool, typer.Option("--silence", help="Read all audio and name the clips that are silent.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Counts a task's clips, durations, labels and events, split by split."""
    from hearbench.tasks.stats import task_stats
    from hearbench.tasks.store import load_task
    from hearbench.views.style import save_figure
    from hearbench.views.task_plot import draw_task_stats

    with answers_only():
        workspace = place.workspace()
        loaded = load_task(task, workspace=workspace, download=False)
        found = task_stats(loaded, listen=silence, workspace=workspace)
        if plot is not None:
            save_figure(draw_task_stats(found), plot)
    if json:
        answer_json(found.to_json() | {"plot": None if plot is None else str(plot)})
        return
    _show(found, everything)
    if plot is not None:
        say(f"Drawn into {plot}.")


def _show(found: TaskStats, everything: bool) -> None:
    events = [_events(found)] if any(split.events for split in found.splits) else []
    show(_splits(found), *events, _labels(found, everything))
    show(*_missing(found, everything), *_remarks(found, everything))


def _splits(found: TaskStats) -> Table:
    table = Table(
        [
            Column("split", wrap="names"),
            Column("clips", "{:,}", align="right"),
            Column("hours", "{:.3f}", align="right"),
            *_SPREAD,
            Column("without\nlabels", "{:,}", align="right"),
            Column("labels\nper clip", "{:.2f}", align="right"),
        ],
        f"{found.name}: {found.noun}",
    )
    for split in found.splits:
        spread = _spread(split.duration)
        table.add(
            split.name, split.clips, split.hours, *spread, split.unlabelled, split.labels_per_clip
        )
    if len(found.splits) > 1:
        unlabelled = sum(split.unlabelled for split in found.splits)
        table.add("all", found.clips, found.hours, None, None, None, unlabelled)
    return table


def _events(found: TaskStats) -> Table:
    table = Table(
        [
            Column("split", wrap="names"),
            Column("events", "{:,}", align="right"),
            *_SPREAD,
            Column("most\nat once", align="right"),
            Column("time\nwith any", "{:.1%}", align="right"),
            Column("time\nwith two", "{:.1%}", align="right"),
        ],
        "Events",
    )
    for split in found.splits:
        if (events := split.events) is not None:
            spread = (None,) * 3 if events.duration is None else _spread(events.duration)
            shares = events.active, events.overlapping
            table.add(split.name, events.count, *spread, events.most_at_once, *shares)
    return table


def _labels(found: TaskStats, everything: bool) -> Table:
    order = found.by_frequency()
    n_labels = len(order)
    names = [*(split.name for split in found.splits), "all"]
    table = Table(
        [
            Column("label", wrap="anywhere"),
            *(Column(name, "{:,}", align="right", wrap="anywhere") for name in names),
        ],
        f"{found.counted.capitalize()} of each of {n_labels} label{'' if n_labels == 1 else 's'}",
    )
    shown: list[int | None] = [*order]
    if not everything and n_labels > _FEW:
        shown = [*order[:_ENDS], None, *order[-_ENDS:]]
    for label in shown:
        if label is None:
            table.add(f"... {n_labels - 2 * _ENDS} more, by --all")
        else:
            counts = found.counts[:, label].tolist()
            table.add(found.labels[label], *counts, sum(counts))
    return table


_SPREAD = [
    Column(f"{name}\ns", "{:.3f}", align="right") for name in ("shortest", "median", "longest")
]


def _spread(spread: Spread) -> tuple[float, float, float]:
    return spread.shortest_s, spread.median_s, spread.longest_s


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


@verb(
    "hearbench tasks download esc50 beijing_opera",
    "hearbench tasks download leaderboard --mirror http://files.example.org/hear",
    options="corpus_dir mirror cache workers json",
)
def download(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK",
            help="Tasks of the catalog, with -MODE for another mode than the usual one; a named "
            "subset as hear-11; or `leaderboard` for all tasks of the leaderboard.",
            show_default=False,
        ),
    ],
    place: o.WorkspaceOptions,
    corpus_dir: o.CorpusDirs = None,
    json: o.Json = False,
) -> None:
    """Fetches prepared tasks, as the benchmark published them, into the cache.

    They are downloaded four at a time; a failure doesn't stop the others. The next run resumes a
    download that broke off. Every archive is checked by its MD5 before it is unpacked.
    """
    from hearbench.tasks.ready_made import fetch_each_ready_made, ready_made_folders

    done: dict[str, Path] = {}
    failed: dict[str, str] = {}
    with answers_only():
        workspace = place.workspace()
        elsewhere = workspace.mirror is not None or bool(corpus_dir)
        folders = list(
            dict.fromkeys(
                folder for task in tasks for folder in ready_made_folders(task, elsewhere=elsewhere)
            )
        )
        outcomes = fetch_each_ready_made(
            folders, workspace=workspace, corpus_dirs=tuple(corpus_dir or ())
        )
        for names, result in outcomes:
            if isinstance(result, HearError):
                failed |= dict.fromkeys(names, str(result))
                named = len(names) == 1 < len(folders)
                say(f"error: {names[0]}: {result}" if named else f"error: {result}")
            else:
                done[names[0]] = result
                say(f"{names[0]}: here")
    if json:
        answer_json(
            {
                "downloaded": [
                    {"task": name, "folder": str(done[name])} for name in folders if name in done
                ],
                "failed": [
                    {"task": name, "error": failed[name]} for name in folders if name in failed
                ],
            }
        )
    else:
        for name in folders:
            if name in done:
                answer_line(str(done[name]))
    if len(folders) > 1:
        lost = [name for name in folders if name in failed]
        what = f"; failed: {', '.join(lost)}" if lost else ""
        say(f"{len(done)} of {len(folders)} tasks are here{what}.")
    if failed:
        raise typer.Exit(BAD_INPUT)
