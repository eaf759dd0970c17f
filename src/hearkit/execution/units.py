"""Units of work: what may run in any process that sees the cache, and ends with files in it.

A unit is small and says all by names and places. It may run twice, at once or one after the
other, as after a node is lost: what it writes is the same, and appears whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from hearkit.errors import ModelError

if TYPE_CHECKING:
    from hearkit.embeddings.manifest import Dtype
    from hearkit.models.loaded import Interpreter
    from hearkit.models.protocol import Model
    from hearkit.probe.trainings import Plan
    from hearkit.settings import Settings
    from hearkit.tasks.store import PreparedTask

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

    def run(self, settings: Settings) -> object:
        """Does it.

        Args:
            settings: The shared cache, and the device and threads of this process.

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
        spec: As `hearkit.models.loading.load_model` takes it.
        weights: Likewise.
        options: Keywords of the model's own ``load_model``, as text.
        interpreter: Another Python that runs it.
        digest: Of the model as it was loaded where the evaluation was started.
    """

    spec: str
    weights: str | None
    options: tuple[tuple[str, str], ...]
    interpreter: Interpreter | None
    digest: str

    @contextmanager
    def loaded(self, settings: Settings) -> Iterator[Model]:
        """The model, ended with the block.

        Raises:
            ModelError: It can't be loaded, or is another one here.
        """
        from hearkit.models.loading import load_model

        model = load_model(
            self.spec,
            self.weights,
            settings=settings,
            interpreter=self.interpreter,
            **dict(self.options),
        )
        try:
            if model.digest != self.digest:
                raise ModelError(
                    f"{self.spec} is another model on this node than where the evaluation was "
                    "started: its source, weights or options differ. Bring the node up to date."
                )
            yield model
        finally:
            model.close()


@dataclass(frozen=True)
class FetchTask:
    """Brings a task into the cache, and looks at all of it.

    Attributes:
        task: As the user named it.
    """

    needs_device: ClassVar[bool] = False
    task: str

    def label(self) -> str:
        """What it does."""
        return f"fetching {self.task}"

    def run(self, settings: Settings) -> object:
        """Loads it; the folder where it is."""
        return str(_task(self.task, settings).folder)


@dataclass(frozen=True)
class ResampleTask:
    """Makes a task's audio at a rate.

    Attributes:
        task: Its folder.
        sample_rate: In Hz.
    """

    needs_device: ClassVar[bool] = False
    task: str
    sample_rate: int

    def label(self) -> str:
        """What it does."""
        return f"{Path(self.task).name}: resampling to {self.sample_rate} Hz"

    def run(self, settings: Settings) -> object:
        """Resamples what isn't there."""
        from hearkit.tasks.store import with_rate

        with_rate(_task(self.task, settings), self.sample_rate, settings=settings)
        return None


@dataclass(frozen=True)
class FindShards:
    """Finds out what is missing of the embeddings of a task.

    Attributes:
        model: The model.
        task: The task's folder.
        dtype: Of the embeddings on disk.
    """

    needs_device: ClassVar[bool] = True
    model: ModelChoice
    task: str
    dtype: Dtype

    def label(self) -> str:
        """What it does."""
        return f"{Path(self.task).name}: looking for embeddings of {self.model.spec}"

    def run(self, settings: Settings) -> object:
        """Names of the shards that are missing, a tuple."""
        from hearkit.embeddings.compute import missing_shards

        with self.model.loaded(settings) as model:
            task = _task(self.task, settings)
            return tuple(missing_shards(model, task, settings=settings, dtype=self.dtype))


@dataclass(frozen=True)
class EmbedShards:
    """Embeds some of a task's clips.

    Attributes:
        model: The model.
        task: The task's folder.
        dtype: Of the embeddings on disk.
        names: Of the shards.
    """

    needs_device: ClassVar[bool] = True
    model: ModelChoice
    task: str
    dtype: Dtype
    names: tuple[str, ...]

    def label(self) -> str:
        """What it does."""
        return f"{Path(self.task).name}: embedding with {self.model.spec}"

    def run(self, settings: Settings) -> object:
        """Embeds what isn't there."""
        from hearkit.embeddings.compute import embed_shards

        with self.model.loaded(settings) as model:
            task = _task(self.task, settings)
            embed_shards(model, task, list(self.names), settings=settings, dtype=self.dtype)
        return None


@dataclass(frozen=True)
class FinishStore:
    """Embeds what is still missing of a task, and writes the manifest.

    Attributes:
        model: The model.
        task: The task's folder.
        dtype: Of the embeddings on disk.
    """

    needs_device: ClassVar[bool] = True
    model: ModelChoice
    task: str
    dtype: Dtype

    def label(self) -> str:
        """What it does."""
        return f"{Path(self.task).name}: finishing embeddings of {self.model.spec}"

    def run(self, settings: Settings) -> object:
        """The store's folder."""
        from hearkit.embeddings.compute import embed

        with self.model.loaded(settings) as model:
            task = _task(self.task, settings)
            return str(embed(model, task, settings=settings, dtype=self.dtype).folder)


@dataclass(frozen=True)
class TrainFold:
    """Trains grid points on a fold.

    Attributes:
        task: The task's folder.
        store: That of its embeddings.
        protocol: As JSON.
        seeds: Trained side by side.
        precision: Of the products.
        number: Of the fold. The first one's trainings must be there before another's.
        points: On the first fold, positions in the grid; on others its winner is trained.
    """

    needs_device: ClassVar[bool] = True
    task: str
    store: str
    protocol: str
    seeds: tuple[int, ...]
    precision: str
    number: int
    points: tuple[int, ...]

    def label(self) -> str:
        """What it does."""
        return f"{Path(self.task).name}: training fold {self.number + 1}"

    def run(self, settings: Settings) -> object:
        """Trains what isn't kept."""
        from hearkit.probe.trainings import learn

        task = _task(self.task, settings)
        plan = self._plan(task, settings)
        folds = task.folds()
        if self.number == 0:
            learn(plan, 0, folds[0], dict.fromkeys(self.seeds, self.points))
            return None
        grid = range(len(plan.protocol.grid))
        # Kept all of it, so this only reads.
        first = learn(plan, 0, folds[0], dict.fromkeys(self.seeds, grid))
        winners = {seed: [learned.best] for seed, learned in first.items()}
        learn(plan, self.number, folds[self.number], winners)
        return None

    def _plan(self, task: PreparedTask, settings: Settings) -> Plan:
        from hearkit.embeddings.store import EmbeddingStore
        from hearkit.probe.fit import work_folder
        from hearkit.probe.kinds import kind_of
        from hearkit.probe.precision import resolve_precision
        from hearkit.probe.protocol import Protocol as ProbeProtocol
        from hearkit.probe.trainings import Plan

        store = EmbeddingStore.open(Path(self.store), task)
        protocol = ProbeProtocol.model_validate_json(self.protocol)
        protocol = protocol.for_task(task.metadata.task_name)
        device = settings.torch_device()
        dtype = resolve_precision(self.precision, device)
        kind = kind_of(
            store, protocol, device=device, max_memory_bytes=settings.memory_budget_bytes()
        )
        folders = {
            seed: work_folder(
                store, task, protocol, seed=seed, dtype=dtype, device=device, settings=settings
            )
            for seed in self.seeds
        }
        return Plan(kind, protocol, folders, device, dtype, len(task.folds()), None, 30.0)


def _task(place: str, settings: Settings) -> PreparedTask:
    from hearkit.tasks.store import load_task

    return load_task(place, settings=settings)
