"""``hearbench evaluate --executor ray``: an evaluation's long work done by many processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli.kept import Inputs, check_evaluable, result_folder
from hearbench.cli.options import ProbePlan, pairs
from hearbench.cli.stages import missing_seeds
from hearbench.cli.terminal import Reporter
from hearbench.errors import HearError
from hearbench.workspace import Workspace, user_path

if TYPE_CHECKING:
    from hearbench.embeddings.manifest import Dtype
    from hearbench.execution.exchange import Exchange, UrlExchange
    from hearbench.execution.filling import Wanted
    from hearbench.execution.ray_cluster import RayCluster, Share
    from hearbench.execution.task_place import TaskPlace
    from hearbench.models.loaded import Interpreter
    from hearbench.models.protocol import Model
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "Address",
    "Batch",
    "ClusterOptions",
    "CpusPerUnit",
    "ExecutorName",
    "Failures",
    "GpusPerUnit",
    "SharedUrl",
    "check_folder",
    "fill_on_cluster",
    "on_cluster",
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
SharedUrl = Annotated[
    str | None,
    typer.Option(
        "--shared",
        metavar="URL",
        help="Where nodes that share no disk exchange what they made, as s3://bucket/folder; each "
        "then has a cache of its own.",
    ),
]


@dataclass(frozen=True)
class ClusterOptions:
    """Who does what takes long."""

    executor: ExecutorName = "local"
    address: Address = None
    cpus_per_unit: CpusPerUnit = None
    gpus_per_unit: GpusPerUnit = None
    shared: SharedUrl = None

    def share(self) -> Share | None:
        """What one unit takes of a cluster; None where this process does everything.

        Raises:
            HearError: There is no such executor, or an option doesn't go with it.
        """
        return share_of(
            self.executor, self.address, self.cpus_per_unit, self.gpus_per_unit, self.shared
        )


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


def check_folder(out: Path) -> None:
    """Refuses a URL where a folder is needed.

    Raises:
        HearError: It is one.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", out.as_posix()):
        raise HearError(
            f"--out {out} is a URL; results are written into a folder of this machine. Copy it "
            "when it is done."
        )


def share_of(
    executor: str,
    address: str | None,
    cpus: int | None,
    gpus: float | None,
    shared: str | None = None,
) -> Share | None:
    """What one unit takes of a cluster; None for an evaluation in this process.

    Raises:
        HearError: There is no such executor, or an option doesn't go with it.
    """
    if executor not in ("local", "ray"):
        raise HearError(f"--executor {executor}: use local or ray.")
    if executor == "local":
        given: dict[str, object] = {
            "--address": address,
            "--cpus-per-unit": cpus,
            "--gpus-per-unit": gpus,
        }
        given["--shared"] = shared
        found = [option for option, value in given.items() if value is not None]
        if found:
            raise HearError(f"{' and '.join(found)} only goes with --executor ray.")
        return None
    from hearbench.execution.ray_cluster import Share

    # Ray knows parts of one GPU, and whole ones beyond.
    if gpus is not None and gpus > 1 and not float(gpus).is_integer():
        raise HearError(f"--gpus-per-unit {gpus:g}: a part of one GPU, or a whole number of them.")
    default = Share()
    return Share(default.cpus if cpus is None else cpus, default.gpus if gpus is None else gpus)


def fill_on_cluster(
    batch: Batch,
    share: Share,
    address: str | None,
    shared: str | None,
    workspace: Workspace,
    reporter: Reporter,
) -> Failures:
    """Has a cluster put into the cache what an evaluation will want to find there.

    What is wrong with tasks and models is left for the evaluation to say, in its own words.

    Args:
        batch: What is to be evaluated.
        share: What one unit takes of the cluster.
        address: Of the cluster; None starts one on this machine.
        shared: URL by which nodes that don't see the cache exchange what they make.
        workspace: Those of the evaluation.
        reporter: Is told how it gets on.

    Raises:
        HearError: The cluster or the URL can't be used.
    """
    from hearbench.execution.executor import drive
    from hearbench.execution.filling import filling

    with on_cluster(workspace, address, share, shared, reporter) as (cluster, exchange):
        places = _places(list(dict.fromkeys(batch.tasks)), cluster, exchange, workspace, reporter)
        wanted: dict[tuple[str, str], Wanted] = {}
        for spec in dict.fromkeys(batch.models):
            wanted.update(_wanted(batch, spec, places, workspace, exchange))
        left: set[str] = set()
        with reporter.stage(f"cluster: embedding and training, {len(wanted)} in all") as tell:
            flows = {key: filling(own, left) for key, own in wanted.items()}
            failures = drive(cluster, flows, tell)
        if exchange is not None:
            with reporter.stage(f"fetching what the cluster made, {len(left)} in all") as tell:
                for done, entry in enumerate(sorted(left), start=1):
                    exchange.pull(entry, workspace.path(entry))
                    tell(done, len(left), entry)
        return failures


