"""Units of work: what may run in any process, and ends with files in a cache.

The cache is one that all processes see, or their own, and what they need of each other's comes and
goes by an exchange.

A unit is small and says all by names and places. It may run twice, at once or one after the
other, as after a node is lost: what it writes is the same, and appears whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from hearbench.errors import ModelError
from hearbench.execution.task_place import TaskPlace

if TYPE_CHECKING:
    from hearbench.embeddings.manifest import Dtype
    from hearbench.execution.exchange import Exchange
    from hearbench.models.loaded import Interpreter
    from hearbench.models.protocol import Model
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = [
    "EmbedShards",
    "FetchTask",
    "FindShards",
    "FinishStore",
    "ModelChoice",
    "ResampleTask",
    "TrainFold",
    "Unit",
]


class Unit(Protocol):
    """Work that any process can do; compared and hashed by its content."""

    needs_device: ClassVar[bool]

    def label(self) -> str:
        """What it does, in a few words."""
        ...

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Does it.

        Args:
            workspace: The cache, device and threads of this process.
            exchange: Where processes that don't share a cache get from and leave for each other.

        Returns:
            Something small that can be pickled.

        Raises:
            HearError: It can't be done, here or elsewhere.
        """
        ...


@dataclass(frozen=True)
class ModelChoice:
    """How a model is loaded, and which one is expected.

    Attributes:
        spec: As `hearbench.models.loading.load_model` takes it.
        weights: Likewise.
        options: Keywords of the model's own ``load_model``, as text.
        interpreter: Another Python that runs it.
        digest: Of the model where the evaluation was started, called for the kind of task.
        kind: The kind of task.
    """

    spec: str
    weights: str | None
    options: tuple[tuple[str, str], ...]
    interpreter: Interpreter | None
    digest: str
    kind: Literal["scene", "event"]

    @contextmanager
    def loaded(self, workspace: Workspace) -> Iterator[Model]:
        """The model, ended with the block.

        Raises:
            ModelError: It can't be loaded, or is another one here.
        """
        from hearbench.models.loading import load_model

        model = load_model(
            self.spec,
            self.weights,
            workspace=workspace,
            interpreter=self.interpreter,
            **dict(self.options),
        )
        try:
            if model.check(self.kind).digest != self.digest:
                raise ModelError(
                    f"{self.spec} is another model on this node than where the evaluation was "
                    "started: its source, weights or options differ, or other files or variables "
                    "that it reads. Bring the node up to date."
                )
            yield model
        finally:
            model.close()


@dataclass(frozen=True)
class FetchTask:
    """Brings a task into the cache, and looks at all of it.

    Attributes:
        task: As the user named it.
        sent: Whether others get it by the exchange.
    """

    needs_device: ClassVar[bool] = False
    task: str
    sent: bool = False

    def label(self) -> str:
        """What it does."""
        return f"fetching {self.task}"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Loads it; its `TaskPlace`."""
        from hearbench.tasks.store import load_task

        task = load_task(self.task, workspace=workspace)
        return TaskPlace.sent(task, exchange) if self.sent else TaskPlace.on_disk(task)


@dataclass(frozen=True)
class ResampleTask:
    """Makes a task's audio at a rate.

    Attributes:
        task: The task.
        sample_rate: In Hz.
    """

    needs_device: ClassVar[bool] = False
    task: TaskPlace
    sample_rate: int

    def label(self) -> str:
        """What it does."""
        return f"{self.task.name}: resampling to {self.sample_rate} Hz"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Resamples what isn't there; the entry of the cache, None if the task came with it."""
        from hearbench.tasks.store import with_rate

        task = self.task.load(workspace, exchange)
        entry = _pull_rate(task, self.sample_rate, workspace, exchange)
        made = with_rate(task, self.sample_rate, workspace=workspace)
        if entry is not None:
            exchange.push(entry, made.audio_folders[self.sample_rate])
        return entry


@dataclass(frozen=True)
class _OnStore:
    """A unit that works on one model's embeddings of one task.

    Attributes:
        model: The model.
        task: The task.
        dtype: Of the embeddings on disk.
    """

    needs_device: ClassVar[bool] = True
    model: ModelChoice
    task: TaskPlace
    dtype: Dtype


@dataclass(frozen=True)
class FindShards(_OnStore):
    """Finds out what is missing of the embeddings of a task."""

    def label(self) -> str:
        """What it does."""
        return f"{self.task.name}: looking for embeddings of {self.model.spec}"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Names of the shards that are missing, a tuple."""
        from hearbench.embeddings.compute import missing_shards

        with self.model.loaded(workspace) as model:
            work = _Work.begin(model, self.task, self.dtype, workspace, exchange)
            if work.finished:
                return ()
            work.pull_audio()
            return tuple(missing_shards(model, work.task, workspace=workspace, dtype=self.dtype))


@dataclass(frozen=True)
class EmbedShards(_OnStore):
    """Embeds some of a task's clips.

    Attributes:
        model: The model.
        task: The task.
        dtype: Of the embeddings on disk.
        names: Of the shards.
    """

    names: tuple[str, ...]

    def label(self) -> str:
        """What it does."""
        return f"{self.task.name}: embedding with {self.model.spec}"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Embeds what isn't there."""
        from hearbench.embeddings.compute import embed_shards

        with self.model.loaded(workspace) as model:
            work = _Work.begin(model, self.task, self.dtype, workspace, exchange)
            work.pull_audio()
            names = list(self.names)
            embed_shards(model, work.task, names, workspace=workspace, dtype=self.dtype)
            exchange.push(work.entry, work.folder)
        return None


