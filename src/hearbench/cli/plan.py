"""``hearbench plan``: what an evaluation will take, before it is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import duration, memory_size
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError
from hearbench.table import Column, Styled, Table

if TYPE_CHECKING:
    from hearbench.planning import Plan, TaskEstimate, TaskFacts
    from hearbench.planning.plan import Planner
    from hearbench.planning.record import Seconds, StageEstimate
    from hearbench.workspace import Workspace

__all__ = ["plan"]

_DOESNT_FIT = 1
# Of more tasks than that, a row each is shown instead of a row per stage.
_FEW = 4
# Columns of words; the others hold numbers.
_WORDS = ("model", "task", "stage", "made from")
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
        help="A task: its folder or its name; it needn't be here. `all` is the leaderboard's. "
        "Repeatable.",
    ),
]
OutFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder that would take the results.")
]
BudgetS = Annotated[
    float,
    typer.Option(
        "--measure-s",
        metavar="S",
        min=0.01,
        help="Seconds to spend on measuring a model with one length of clips.",
    ),
]
DownloadSpeed = Annotated[
    float,
    typer.Option(
        "--download-speed",
        metavar="MB/S",
        min=0.001,
        help="What downloads are reckoned with, as nothing is downloaded to measure it.",
    ),
]
Details = Annotated[
    bool, typer.Option("--details", help="Say of every number what it was made from.")
]


@verb(
    "hearbench plan hearbench.models.naive --task all",
    "hearbench plan my_model.py --weights epoch9.pt --task esc50 --task fsd50k --details",
    "hearbench plan my_model.py other_model.py --task data/tasks/birds-1.0.0-full --json",
    options="out weights option protocol device only grid_points seeds precision dtype cache "
    "workers max_memory measure_s download_speed python env sandbox timeout model_memory readable "
    "details json",
)
def plan(
    model: o.ModelSpecs,
    task: PlannedTasks,
    choice: o.ModelChoiceOptions,
    training: o.TrainingOptions,
    place: o.WorkspaceOptions,
    host: o.HostOptions,
    out: OutFolder = Path("results"),
    dtype: o.DtypeName = "float32",
    measure_s: BudgetS = 2.0,
    download_speed: DownloadSpeed = 20.0,
    details: Details = False,
    json: o.Json = False,
) -> None:
    """Estimates time, disk and memory of an evaluation, from some seconds of measuring.

    Tries the models on noise and the probes on random embeddings, on this machine; tasks needn't
    be here. Nothing is downloaded. Exit codes: 0 it fits, 1 it doesn't, 2 something can't be
    said.
    """
    with answers_only():
        if len(model) > 1 and (choice.weights or choice.option):
            raise HearError(
                "--weights and --option can't be given for several models at once. Plan the one "
                "that they belong to by itself."
            )
        workspace = place.workspace()
        probes = training.plan(workspace)
        stored_as = o.checked_dtype(dtype)
        interpreter = host.interpreter(model, task, workspace)
        import torch

        from hearbench.planning.plan import Asked, Planner

        asked = Asked(
            protocol=probes.protocol,
            seeds=len(probes.seeds),
            precision=getattr(torch, probes.precision),
            dtype=stored_as,
            out=out,
            budget_s=measure_s,
            download_bytes_per_s=1e6 * download_speed,
        )
        planner = Planner(asked, workspace)
        facts = _facts(task, workspace, planner)
        for spec in dict.fromkeys(model):
            try:
                ref = choice.ref(spec, workspace, interpreter)
                loaded = ref.load(workspace)
            except HearError as error:
                planner.fail(spec, None, error)
                continue
            try:
                planner.add(loaded, facts)
            finally:
                loaded.close()
        found = planner.plan()
    if json:
        answer_json(found.model_dump(mode="json"))
    else:
        _show(found, details=details)
    for failed in found.failed:
        say(f"error: {failed.task or failed.model}: {failed.error}")
    if found.failed:
        raise typer.Exit(BAD_INPUT)
    if not found.fits:
        raise typer.Exit(_DOESNT_FIT)


def _facts(tasks: Sequence[str], workspace: Workspace, planner: Planner) -> list[TaskFacts]:
    # Bring torch along, which the help can do without.
    from hearbench.evaluation.run import named_tasks
    from hearbench.planning.facts import task_facts

    facts: list[TaskFacts] = []

    def look(text: str) -> None:
        try:
            facts.append(task_facts(text, workspace))
        except HearError as error:
            planner.fail(None, text, error)

    for text in named_tasks(tasks):
        look(text)
    return list({(one.name, one.folder): one for one in facts}.values())


def _show(plan: Plan, *, details: bool) -> None:
    if plan.tasks:
        few = details or len(plan.tasks) <= _FEW
        show(_by_stage(plan, details=details) if few else _by_task(plan))
    show(*(Styled(line, style) for line, style in _lines(plan)))


def _table(names: Sequence[str], plan: Plan) -> Table:
    names = [*(["model"] if _several(plan) else []), *names]
    return Table(
        [
            Column(name, align="left" if name in _WORDS else "right", wrap="anywhere")
            for name in names
        ]
    )


def _by_stage(plan: Plan, *, details: bool) -> Table:
    """A row per stage."""
    more = ["made from"] if details else []
    table = _table(["task", "stage", "time", "range", "disk", "memory", *more], plan)
    for task in plan.tasks:
        first = [*([task.model] if _several(plan) else []), task.task]
        for number, stage in enumerate(task.stages):
            cells = [*(first if number == 0 else [""] * len(first)), *_cells(stage)]
            table.add(*cells, *_from(stage, details))
        table.end_section()
    return table


def _by_task(plan: Plan) -> Table:
    """A row per task, where a row per stage would be too many."""
    table = _table(["task", *_COLUMNS, "in all", "disk", "memory"], plan)
    for task in plan.tasks:
        cells = [*([task.model] if _several(plan) else []), task.task]
        cells += [
            _sum([one for one in task.stages if one.stage in stages])
            for stages in _COLUMNS.values()
        ]
        cells += [
            _sum(task.stages),
            memory_size(sum(stage.disk_bytes for stage in task.stages)),
            memory_size(max(stage.memory_bytes or 0 for stage in task.stages)),
        ]
        table.add(*cells)
    return table


def _sum(stages: Sequence[StageEstimate]) -> str:
    known = [stage.seconds.expected for stage in stages if stage.seconds is not None]
    if not stages:
        return ""
    more = "" if len(known) == len(stages) else "?"
    return f"{duration(sum(known))}{more}" if known else "?"


def _several(plan: Plan) -> bool:
    return len({task.model for task in plan.tasks}) > 1


def _cells(stage: StageEstimate) -> list[str]:
    seconds = stage.seconds
    return [
        stage.stage,
        "not known" if seconds is None else duration(seconds.expected),
        "" if seconds is None else _range(seconds),
        memory_size(stage.disk_bytes) if stage.disk_bytes else "",
        "" if stage.memory_bytes is None else memory_size(stage.memory_bytes),
    ]


def _from(stage: StageEstimate, details: bool) -> list[str]:
    return [stage.made_from] if details else []


def _range(seconds: Seconds) -> str:
    return f"{duration(seconds.low)} to {duration(seconds.high)}"


def _lines(plan: Plan) -> list[tuple[str, str]]:
    """What stands below the table, each line with its style."""
    total, machine = plan.total, plan.machine
    lines = []
    if plan.tasks:
        unknown = f", and {total.unknown} stages of unknown time" if total.unknown else ""
        lines = [
            (
                f"In all {duration(total.seconds.expected)} ({_range(total.seconds)}){unknown}, "
                f"one after the other on {machine.device} with {machine.cores} cores; "
                f"{plan.protocol}, {plan.precision}"
                + (f", {plan.seeds} seeds." if plan.seeds > 1 else "."),
                "bold",
            ),
            (
                f"Disk: {memory_size(total.disk_bytes)} kept, at most "
                f"{memory_size(total.disk_high_bytes)}, of {memory_size(machine.disk_free_bytes)} "
                f"free. Memory: up to {memory_size(total.memory_bytes)} of "
                f"{memory_size(machine.memory_free_bytes)} free.",
                "",
            ),
            (
                "When probes stop isn't known before: a range is from all stopping at their "
                "first chance to all going on to the end. "
                f"Measured in {duration(plan.measured_s)}.",
                "dim",
            ),
        ]
    lines += [
        (f"note: {_about(plan, task)}{note}", "dim") for task in plan.tasks for note in task.notes
    ]
    lines += [
        (f"doesn't fit: {_about(plan, task)}{problem}", "bold red")
        for task in plan.tasks
        for problem in task.problems
    ]
    lines += [(f"doesn't fit: {problem}", "bold red") for problem in plan.problems]
    if plan.fits:
        lines.append(("Nothing stands in the way.", "green"))
    return lines


def _about(plan: Plan, task: TaskEstimate) -> str:
    return f"{task.model} on {task.task}: " if _several(plan) else f"{task.task}: "
