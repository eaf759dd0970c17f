"""The application: verbs, what holds for all of them, and how the process ends."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer

from hearbench._version import __version__
from hearbench.cli import (
    cache,
    compare,
    curves,
    demo,
    download,
    embed,
    evaluate,
    events,
    init_model,
    leaderboard,
    leaderboard_build,
    leaderboard_check,
    leaderboard_export,
    listing,
    plan,
    prepare,
    probe,
    report,
    submit,
    tasks,
    validate,
)
from hearbench.cli.running import INTERRUPTED, interrupted
from hearbench.cli.terminal import LogLines, show_warning

__all__ = ["app", "run"]

app = typer.Typer(
    name="hearbench",
    help=(
        "The HEAR benchmark: how well do a model's audio embeddings serve?\n\n"
        "Try `hearbench demo --out demo-out`, then `hearbench evaluate --help`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("evaluate")(evaluate.evaluate)
app.command("plan")(plan.plan)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("curves")(curves.curves)
app.command("prepare")(prepare.prepare)
app.command("validate")(validate.validate)
app.command("embed")(embed.embed_verb)
app.command("probe")(probe.probe)
app.command("list")(listing.list_verb)
app.add_typer(cache.app, name="cache")
app.add_typer(events.app, name="events")
tasks.app.command("download")(download.download)
app.add_typer(tasks.app, name="tasks")
leaderboard.app.command("build")(leaderboard_build.build)
leaderboard.app.command("check")(leaderboard_check.check)
leaderboard.app.command("export")(leaderboard_export.export)
app.add_typer(leaderboard.app, name="leaderboard")
app.command("submit")(submit.submit)
app.command("init-model")(init_model.init_model)
app.command("demo")(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hearbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """What every verb shares; the version answers for itself."""


def run() -> None:
    """Runs the application in a process of its own."""
    signal.signal(signal.SIGTERM, _terminated)
    if not sys.warnoptions:
        _quieten_warnings()
    # Where nobody has said otherwise, it is shown as all else is.
    logging.lastResort = LogLines(logging.WARNING)
    try:
        app()
    except KeyboardInterrupt:
        interrupted()
        sys.exit(INTERRUPTED)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    # Ends as from the keyboard: what is being written is finished or dropped.
    raise KeyboardInterrupt


def _quieten_warnings() -> None:
    """One short line per distinct warning, and none that only a library's author can act on."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    warnings.showwarning = show_warning