@dataclass(frozen=True)
class FinishStore(_OnStore):
    """Embeds what is still missing of a task, and writes the manifest."""

    def label(self) -> str:
        """What it does."""
        return f"{self.task.name}: finishing embeddings of {self.model.spec}"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Folders relative to the cache, a tuple: the store's comes last.

        Those before it are of models that only look the same, by which it is found.
        """
        from hearbench.embeddings.compute import embed

        with self.model.loaded(workspace) as model:
            work = _Work.begin(model, self.task, self.dtype, workspace, exchange)
            if not work.finished:
                work.pull_audio()
                embed(model, work.task, workspace=workspace, dtype=self.dtype)
            # Also what an earlier run left in this cache alone.
            exchange.push(work.entry, work.folder)
        return work.entries


@dataclass(frozen=True)
class TrainFold:
    """Trains grid points on a fold.

    Attributes:
        task: The task.
        store: The folder of its embeddings, relative to the cache.
        protocol: As JSON.
        seeds: Trained side by side.
        precision: Of the products.
        number: Of the fold. The first one's trainings must be there before another's.
        points: On the first fold, positions in the grid; on others its winner is trained.
    """

    needs_device: ClassVar[bool] = True
    task: TaskPlace
    store: str
    protocol: str
    seeds: tuple[int, ...]
    precision: str
    number: int
    points: tuple[int, ...]

    def label(self) -> str:
        """What it does."""
        return f"{self.task.name}: training fold {self.number + 1}"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        """Trains what isn't kept; folders where it is, relative to the cache, a tuple."""
        from hearbench.embeddings.store import EmbeddingStore
        from hearbench.probe.fit import plan_of
        from hearbench.probe.protocol import Protocol as ProbeProtocol
        from hearbench.probe.trainings import learn

        task = self.task.load_labels(workspace, exchange)
        exchange.pull(self.store, workspace.path(self.store))
        plan = plan_of(
            EmbeddingStore.open(workspace.path(self.store), task, workspace=workspace),
            ProbeProtocol.model_validate_json(self.protocol),
            seeds=self.seeds,
            precision=self.precision,
            workspace=workspace,
        )
        entries = {_entry(folder, workspace): folder for folder in plan.folders.values()}
        for entry, folder in entries.items():
            exchange.pull(entry, folder)
        folds = task.folds()
        if self.number == 0:
            learn(plan, 0, folds[0], dict.fromkeys(self.seeds, self.points))
        else:
            grid = range(len(plan.protocol.grid))
            # Kept all of it, so this only reads.
            first = learn(plan, 0, folds[0], dict.fromkeys(self.seeds, grid))
            winners = {seed: [learned.best] for seed, learned in first.items()}
            learn(plan, self.number, folds[self.number], winners)
        for entry, folder in entries.items():
            exchange.push(entry, folder)
        return tuple(entries)


@dataclass(frozen=True)
class _Work:
    """A model's embeddings of a task, with what others left of them.

    Attributes:
        task: The task.
        sample_rate: That of the model.
        folder: Of the store.
        entries: The same relative to the cache, after those of models that only look the same.
    """

    task: PreparedTask
    sample_rate: int
    folder: Path
    entries: tuple[str, ...]
    workspace: Workspace
    exchange: Exchange

    @classmethod
    def begin(
        cls, model: Model, place: TaskPlace, dtype: Dtype, workspace: Workspace, exchange: Exchange
    ) -> _Work:
        from hearbench.embeddings.compute import store_folder

        task = place.load(workspace, exchange)
        entries: list[str] = []
        while True:
            folder = store_folder(model, task, workspace=workspace, dtype=dtype)
            entry = _entry(folder, workspace)
            if entry in entries:
                break
            # What others left there may turn out to be of a model that only looks the same.
            entries.append(entry)
            exchange.pull(entry, folder)
        return cls(task, model.sample_rate, folder, tuple(entries), workspace, exchange)

    @property
    def entry(self) -> str:
        """The store's folder relative to the cache."""
        return self.entries[-1]

    @property
    def finished(self) -> bool:
        from hearbench.embeddings.compute import finished_store

        return finished_store(self.folder, self.task, self.workspace) is not None

    def pull_audio(self) -> None:
        _pull_rate(self.task, self.sample_rate, self.workspace, self.exchange)


def _pull_rate(
    task: PreparedTask, sample_rate: int, workspace: Workspace, exchange: Exchange
) -> str | None:
    """Gets what others resampled; its entry, None if the task came with the rate."""
    if sample_rate in task.audio_folders:
        return None
    from hearbench.tasks.store import resampled_folder

    folder = resampled_folder(task, sample_rate, workspace)
    entry = _entry(folder, workspace)
    exchange.pull(entry, folder)
    return entry


def _entry(folder: Path, workspace: Workspace) -> str:
    return folder.relative_to(workspace.cache_dir).as_posix()
