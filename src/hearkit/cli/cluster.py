"""``hearkit evaluate --executor ray``: an evaluation's long work done by many processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearkit.cli.kept import Inputs, check_evaluable, result_folder
from hearkit.cli.options import ProbePlan, pairs
from hearkit.cli.stages import missing_seeds
from hearkit.cli.terminal import Reporter
from hearkit.errors import HearError
from hearkit.settings import Settings

if TYPE_CHECKING:
    from hearkit.embeddings.manifest import Dtype
    from hearkit.execution.filling import Wanted
    from hearkit.execution.ray_cluster import Share
    from hearkit.models.loaded import Interpreter
    from hearkit.models.protocol import Model
    from hearkit.tasks.store import PreparedTask

__all__ = [
    "Address",
    "Batch",
    "CpusPerUnit",
    "ExecutorName",
    "Failures",
    "GpusPerUnit",
    "fill_on_cluster",
    "share_of",
]

ExecutorName = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="local|ray",
        help="Who does what takes long: this process, or Ray, on this machine or a cluster.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Of a Ray cluster that runs; auto for the one of this machine. Default: a new one "
        "on this machine, for as long as it takes.",
    ),
]
CpusPerUnit = Annotated[
    int | None,
    typer.Option("--cpus-per-unit", metavar="N", min=1, help="Cores of a unit of work; 1 if not."),
]
GpusPerUnit = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-unit",
        metavar="F",
        min=0,
        help="GPUs of a unit of work, as 0.25 for four on one; 1 by default where there are any.",
    ),
]

Failures = dict[tuple[str, str], str]
"""Why the cluster couldn't do a model, as the user named it, on a task, likewise."""


@dataclass(frozen=True)
class Batch:
    """What is to be evaluated.

    Attributes:
        models: As the user named them.
        tasks: Likewise.
        weights: Of the one model.
        options: Likewise, as texts ``k=v``.
        interpreter: Another Python that runs the models.
        load: Loads a model here.
        out: Takes the results.
        name: Of the model's folder.
        plan: How probes are trained; None for embeddings alone.
        dtype: Of the embeddings on disk.
        overwrite: Replace results that were made from other inputs.
        always: Embed where no result is missing, too.
    """

    models: Sequence[str]
    tasks: Sequence[str]
    weights: str | None
    options: Sequence[str] | None
    interpreter: Interpreter | None
    load: Callable[[str], Model]
    out: Path
    name: str | None
    plan: ProbePlan | None
    dtype: Dtype
    overwrite: bool
    always: bool


def share_of(
    executor: str, address: str | None, cpus: int | None, gpus: float | None
) -> Share | None:
    """What one unit takes of a cluster; None for an evaluation in this process.

    Raises:
        HearError: There is no such executor, or an option doesn't go with it.
    """
    if executor not in ("local", "ray"):
        raise HearError(f"--executor {executor}: use local or ray.")
    if executor == "local":
        given = {"--address": address, "--cpus-per-unit": cpus, "--gpus-per-unit": gpus}
        found = [option for option, value in given.items() if value is not None]
        if found:
            raise HearError(f"{' and '.join(found)} only goes with --executor ray.")
        return None
    from hearkit.execution.ray_cluster import Share

    # Ray knows parts of one GPU, and whole ones beyond.
    if gpus is not None and gpus > 1 and not float(gpus).is_integer():
        raise HearError(f"--gpus-per-unit {gpus:g}: a part of one GPU, or a whole number of them.")
    default = Share()
    return Share(default.cpus if cpus is None else cpus, default.gpus if gpus is None else gpus)


def fill_on_cluster(
    batch: Batch, share: Share, address: str | None, settings: Settings, reporter: Reporter
) -> Failures:
    """Has a cluster put into the cache what an evaluation will want to find there.

    What is wrong with tasks and models is left for the evaluation to say, in its own words.

    Raises:
        HearError: The cluster can't be used.
    """
    from hearkit.execution.executor import drive
    from hearkit.execution.filling import fetching, filling
    from hearkit.execution.ray_cluster import ray_cluster

    tasks = list(dict.fromkeys(batch.tasks))
    with ray_cluster(settings, address=address, share=share) as cluster:
        if cluster.unused_gpus:
            reporter.line(
                f"The cluster's GPUs ({cluster.unused_gpus}) stay idle: this machine has none, "
                "or --device says so. Start the evaluation on a node that has one."
            )
        with reporter.checks(f"cluster: fetching tasks, {len(tasks)} in all") as tell:
            missing = drive(cluster, {task: fetching(task) for task in tasks}, tell)
        wanted: dict[tuple[str, str], Wanted] = {}
        for spec in dict.fromkeys(batch.models):
            here = [task for task in tasks if task not in missing]
            wanted.update(_wanted(batch, spec, here, settings))
        with reporter.checks(f"cluster: embedding and training, {len(wanted)} in all") as tell:
            return drive(cluster, {key: filling(own) for key, own in wanted.items()}, tell)


def _wanted(
    batch: Batch, spec: str, tasks: Sequence[str], settings: Settings
) -> dict[tuple[str, str], Wanted]:
    from hearkit.execution.filling import Training, Wanted
    from hearkit.execution.units import ModelChoice
    from hearkit.tasks.store import load_task

    try:
        model = batch.load(spec)
    except HearError:
        return {}
    choice = ModelChoice(
        spec=spec,
        weights=batch.weights,
        options=tuple(pairs(batch.options, "--option").items()),
        interpreter=batch.interpreter,
        digest=model.digest,
    )
    found = {}
    try:
        for text in tasks:
            try:
                task = load_task(text, settings=settings, download=False)
                check_evaluable(task)
                seeds = _seeds(batch, model, task)
            except HearError:
                continue
            if not seeds and not batch.always:
                continue
            plan = batch.plan
            training = Training(plan.protocol, seeds, plan.precision) if plan and seeds else None
            found[spec, text] = Wanted(choice, model.sample_rate, task, batch.dtype, training)
    finally:
        model.close()
    return found


def _seeds(batch: Batch, model: Model, task: PreparedTask) -> tuple[int, ...]:
    """Those of which results are missing."""
    if batch.plan is None:
        return ()
    inputs = Inputs(
        model=model.digest,
        task=task.digest(model.sample_rate),
        dtype=batch.dtype,
        plan=batch.plan,
        task_name=task.metadata.task_name,
        seed=batch.plan.seed,
    )
    folder = result_folder(batch.out, model.name, batch.name, task.name)
    return tuple(missing_seeds(folder, inputs, overwrite=batch.overwrite))
