"""Preparing tasks of the catalog from their corpora: here, or as steps that a cluster runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hearbench.errors import HearError, TaskError
from hearbench.evaluation.task_ref import TaskRef
from hearbench.execution.executor import Flow, drive
from hearbench.tasks.catalog import get_spec
from hearbench.tasks.from_corpus import CatalogSource, prepare_from_corpus
from hearbench.tasks.locate import TASKS_FOLDER
from hearbench.tasks.store import PreparedTask, load_task

if TYPE_CHECKING:
    from hearbench.execution.executor import Context, Executor
    from hearbench.execution.remote_cache import Exchange
    from hearbench.workspace import Workspace

__all__ = ["PrepareCorpus", "Prepared", "PreparedTasks", "prepare_tasks", "preparing"]

Prepared = dict[tuple[str, str], "TaskRef | str"]
"""By name and mode, how a task is found, or why it couldn't be prepared."""


@dataclass(frozen=True)
class PreparedTasks:
    """What came of preparing several tasks.

    Attributes:
        done: The tasks that are prepared.
        failed: Names of the others, each with the reason.
    """

    done: list[PreparedTask]
    failed: list[tuple[str, str]]


def prepare_tasks(
    wanted: Sequence[tuple[str, str]],
    source: CatalogSource,
    out: Path | None,
    workspace: Workspace,
    cluster: Executor | None = None,
    *,
    sent: bool = False,
) -> PreparedTasks:
    """Prepares tasks of the catalog; a failure doesn't stop the others.

    Args:
        wanted: Names and modes.
        source: Where the corpora are, and how they are taken.
        out: Folder that takes ``tasks/``; None for the cache.
        workspace: Where the cache is, how many threads, and who shows progress.
        cluster: Runs the work, a corpus at a time; None for this process.
        sent: Whether the cluster's nodes don't see this disk, so that tasks are sent here.

    Raises:
        HearError: A task can't be had from the cluster.
    """
    target = workspace.cache_dir if out is None else out
    prepare: Callable[[str, str], PreparedTask]
    if cluster is None:
        prepare = partial(_prepare, source, out=target, workspace=workspace)
    else:
        prepare = _on_cluster(cluster, wanted, source, out, sent)
    result = PreparedTasks([], [])
    for name, mode in wanted:
        try:
            task = prepare(name, mode)
        except HearError as error:
            result.failed.append((name, str(error)))
            which = f"{name}: " if len(wanted) > 1 else ""
            workspace.progress.line(f"error: {which}{error}")
            continue
        result.done.append(task)
        workspace.progress.line(f"{task.name}: wrote {task.folder}")
    if result.failed and len(wanted) > 1:
        workspace.progress.line(
            f"{len(result.done)} of {len(wanted)} tasks are prepared; failed: "
            f"{', '.join(name for name, _ in result.failed)}."
        )
    return result


def _prepare(
    source: CatalogSource, name: str, mode: str, out: Path, workspace: Workspace
) -> PreparedTask:
    folder = prepare_from_corpus(name, out, source, mode=mode, workspace=workspace)
    return load_task(folder, workspace=workspace)


def _on_cluster(
    cluster: Executor,
    wanted: Sequence[tuple[str, str]],
    source: CatalogSource,
    out: Path | None,
    sent: bool,
) -> Callable[[str, str], PreparedTask]:
    """Has a cluster prepare tasks, and gives a function that reads them or says what failed."""
    workspace = cluster.context.workspace
    target = workspace.cache_dir if out is None else out
    target.mkdir(parents=True, exist_ok=True)
    corpora: dict[str, list[tuple[str, str]]] = {}
    for name, mode in wanted:
        corpora.setdefault(get_spec(name).corpus, []).append((name, mode))
    # Other processes have other current folders.
    dirs = tuple(folder.resolve() for folder in source.corpus_dirs)
    there = None if out is None or sent else out.resolve()
    steps = [
        PrepareCorpus(tuple(tasks), replace(source, corpus_dirs=dirs), there, sent)
        for tasks in corpora.values()
    ]
    prepared: Prepared = {}
    what = f"cluster: preparing tasks, {len(wanted)} in all"
    failures = drive(cluster, preparing(steps, prepared), what)
    for step in steps:
        if step.label() in failures:
            prepared.update(dict.fromkeys(step.tasks, str(failures[step.label()])))
    if sent:
        for ref in prepared.values():
            if isinstance(ref, TaskRef):
                ref.bring(target / TASKS_FOLDER / ref.name, cluster.context.exchange)

    def give(name: str, mode: str) -> PreparedTask:
        ref = prepared[name, mode]
        if isinstance(ref, str):
            raise TaskError(ref)
        folder = target / TASKS_FOLDER / ref.name if ref.folder is None else Path(ref.folder)
        return load_task(folder, workspace=workspace)

    return give


@dataclass(frozen=True)
class PrepareCorpus:
    """Prepares tasks of the catalog that are made from one corpus, so that it is had once.

    Attributes:
        tasks: Names and modes.
        source: Where the corpus is, and how it is taken.
        out: Folder that takes ``tasks/``; None for the cache of the process that does it.
        sent: Whether the tasks are left at the exchange.
    """

    needs_device: ClassVar[bool] = False
    at_home: ClassVar[bool] = False
    tasks: tuple[tuple[str, str], ...]
    source: CatalogSource
    out: Path | None
    sent: bool

    def label(self) -> str:
        """What it does."""
        return f"preparing {', '.join(f'{name} ({mode})' for name, mode in self.tasks)}"

    def run(self, context: Context) -> object:
        """Prepares what is missing; returns a `TaskRef` or a message per task, a tuple."""
        workspace, exchange = context.workspace, context.exchange
        return tuple(self._attempt(name, mode, workspace, exchange) for name, mode in self.tasks)

    def _attempt(
        self, name: str, mode: str, workspace: Workspace, exchange: Exchange
    ) -> TaskRef | str:
        """Prepares one task; a failure doesn't stop the others."""
        out = workspace.cache_dir if self.out is None else self.out
        try:
            if self.out is not None and not out.is_dir():
                raise TaskError(
                    f"{out} isn't there on the node that would write to it.", code="not_found"
                )
            task = _prepare(self.source, name, mode, out, workspace)
            return TaskRef.sent(task, exchange) if self.sent else TaskRef.on_disk(task)
        except HearError as error:
            return str(error)


def preparing(units: Sequence[PrepareCorpus], prepared: Prepared) -> dict[str, Flow]:
    """A flow per unit, by what it does.

    Args:
        units: All different.
        prepared: Takes what came of each task.
    """

    def flow(unit: PrepareCorpus) -> Flow:
        (values,) = yield [unit]
        if isinstance(values, tuple):
            prepared.update(zip(unit.tasks, values, strict=True))

    return {unit.label(): flow(unit) for unit in units}
