"""``hearbench leaderboard rerun``: a submission is installed and evaluated once more."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from hearbench.cli import options as o
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say

if TYPE_CHECKING:
    from hearbench.leaderboard.rerun import Rerun
    from hearbench.results.uncertainty import Range

__all__ = ["rerun_verb"]

# As submissions are made.
_TRAINING = o.TrainingOptions(precision="float32")
_CHOICE = o.HostedModelOptions(sandbox=True)
_REFUSED = 1


@dataclass(frozen=True)
class RerunOptions:
    """Options for what is run again, and from where it is installed."""

    PANEL: ClassVar[str] = "Rerun"

    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="PATH_OR_NAME",
            help="A private task, or one of the submission's that isn't in the cache. Repeatable.",
        ),
    ] = None
    public: Annotated[
        list[str] | None,
        typer.Option(
            "--public",
            metavar="NAME",
            help="Of the submission's tasks only this one; none for private tasks alone. By "
            "default all. Repeatable.",
        ),
    ] = None
    package: Annotated[
        str | None,
        typer.Option(
            "--package",
            metavar="ADDRESS",
            help="Address or source folder of the code, instead of the submission's.",
        ),
    ] = None
    no_sandbox: Annotated[
        bool,
        typer.Option(
            "--no-sandbox", help="Run the model without a sandbox, on public tasks alone."
        ),
    ] = False
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="JSON file that takes the record as well."),
    ] = None


@verb(
    "hearbench leaderboard rerun submission",
    "hearbench leaderboard rerun submission --task /private/birds --public none --out rerun.json",
    options="task public package no_sandbox out json weights python sandbox timeout model_memory "
    "readable protocol seed seeds only grid_points precision device workers max_memory cache",
)
def rerun_verb(
    bundle: Annotated[
        Path,
        typer.Argument(help="Folder of the submission.", show_default=False),
    ],
    wanted: RerunOptions,
    place: o.WorkspaceOptions,
    choice: o.HostedModelOptions = _CHOICE,
    training: o.TrainingOptions = _TRAINING,
    json: o.Json = False,
) -> None:
    """Runs a submission again from its address, and says which scores it gives.

    Its code is fetched at the submitted commit, its weights by their checksum; both are installed
    into an environment, and the model is evaluated in a sandbox. Exit codes: 0 all submitted scores
    lie within the intervals of the new ones, 1 some don't, or a task failed.
    """
    from hearbench.files import write_json
    from hearbench.leaderboard.package import submitted_package
    from hearbench.leaderboard.rerun import read_submitted, rerun, tasks_to_run

    with answers_only():
        submitted = read_submitted(bundle)
        workspace = place.workspace()
        setup = training.plan(workspace)
        only = None if wanted.public is None else [n for n in wanted.public if n != "none"]
        tasks = tasks_to_run(submitted, wanted.task or (), workspace, only=only)
        package = submitted_package(
            submitted.submission, workspace, package=wanted.package, weights=choice.weights
        )
        origin = submitted.submission.origin
        choice = dataclasses.replace(
            choice,
            weights=package.weights,
            option=[f"{key}={value}" for key, value in package.card.options.items()],
            env=package.tree,
            python=choice.python or (origin.python if origin else None),
            sandbox=not wanted.no_sandbox,
        )
        (ref,) = choice.refs([package.module], list(tasks.places.values()), workspace)
        done = rerun(submitted, ref, tasks, setup, origin=package.origin, workspace=workspace)
        if wanted.out is not None:
            write_json(wanted.out, done.model_dump(mode="json"))
    if json:
        answer_json({"ok": done.ok, **done.model_dump(mode="json")})
    else:
        _show(done)
    if not done.ok:
        raise typer.Exit(_REFUSED)


def _show(done: Rerun) -> None:
    from hearbench.cli.render import show
    from hearbench.table import Column, Table

    number = "{:.4f}"
    table = Table(
        [
            Column("task", wrap="anywhere"),
            Column("score"),
            Column("submitted", number, align="right"),
            Column("rerun", number, align="right"),
            Column("interval", _interval_text),
            Column("verdict"),
        ],
        title=f"{done.model}, run again",
    )
    for task in done.tasks:
        cells = (task.task, task.score, task.submitted, task.rerun, task.interval, task.verdict)
        table.add(*cells, style="bold red" if task.verdict in ("not within", "failed") else "")
    show(table)
    for task in done.tasks:
        if task.why:
            answer_line(f"{task.task}: {task.why}")
    if done.same_model is False:
        say("note: the model that was run has another digest than the submitted one.")
    n_wrong = sum(task.verdict in ("not within", "failed") for task in done.tasks)
    if n_wrong:
        answer_line(f"{n_wrong} of {len(done.tasks)} tasks don't give the submitted score.")
    elif any(task.verdict == "within" for task in done.tasks):
        answer_line("All submitted scores lie within the intervals of the rerun.")


def _interval_text(interval: Range) -> str:
    return f"{interval.low:.4f} to {interval.high:.4f}"
