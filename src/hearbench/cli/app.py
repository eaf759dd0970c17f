"""The application: verbs, what holds for all of them, and how the process ends.

A verb is imported when it is called, so that the command itself starts at once.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from hearbench._version import __version__
from hearbench.cli.running import INTERRUPTED, interrupted
from hearbench.cli.terminal import LogLines, say, show_warning
from hearbench.memo import trust_process

__all__ = ["VERBS", "LazyVerb", "app", "run", "tree"]


class LazyVerb(TyperCommand):
    """A verb that the help can list without importing it.

    Args:
        home: Module below `hearbench.cli` and name of its function, as ``"demo:demo"``; or of the
            `typer.Typer` of a verb that has others below it.
        about: The first line of its help.
    """

    def __init__(self, home: str, about: str) -> None:
        super().__init__(name=None, help=about)
        self.home = home

    def load(self) -> Any:
        """Imports the verb and returns its command."""
        module, _, name = self.home.partition(":")
        verb = getattr(importlib.import_module(f"hearbench.cli.{module}"), name)
        if not isinstance(verb, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(self.name or name, cls=_VerbInPanels)(verb)
            verb = app
        return get_command(verb)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Lets the verb itself parse what was given to it."""
        return self.load().make_context(*args, **kwargs)


class _VerbInPanels(TyperCommand):
    """A verb whose help has its options in panels, where there is more than one."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments, then each panel in the order of its first option."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            is_argument = parameter.param_type_name == "argument"
            panels.setdefault("Arguments" if is_argument else panel, []).append(record)
        if "Arguments" in panels:
            panels = {"Arguments": panels.pop("Arguments"), **panels}
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)


def tree(verbs: Mapping[str, LazyVerb], groups: Mapping[str, str]) -> dict[str, Any]:
    """Arranges verbs as the commands of a group, some of which are groups themselves.

    Args:
        verbs: By the words that call them, as ``"tasks stats"``.
        groups: The help of each group below, by its word.
    """
    commands: dict[str, Any] = {}
    for words, verb in verbs.items():
        first, _, verb.name = words.rpartition(" ")
        if not first:
            commands[verb.name] = verb
            continue
        if first not in commands:
            commands[first] = TyperGroup(
                name=first, help=groups[first], no_args_is_help=True, rich_markup_mode=None
            )
        commands[first].add_command(verb)
    return commands


_GROUPS = {
    "events": "Looks at the events that were predicted, clip by clip.",
    "predictions": "Looks at what was predicted of test clips.",
    "protocol": "Looks at protocols, which turn embeddings into scores.",
    "tasks": "Looks at prepared tasks.",
    "leaderboard": "The benchmark's table of models: look at it, put your own beside them.",
}
VERBS = {
    "evaluate": LazyVerb(
        "evaluate:evaluate",
        "Evaluates models on tasks: embeddings, probes, scores with intervals.",
    ),
    "plan": LazyVerb(
        "plan:plan",
        "Estimates time, disk and memory of an evaluation, by a dry run on some noise.",
    ),
    "compare": LazyVerb(
        "compare:compare",
        "Compares models on the test clips that they share.",
    ),
    "report": LazyVerb(
        "report:report",
        "Shows where the time of evaluations went: by stage, with throughput and peak memory.",
    ),
    "curves": LazyVerb(
        "curves:curves",
        "Shows how scores grow with the labelled training clips.",
    ),
    "layers": LazyVerb(
        "layers:layers",
        "Shows scores by layer of a network, and the weights that were learned of its layers.",
    ),
    "robustness": LazyVerb(
        "robustness:robustness",
        "Shows what scores lose when audio is disturbed, with paired intervals and tests.",
    ),
    "prepare": LazyVerb(
        "prepare:prepare",
        "Makes tasks in the official layout from raw corpora.",
    ),
    "validate": LazyVerb(
        "validate:validate",
        "Checks a model: the API, its timestamps, odd audio, memory.",
    ),
    "embed": LazyVerb(
        "embed:embed_verb",
        "Computes a model's embeddings of tasks, and says where they are.",
    ),
    "probe": LazyVerb(
        "probe:probe",
        "Trains probes on embeddings that are there, and scores them.",
    ),
    "list": LazyVerb(
        "listing:list_verb",
        "Lists tasks, models, protocols and scores.",
    ),
    "submit": LazyVerb(
        "submit:submit",
        "Validates and evaluates a model, and writes its submission to the leaderboard.",
    ),
    "init-model": LazyVerb(
        "init_model:init_model",
        "Writes the skeleton of a model's package, which works as it is.",
    ),
    "demo": LazyVerb(
        "demo:demo",
        "Evaluates a baseline on four small synthesised tasks, offline.",
    ),
    "cache": LazyVerb(
        "cache:app",
        "Shows what the cache holds, and makes room.",
    ),
    "events plot": LazyVerb(
        "events:plot",
        "Draws a clip's reference and predicted events, and the probabilities behind them.",
    ),
    "events transcription": LazyVerb(
        "events:transcription",
        "Scores predicted events as notes, by mir_eval's transcription scores.",
    ),
    "predictions plot": LazyVerb(
        "predictions:plot",
        "Draws the test predictions of a task of clips.",
    ),
    "protocol diff": LazyVerb(
        "protocol_diff:diff",
        "Says in what two protocols differ, or those of two results.",
    ),
    "tasks stats": LazyVerb(
        "tasks:stats",
        "Counts a task's clips, durations, labels and events, split by split.",
    ),
    "tasks download": LazyVerb(
        "tasks:download",
        "Fetches prepared tasks, as the benchmark published them, into the cache.",
    ),
    "overlap": LazyVerb(
        "overlap:overlap",
        "Finds copies of a task's test clips in a folder of audio, such as a training set.",
    ),
    "leaderboard show": LazyVerb(
        "leaderboard:show",
        "Shows the table, and where your own models stand in it.",
    ),
    "leaderboard add": LazyVerb(
        "leaderboard:add",
        "Enters a model into a leaderboard's CSV.",
    ),
    "leaderboard aggregates": LazyVerb(
        "leaderboard_aggregates:aggregates",
        "Orders the models by several aggregates of their scores, each under its name.",
    ),
    "leaderboard figures": LazyVerb(
        "leaderboard:figures",
        "Writes the numbers behind the paper's figures as JSON.",
    ),
    "leaderboard build": LazyVerb(
        "leaderboard:build",
        "Writes the leaderboard as a site, to be opened from its folder or put on any web server.",
    ),
    "leaderboard check": LazyVerb(
        "leaderboard:check",
        "Computes every score of a submission again, and compares all that can be compared.",
    ),
    "leaderboard rerun": LazyVerb(
        "leaderboard_rerun:rerun_verb",
        "Runs a submission again from its address, and says which scores it gives.",
    ),
    "leaderboard export": LazyVerb(
        "leaderboard:export",
        "Writes results as a table, a model card's metadata, or a file for pandas.",
    ),
}
"""All verbs by the words that call them, in the order of the help."""


class _Verbs(TyperGroup):
    """The command itself, as typer makes it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = tree(VERBS, _GROUPS)


app = typer.Typer(
    name="hearbench",
    cls=_Verbs,
    help=(
        "The HEAR benchmark: how well do a model's audio embeddings serve?\n\n"
        "Try `hearbench demo --out demo-out`, then `hearbench evaluate --help`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    """Takes the options in front of the verb; that of the version ends the command."""


def run() -> None:
    """Runs the application in a process of its own."""
    signal.signal(signal.SIGTERM, _terminated)
    trust_process(True)
    if not sys.warnoptions:
        _quieten_warnings()
    # What is logged is shown like all other messages, unless a library has set up logging.
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
    """Ends what models have left running, and keeps what it prints out of the answer.

    Args:
        code: Exit code of the process.
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


# Seconds in which what is left running may still end by itself.
_LEFT_S = 5.0


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    # Ends as from the keyboard: what is being written is finished or dropped.
    raise KeyboardInterrupt


def _quieten_warnings() -> None:
    """One short line per distinct warning, and none that only a library's author can act on."""
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    warnings.showwarning = show_warning
