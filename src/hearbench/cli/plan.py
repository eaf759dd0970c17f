"""``hearbench plan``: time, disk and memory of an evaluation, before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from hearbench.amounts import duration, memory_size
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError
from hearbench.table import Column, Styled, Table

if TYPE_CHECKING:
    from hearbench.planning import Plan, StageEstimate, TaskEstimate
    from hearbench.planning.record import Seconds

__all__ = ["plan"]

_DOESNT_FIT = 1
# Of more tasks than that, a row each is shown instead of a row per stage.
_FEW = 4
_COLUMNS: dict[str, tuple[str, ...]] = {
    "fetch": ("fetch",),
    "audio": ("check", "resample"),
    "embed": ("embed",),
    "probe": ("probe", "result"),
}

PlannedTasks = Annotated[
    list[str],
    typer.Option(
        "--task",
        metavar="all|PATH_OR_NAME",
        help="A task: its folder or its name; it needn't exist on this machine. `all` is the "
        "leaderboard's, hear-11 and the like are named subsets. Repeatable.",
    ),
]


@dataclass(frozen=True)
class PlanOptions(o.TrainingOptions):
    """Options for what is planned beside models and tasks, and for how closely it is shown."""

    PANEL: ClassVar[str] = "Plan"

    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that would take the results.")
    ] = Path("results")
    dtype: o.DtypeName = "float32"
    measure_s: Annotated[
        float,
        typer.Option(
            "--measure-s",
            metavar="S",
            min=0.01,
            help="Seconds to spend on embedding noise, per model and task.",
        ),
    ] = 2.0
    download_speed: Annotated[
        float,
        typer.Option(
            "--download-speed",
            metavar="MB/S",
            min=0.001,
            help="Assumed speed of downloads, as nothing is downloaded to measure it.",
        ),
    ] = 20.0
    details: Annotated[
        bool, typer.Option("--details", help="Show what every estimate is based on.")
    ] = False
    json: o.Json = False


@verb(
    "hearbench plan hearbench.models.naive --task all",
    "hearbench plan my_model.py --weights epoch9.pt --task esc50 --task fsd50k --details",
    "hearbench plan my_model.py other_model.py --task data/tasks/birds-1.0.0-full --json",
    options="weights option model_dtype python env sandbox timeout model_memory readable "
    "trust_code protocol seeds only grid_points layers precision device workers max_memory cache "
    "measure_s download_speed out dtype details json",
)
def plan(
    model: o.ModelSpecs,
    task: PlannedTasks,
    choice: o.HostedModelOptions,
    wanted: PlanOptions,
    place: o.WorkspaceOptions,
) -> None:
    """Estimates time, disk and memory of an evaluation, by a dry run on some noise.

    Embeds noise and trains some steps on this machine, where tasks needn't exist. Nothing is
    downloaded. Exit codes: 0 it fits, 1 it doesn't, 2 something can't be estimated.
    """
    with answers_only():
        if len(model) > 1 and (choice.weights or choice.option):
            raise HearError(
                "--weights and --option can't be given for several models at once. Plan the one "
                "that they belong to by itself."
            )
        workspace = place.workspace()
        setup = wanted.plan(workspace)
        stored_as = o.checked_dtype(wanted.dtype)
        models = choice.refs(model, task, workspace)
        # Brings torch along, which the help can do without.
        from hearbench.planning import Asked, plan_evaluation

        asked = Asked(setup, stored_as, wanted.out, wanted.measure_s, 1e6 * wanted.download_speed)
        found = plan_evaluation(models, task, asked, workspace=workspace)
    if wanted.json:
        answer_json(found.model_dump(mode="json"))
    else:
        _show(found, details=wanted.details)
    for failed in found.failed:
        say(f"error: {failed.task or failed.model}: {failed.error}")
    if found.failed:
        raise typer.Exit(BAD_INPUT)
    if not found.fits:
        raise typer.Exit(_DOESNT_FIT)


def _show(plan: Plan, *, details: bool) -> None:
    several = len({task.model for task in plan.tasks}) > 1
    if plan.tasks:
        few = details or len(plan.tasks) <= _FEW
        show(_by_stage(plan, several, details=details) if few else _by_task(plan, several))
        show(*_in_all(plan))
    named = [
        (f"{task.model} on {task.task}" if several else task.task, task) for task in plan.tasks
    ]
    for name, task in named:
        show(*(Styled(f"note: {name}: {note}", "dim") for note in task.notes))
    for name, task in named:
        show(*(Styled(f"doesn't fit: {name}: {what}", "bold red") for what in task.problems))
    show(*(Styled(f"doesn't fit: {problem}", "bold red") for problem in plan.problems))
    if plan.fits:
        show(Styled("Nothing stands in the way.", "green"))


def _table(names: Sequence[str], several: bool) -> Table:
    words = ("model", "task", "stage", "made from")
    return Table(
        [
            Column(name, align="left" if name in words else "right", wrap="anywhere")
            for name in [*(["model"] if several else []), "task", *names]
        ]
    )


def _by_stage(plan: Plan, several: bool, *, details: bool) -> Table:
    """A row per stage."""
    names = ["stage", "time", "range", "disk", "memory", *(["made from"] if details else [])]
    table = _table(names, several)
    for task in plan.tasks:
        named = _named(task, several)
        for stage in task.stages:
            table.add(*named, *_cells(stage), *([stage.made_from] if details else []))
            named = [""] * len(named)
        table.end_section()
    return table


def _by_task(plan: Plan, several: bool) -> Table:
    """A row per task, where a row per stage would be too many."""
    table = _table([*_COLUMNS, "in all", "disk", "memory"], several)
    for task in plan.tasks:
        table.add(
            *_named(task, several),
            *(
                _sum([one for one in task.stages if one.stage in stages])
                for stages in _COLUMNS.values()
            ),
            _sum(task.stages),
            memory_size(sum(stage.disk_bytes for stage in task.stages)),
            memory_size(max(stage.memory_bytes or 0 for stage in task.stages)),
        )
    return table


def _named(task: TaskEstimate, several: bool) -> list[str]:
    return [task.model, task.task] if several else [task.task]


def _sum(stages: Sequence[StageEstimate]) -> str:
    known = [stage.seconds.expected for stage in stages if stage.seconds is not None]
    if not stages:
        return ""
    more = "" if len(known) == len(stages) else "?"
    return f"{duration(sum(known))}{more}" if known else "?"


def _cells(stage: StageEstimate) -> list[str]:
    seconds = stage.seconds
    return [
        stage.stage,
        "not known" if seconds is None else duration(seconds.expected),
        "" if seconds is None else _range(seconds),
        memory_size(stage.disk_bytes) if stage.disk_bytes else "",
        "" if stage.memory_bytes is None else memory_size(stage.memory_bytes),
    ]


def _range(seconds: Seconds) -> str:
    return f"{duration(seconds.low)} to {duration(seconds.high)}"


def _in_all(plan: Plan) -> list[Styled]:
    total, machine = plan.total, plan.machine
    unknown = f", and {total.unknown} stages of unknown time" if total.unknown else ""
    seeds = f", {plan.seeds} seeds" if plan.seeds > 1 else ""
    return [
        Styled(
            f"In all {duration(total.seconds.expected)} ({_range(total.seconds)}){unknown}, "
            f"one after the other on {machine.device} with {machine.cores} cores; "
            f"{plan.protocol}, {plan.precision}{seeds}.",
            "bold",
        ),
        Styled(
            f"Disk: {memory_size(total.disk_bytes)} kept, at most "
            f"{memory_size(total.disk_high_bytes)}, of {memory_size(machine.disk_free_bytes)} "
            f"free. Memory: up to {memory_size(total.memory_bytes)} of "
            f"{memory_size(machine.memory_free_bytes)} free.",
            "",
        ),
        Styled(
            "When probes stop isn't known before: a range is from all stopping at their "
            "first chance to all going on to the end. "
            f"Measured in {duration(plan.measured_s)}.",
            "dim",
        ),
    ]
