"""``hearbench leaderboard check``: a maintainer's look at a submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import Reporter, answer_json, answer_line

if TYPE_CHECKING:
    from hearbench.leaderboard.check import BundleReport
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = ["check"]

_REFUSED = 1


@verb(
    "hearbench leaderboard check submission",
    "hearbench leaderboard check submission --csv leaderboard.csv --task tasks/esc50-v2.0.0-full",
)
def check(
    bundle: Annotated[
        Path,
        typer.Argument(help="The submission's folder.", show_default=False),
    ],
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="F", help="The leaderboard; by default the official one."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="PATH",
            help="A prepared task whose labels are compared; those in the cache are found. "
            "Repeatable.",
        ),
    ] = None,
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Computes every score of a submission again, and compares all that can be compared.

    Exit codes: 0 it can be taken, 1 it can't, with the reasons.
    """
    from hearbench.leaderboard.check import check_bundle
    from hearbench.leaderboard.csv_file import read_table
    from hearbench.leaderboard.official import official_table

    with answers_only():
        workspace = o.settings_of(cache)
        table = official_table() if csv is None else read_table(csv)
        named = _named(task or [], workspace)
        reporter = Reporter()

        def task_of(name: str) -> PreparedTask | None:
            reporter.line(f"checking {name}")
            return named.get(name) or _from_cache(name, workspace)

        report = check_bundle(bundle, table, task_of)
    if json:
        answer_json(_as_json(report))
    else:
        _show(bundle, report)
    if not report.ok:
        raise typer.Exit(_REFUSED)


def _named(tasks: list[str], workspace: Workspace) -> dict[str, PreparedTask]:
    from hearbench.tasks.store import load_task

    loaded = [load_task(text, workspace=workspace, download=False) for text in tasks]
    return {task.name: task for task in loaded}


def _from_cache(name: str, workspace: Workspace) -> PreparedTask | None:
    from hearbench.tasks.store import load_task

    folder = workspace.path("tasks", name)
    if not (folder / "task_metadata.json").is_file():
        return None
    return load_task(folder, workspace=workspace, download=False)


def _as_json(report: BundleReport) -> dict[str, object]:
    return {
        "ok": report.ok,
        "model": report.submission.card.model if report.submission else None,
        "scores": report.submission.scores if report.submission else None,
        "problems": report.problems,
        "notes": report.notes,
        "recomputed": report.recomputed,
        "labels_compared": report.labelled,
    }


def _show(bundle: Path, report: BundleReport) -> None:
    for problem in report.problems:
        answer_line(f"problem: {problem}")
    for note in report.notes:
        answer_line(f"note: {note}")
    if report.recomputed:
        answer_line(f"scores computed again, and equal: {', '.join(report.recomputed)}")
    if report.ok:
        answer_line(f"{bundle} can be taken.")
    else:
        n = len(report.problems)
        answer_line(f"{bundle} can't be taken: {n} problem{'' if n == 1 else 's'}.")