@contextmanager
def on_cluster(
    workspace: Workspace,
    address: str | None,
    share: Share,
    shared: str | None,
    reporter: Reporter,
) -> Iterator[tuple[RayCluster, UrlExchange | None]]:
    """A cluster, and by what its nodes exchange things if they don't see this machine's cache.

    Raises:
        HearError: The cluster or the URL can't be used.
    """
    from hearbench.execution.exchange import UrlExchange
    from hearbench.execution.ray_cluster import ray_cluster

    exchange = None if shared is None else UrlExchange(shared)
    with ray_cluster(workspace, address=address, share=share, shared=exchange) as cluster:
        if cluster.unused_gpus:
            reporter.line(
                f"The cluster's GPUs ({cluster.unused_gpus}) stay idle: this machine has none, "
                "or --device says so. Start the evaluation on a node that has one."
            )
        yield cluster, exchange


def _places(
    tasks: Sequence[str],
    cluster: RayCluster,
    exchange: Exchange | None,
    workspace: Workspace,
    reporter: Reporter,
) -> dict[str, TaskPlace]:
    """How units find tasks, by what the user named; without those that aren't as they should be."""
    from hearbench.execution.executor import drive
    from hearbench.execution.filling import fetching

    here: dict[str, TaskPlace] = {}
    away = tasks
    if exchange is not None:
        here = _sent(tasks, exchange, workspace, reporter)
        # What is named by its place is nowhere else, and the evaluation says what is wrong.
        away = [task for task in tasks if task not in here and _is_name(task)]
    fetched: dict[str, TaskPlace] = {}
    if away:
        with reporter.stage(f"cluster: fetching tasks, {len(away)} in all") as tell:
            sent = exchange is not None
            drive(cluster, {task: fetching(task, fetched, sent=sent) for task in away}, tell)
    if exchange is not None:
        for place in fetched.values():
            place.bring_home(workspace, exchange)
    return here | fetched


def _is_name(task: str) -> bool:
    """Whether a task is named by its name, and not by a place on this machine."""
    return not (user_path(task).exists() or set(task) & set("/\\"))


def _sent(
    tasks: Sequence[str], exchange: Exchange, workspace: Workspace, reporter: Reporter
) -> dict[str, TaskPlace]:
    """Leaves at the exchange what tasks are on this machine."""
    from hearbench.execution.task_place import TaskPlace
    from hearbench.tasks.store import load_task

    found = {}
    with reporter.stage(f"sending tasks, {len(tasks)} in all") as tell:
        for done, text in enumerate(tasks, start=1):
            try:
                task = load_task(text, workspace=workspace, download=False)
            except HearError:
                continue
            found[text] = TaskPlace.sent(task, exchange)
            tell(done, len(tasks), text)
    return found


def _wanted(
    batch: Batch,
    spec: str,
    places: Mapping[str, TaskPlace],
    workspace: Workspace,
    exchange: Exchange | None,
) -> dict[tuple[str, str], Wanted]:
    from hearbench.embeddings.compute import store_folder
    from hearbench.execution.filling import Training, Wanted
    from hearbench.execution.units import ModelChoice
    from hearbench.tasks.store import load_task

    try:
        model = batch.load(spec)
    except HearError:
        return {}
    found = {}
    try:
        for text, place in places.items():
            try:
                task = load_task(text, workspace=workspace, download=False)
                check_evaluable(task, batch.plan)
                seeds = _seeds(batch, model, task)
            except HearError:
                continue
            if not seeds and not batch.always:
                continue
            if exchange is not None:
                # What is in this cache already needn't be made again.
                folder = store_folder(model, task, workspace=workspace, dtype=batch.dtype)
                if folder.is_dir():
                    exchange.push(folder.relative_to(workspace.cache_dir).as_posix(), folder)
            plan = batch.plan
            choice = ModelChoice(
                spec=spec,
                weights=batch.weights,
                options=tuple(pairs(batch.options, "--option").items()),
                interpreter=batch.interpreter,
                digest=model.check(task.kind).digest,
                kind=task.kind,
            )
            training = Training(plan.protocol, seeds, plan.precision) if plan and seeds else None
            found[spec, text] = Wanted(
                choice, model.sample_rate, task, place, batch.dtype, training
            )
    finally:
        model.close()
    return found


def _seeds(batch: Batch, model: Model, task: PreparedTask) -> tuple[int, ...]:
    """Those of which results are missing."""
    if batch.plan is None:
        return ()
    inputs = Inputs(
        model=model.check(task.kind).digest,
        fingerprint=model.check(task.kind).fingerprint,
        task=task.digest(model.sample_rate),
        dtype=batch.dtype,
        plan=batch.plan,
        metadata=task.metadata,
        seed=batch.plan.seed,
    )
    folder = result_folder(batch.out, model.name, batch.name, task.name)
    return tuple(missing_seeds(folder, inputs, overwrite=batch.overwrite))
