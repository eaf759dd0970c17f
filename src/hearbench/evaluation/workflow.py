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
    """Makes the results of a job from embeddings and trainings, of which it makes what is missing.

    Attributes:
        setups: Those of which results are missing.
        task: The task, as other steps name it.
        entries: Folders that steps have left, relative to the cache; that of the store first.
        lock: Whether the job's folder is locked meanwhile; False where it is already.
    """

    needs_device: ClassVar[bool] = True
    at_home: ClassVar[bool] = True
    job: Job
    setups: Sequence[Setup]
    task: TaskRef
    entries: Sequence[str]
    lock: bool

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.job.task.name}: scoring"

    def run(self, context: Context) -> object:
        """Makes and writes the results; returns what was made or kept, a list of `Made`."""
        workspace = context.workspace
        for entry in self.entries:
            context.exchange.pull(entry, workspace.path(entry))

        def store() -> EmbeddingStore:
            return open_store(self.task, self.entries[0], context)

        if self.lock:
            return finish(self.job, self.setups, store, workspace)
        # Whoever holds the lock has looked what is missing.
        opened = store()
        return [setup.make(self.job, opened, workspace) for setup in self.setups]


def finish(
    job: Job, setups: Sequence[Setup], store: Callable[[], EmbeddingStore], workspace: Workspace
) -> list[Made]:
    """Makes what is missing of a job's results, while no other process writes into its folder.

    Args:
        store: Opens the embeddings, where they are needed.

    Raises:
        HearError: A result was made from other inputs, or can't be made or written.
    """
    with alone_in(job.folder, workspace.progress):
        left, made = unfinished(job, setups, workspace)
        if left:
            opened = store()
            made += [setup.make(job, opened, workspace) for setup in left]
    return made


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
    ref = embeddings.task
    if not parallel:
        with alone_in(job.folder, workspace.progress):
            left, kept = unfinished(job, setups, workspace)
            for made in kept:
                finished(made)
            if left:
                yield from _before(job, embeddings, left)
                entries = yield from embedding(embeddings, parallel=False)
                (values,) = yield [Score(job, left, ref, [entries[-1]], lock=False)]
                _tell(values, finished)
        return
    given = yield from _before(job, embeddings, setups)
    entries = yield from embedding(embeddings, parallel=True)
    store = entries[-1]
    trained: list[str] = []
    for setup in setups:
        for wave in setup.waves(job, embeddings, store):
            trained += _names((yield wave))
    named = list(dict.fromkeys([store, *entries, *given, *trained]))
    (values,) = yield [Score(job, setups, ref, named, lock=True)]
    _tell(values, finished)


def _before(
    job: Job, embeddings: Embeddings, setups: Sequence[Setup]
) -> Generator[Sequence[Step], Sequence[object], list[str]]:
    """What set-ups need of the model beside embeddings; returns folders relative to the cache."""
    found: list[str] = []
    for setup in setups:
        found += _names((yield setup.before(job, embeddings)))
    return found


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


def _tell(values: object, finished: Callable[[Made], None]) -> None:
    for made in values if isinstance(values, list) else ():
        finished(made)


def _names(values: Sequence[object]) -> Iterator[str]:
    """The texts among what steps returned, alone or in tuples."""
    for value in values:
        yield from (part for part in (value if isinstance(value, tuple) else (value,)) if part)
