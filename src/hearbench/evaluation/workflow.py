"""The order of an evaluation's steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hearbench.evaluation.existing import alone_in
from hearbench.evaluation.results import Made
from hearbench.evaluation.steps import (
    EmbedShards,
    FetchTask,
    FindShards,
    FinishStore,
    Resample,
    open_store,
)
from hearbench.evaluation.task_ref import TaskRef

if TYPE_CHECKING:
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Embeddings, Job, Setup
    from hearbench.execution.executor import Context, Flow, Step
    from hearbench.workspace import Workspace

__all__ = ["Score", "evaluation", "fetching", "finish", "unfinished"]


@dataclass(frozen=True, eq=False)
class Score:
    """Makes a set-up's results of a job, from embeddings and trainings that are there or not.

    Attributes:
        stores: The embeddings, those of the task first, then those that the set-up needs besides:
            by their tasks, as other steps name them, and their folders relative to the cache.
        entries: Other folders that steps have left, relative to the cache.
        lock: Whether the job's folder is locked meanwhile; False where it is already.
    """

    needs_device: ClassVar[bool] = True
    at_home: ClassVar[bool] = True
    job: Job
    setup: Setup
    stores: Sequence[tuple[TaskRef, str]]
    entries: Sequence[str]
    lock: bool

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.job.task.name}: scoring"

    def run(self, context: Context) -> object:
        """Makes and writes the results; returns what was `Made` or kept."""
        workspace = context.workspace
        for entry in self.entries:
            context.exchange.pull(entry, workspace.path(entry))

        def stores() -> list[EmbeddingStore]:
            return [open_store(task, entry, context) for task, entry in self.stores]

        if self.lock:
            return finish(self.job, self.setup, stores, workspace)
        # Whoever holds the lock has looked what is missing.
        store, *further = stores()
        return self.setup.make(self.job, store, workspace, further)


def finish(
    job: Job,
    setup: Setup,
    stores: Callable[[], Sequence[EmbeddingStore]],
    workspace: Workspace,
) -> Made:
    """Makes what is missing of a job's results, while no other process writes into its folder.

    Args:
        stores: Opens the embeddings, where they are needed, in the order that `Score` has.

    Raises:
        HearError: A result was made from other inputs, or can't be made or written.
    """
    with alone_in(job.folder, workspace.progress):
        if setup.is_finished(job):
            return setup.kept(job, workspace)
        store, *further = stores()
        return setup.make(job, store, workspace, further)


def unfinished(
    job: Job, setups: Sequence[Setup], workspace: Workspace
) -> tuple[list[Setup], list[Made]]:
    """The set-ups of which results are missing, and the results of the others.

    Raises:
        ResultError: A result was made from other inputs, and isn't to be overwritten.
    """
    left, kept = [], []
    for setup in setups:
        if setup.is_finished(job):
            kept.append(setup.kept(job, workspace))
        else:
            left.append(setup)
    return left, kept


def fetching(task: str, found: dict[str, TaskRef], *, sent: bool = False) -> Flow:
    """Brings a task into a cache.

    Args:
        task: As the user named it.
        found: Receives the task, by what the user named.
        sent: Whether steps get it by the exchange.
    """
    (ref,) = yield [FetchTask(task, sent)]
    if isinstance(ref, TaskRef):
        found[task] = ref


def evaluation(
    job: Job,
    embeddings: Embeddings,
    setups: Sequence[Setup],
    *,
    workspace: Workspace,
    parallel: bool,
    finished: Callable[[Made], None],
) -> Flow:
    """Everything from a task's audio to its results.

    In one process, the job's folder is locked for all of it, so that the same command started
    twice works once. Several processes share the long steps, and the lock is for the last one.

    Args:
        embeddings: Which embeddings it needs.
        setups: Those of which results are missing.
        parallel: Whether steps run side by side.
        finished: Receives what was made, or made by another process meanwhile.
    """
    if not parallel:
        with alone_in(job.folder, workspace.progress):
            left, kept = unfinished(job, setups, workspace)
            for made in kept:
                finished(made)
            for setup in left:
                yield from _making(job, embeddings, setup, parallel=False, finished=finished)
        return
    for setup in setups:
        yield from _making(job, embeddings, setup, parallel=True, finished=finished)


def _making(
    job: Job,
    embeddings: Embeddings,
    setup: Setup,
    *,
    parallel: bool,
    finished: Callable[[Made], None],
) -> Flow:
    """Everything for one set-up. What another one had embedded already isn't embedded again."""
    folders: dict[Embeddings, str] = {}
    left_behind = [*_names((yield setup.before(job, embeddings)))]
    for wanted in (embeddings, *setup.further(embeddings)):
        *others, folders[wanted] = yield from embedding(wanted, parallel=parallel)
        left_behind += [folders[wanted], *others]
    if parallel:
        for wave in setup.waves(job, embeddings, folders):
            left_behind += _names((yield wave))
    stores = [(wanted.task, folder) for wanted, folder in folders.items()]
    entries = tuple(dict.fromkeys(left_behind))
    (made,) = yield [Score(job, setup, stores, entries, lock=parallel)]
    if isinstance(made, Made):
        finished(made)


def embedding(
    embeddings: Embeddings, *, parallel: bool
) -> Generator[Sequence[Step], Sequence[object], list[str]]:
    """The embeddings of a task.

    Args:
        embeddings: Which ones.
        parallel: Whether steps run side by side.

    Returns:
        Folders that the steps have left, relative to the cache; that of the store last.
    """
    task = embeddings.task
    on = (embeddings.model, embeddings.digest, task, embeddings.wanted)
    yield [Resample(task, embeddings.sample_rate)]
    if parallel:
        (parts,) = yield [FindShards(*on)]
        if isinstance(parts, tuple):
            yield [EmbedShards(*on, part) for part in parts]
    return [*_names((yield [FinishStore(*on)]))]


def _names(values: Sequence[object]) -> Iterator[str]:
    """The texts among what steps returned, alone or in tuples."""
    for value in values:
        yield from (part for part in (value if isinstance(value, tuple) else (value,)) if part)
