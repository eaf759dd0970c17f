"""The application: verbs, what holds for all of them, and how the process ends."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
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
from hearbench.cli.terminal import LogLines, say, show_warning

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
    code: object = 1
    try:
        app()
        code = 0
    except SystemExit as end:
        code = end.code
        raise
    except KeyboardInterrupt:
        interrupted()
        code = INTERRUPTED
        sys.exit(INTERRUPTED)
    finally:
        _let_nothing_stay(code)


def _let_nothing_stay(code: object) -> None:
    """Sees to it that what models have left behind neither keeps the process nor answers for it.

    Args:
        code: With which the process ends.
    """
    with contextlib.suppress(OSError, ValueError):  # closed, by a model or by who started this
        sys.stdout.flush()
        os.dup2(2, 1)
    threading.Thread(target=_end_what_stays, args=(code,), daemon=True).start()


def _end_what_stays(code: object) -> None:
    # Python waits for threads, and for processes of multiprocessing, however long they take.
    time.sleep(_LEFT_S)
    main = threading.main_thread()
    threads = [one for one in threading.enumerate() if one is not main and not one.daemon]
    processes = sys.modules.get("multiprocessing")
    children = [] if processes is None else processes.active_children()
    if not threads and not children:
        return
    with contextlib.suppress(OSError, ValueError):
        say(
            f"note: {len(threads) + len(children)} threads or processes that a model or library "
            "has left running are ended."
        )
        sys.stderr.flush()
    for child in children:
        child.kill()
    os._exit(code if isinstance(code, int) else int(code is not None))


# For which what is left running may still end by itself, in seconds.
_LEFT_S = 5.0


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    # Ends as from the keyboard: what is being written is finished or dropped.
    raise KeyboardInterrupt


def _quieten_warnings() -> None:
    """One short line per distinct warning, and none that only a library's author can act on."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    warnings.showwarning = show_warning
