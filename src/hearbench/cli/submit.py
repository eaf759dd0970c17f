"""``hearbench submit``: from a model's package to a submission that a maintainer can check."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench._version import __version__
from hearbench.cli import options as o
from hearbench.cli import places
from hearbench.cli.evaluate import evaluated
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_line, say
from hearbench.errors import HearError, ResultError
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.evaluation.results import Results
    from hearbench.leaderboard.card import Card
    from hearbench.leaderboard.submission import Submission
    from hearbench.models.loaded import Interpreter
    from hearbench.models.protocol import Model
    from hearbench.validate import Report

__all__ = ["submit"]

_INVALID = 1


@verb(
    "hearbench submit . --card card.toml --out submission",
    "hearbench submit my_package.hear --weights w.pt --card card.toml --out out --task esc50",
)
def submit(
    model: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE",
            help="Source folder of the package, which is installed into an environment of its own; "
            "or a module that is installed here.",
            show_default=False,
        ),
    ],
    card: Annotated[
        Path,
        typer.Option("--card", metavar="F", help="The card; `hearbench init-model` writes one."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that takes the submission.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="PATH_OR_NAME",
            help="A prepared task; by default the leaderboard's tasks that are in the cache. "
            "Repeatable.",
        ),
    ] = None,
    weights: o.Weights = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="DIR", help="Folder of results; those that exist are used."
        ),
    ] = None,
    protocol: o.ProtocolName = "hear2021",
    seed: o.Seed = 42,
    device: o.Device = None,
    precision: o.Precision = "float32",
    only: o.Only = None,
    grid_points: o.GridPoints = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Validate without the checks on 20 minutes of audio.")
    ] = False,
    cache: o.CacheDir = None,
    workers: o.Workers = None,
    max_memory: o.MaxMemory = None,
    python: places.Python = None,
    sandbox: places.Sandbox = False,
    timeout: places.TimeoutS = None,
    model_memory: places.ModelMemory = None,
    readable: places.Readable = None,
) -> None:
    """Validates and evaluates a model, and writes its submission to the leaderboard.

    The folder holds the row, the text of a pull request, the validator's report, and every result
    with its predictions. `hearbench leaderboard check` is what a maintainer runs on it.
    """
    from hearbench.leaderboard.card import Card

    with answers_only():
        said = Card.read(card)
        workspace = o.settings_of(cache, device, workers, max_memory)
        plan = o.plan_of(protocol, seed, precision, only, grid_points, workspace)
        tasks = task or _tasks_here(workspace)
        is_source = user_path(model).is_dir()
        spec = said.api if is_source else model
        interpreter = places.interpreter_of(
            python,
            model if is_source else None,
            sandbox,
            timeout,
            model_memory,
            readable,
            tasks,
            workspace,
            [spec],
        )
        place = results or out.with_name(f"{out.name}.results")
        o.make_folder(place, "the results", "Choose another --results or --out.")
        report = _validated(spec, weights, said, workspace, interpreter, quick)
        if not report.valid:
            _tell_invalid(report, spec)
            raise typer.Exit(_INVALID)
        options = [f"{key}={value}" for key, value in said.options.items()]
        loaded = o.model_ref(spec, weights, options, workspace, interpreter).load(workspace)
        try:
            measured = evaluated(
                loaded, tasks, protocol=plan, out=place, name="submitted", workspace=workspace
            )
        finally:
            loaded.close()
        submission = _write(out, said, loaded, report, measured)
    _show(out, submission)
    if measured.failures:
        raise typer.Exit(BAD_INPUT)


def _tasks_here(workspace: Workspace) -> list[str]:
    from hearbench.leaderboard.columns import leaderboard_tasks

    found = [
        name
        for name in leaderboard_tasks()
        if workspace.path("tasks", name, "task_metadata.json").is_file()
    ]
    if not found:
        raise HearError(
            "None of the leaderboard's tasks is in the cache. Download them with `hearbench tasks "
            "download`, prepare them with `hearbench prepare`, or name tasks with --task."
        )
    return found


def _validated(
    spec: str,
    weights: str | None,
    card: Card,
    workspace: Workspace,
    interpreter: Interpreter | None,
    quick: bool,
) -> Report:
    from hearbench.validate import validate_model

    return validate_model(
        spec,
        weights,
        workspace=workspace,
        interpreter=interpreter,
        quick=quick,
        only=None,
        skip=None,
        stopped=None,
        **card.options,
    )


def _tell_invalid(report: Report, spec: str) -> None:
    for check in report.errors:
        say(f"error: {check.name}: {check.found} {check.remedy}".rstrip())
    say(f"{spec} isn't valid, so nothing was evaluated. `hearbench validate {spec}` says more.")


def _write(out: Path, card: Card, model: Model, report: Report, results: Results) -> Submission:
    from hearbench.leaderboard.bundle import write_bundle
    from hearbench.leaderboard.own_row import own_row
    from hearbench.leaderboard.submission import MeasuredModel, Submission, missing_columns
    from hearbench.leaderboard.table import COLUMNS

    folders = {result.task.name: path.parent for path, result in results.results}
    if not folders:
        raise ResultError("No task could be evaluated, so there is nothing to submit.")
    today = dt.datetime.now(dt.timezone.utc).date()
    own = own_row(list(folders.values()), card.model, url=card.url, submitted=today.isoformat())
    failed: Mapping[str, str] = {str(one.task): one.text for one in results.failures}
    refused = {Path(item.where).parent.name: item.reason for item in own.refused}
    submission = Submission(
        hearbench_version=__version__,
        created=today,
        card=card,
        model=MeasuredModel(
            n_weights=model.n_weights,
            sample_rate=model.sample_rate,
            scene_embedding_size=model.scene_embedding_size,
            timestamp_embedding_size=model.timestamp_embedding_size,
            hop_ms=report.model.hop_ms,
            digest=model.digest,
            weights_digest=model.weights_digest,
            versions=report.model.versions,
        ),
        scores=dict(zip(COLUMNS, own.row.scores, strict=True)),
        tasks=tuple(sorted(folders)),
        missing=missing_columns(own.row, card.missing, {**failed, **refused}),
    )
    write_bundle(out, submission, report, folders)
    return submission


def _show(out: Path, submission: Submission) -> None:
    scores: Sequence[float | None] = submission.row().scores
    there = sum(score is not None for score in scores)
    answer_line(f"{out}: {submission.card.model}, {there} of {len(scores)} columns")
    answer_line(f"  pull request: {out / 'pull_request.md'}")
    answer_line(f"  check it:     hearbench leaderboard check {out}")
