"""``hearbench leaderboard check``: a maintainer's look at a submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line
from hearbench.leaderboard.official import table_or_official

if TYPE_CHECKING:
    from hearbench.leaderboard.check import BundleReport

__all__ = ["check"]

_REFUSED = 1


@verb(
    "hearbench leaderboard check submission",
    "hearbench leaderboard check submission --csv leaderboard.csv --task tasks/esc50-v2.0.0-full",
)
def check(
    bundle: Annotated[
        Path,
        typer.Argument(help="Folder of the submission.", show_default=False),
    ],
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="F", help="CSV of the leaderboard; by default the official one."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="PATH",
            help="Prepared task to compare labels with; those in the cache are found. Repeatable.",
        ),
    ] = None,
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Computes every score of a submission again, and compares all that can be compared.

    Exit codes: 0 it can be taken, 1 it can't, with the reasons.
    """
    # Brings torch along, which the help can do without.
    from hearbench.leaderboard.check import check_bundle, task_finder

    with answers_only():
        find = task_finder(task or (), o.WorkspaceOptions(cache=cache).workspace())
        report = check_bundle(bundle, table_or_official(csv), find)
    if json:
        answer_json(_as_json(report))
    else:
        _show(bundle, report)
    if not report.ok:
        raise typer.Exit(_REFUSED)


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
