"""The steps of an evaluation: each can be done by any process, and ends with files in a cache.

The cache is one that all processes see, or their own, and what they need of each other's comes and
goes by an exchange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hearbench.amounts import duration
from hearbench.embeddings.compute import (
    check_of,
    embed_shards,
    finish_store,
    finished_store,
    missing_shards,
    shard_names,
    store_folder,
)
from hearbench.embeddings.store import MANIFEST, EmbeddingStore
from hearbench.embeddings.texts import embed_texts, texts_folder
from hearbench.errors import ModelError
from hearbench.evaluation.task_ref import TaskRef
from hearbench.models.ref import ModelRef
from hearbench.tasks.store import load_task, resampled_folder, with_rate

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Wanted
    from hearbench.execution.executor import Context
    from hearbench.models.model import Model
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "EmbedShards",
    "EmbedTexts",
    "FetchTask",
    "FindShards",
    "FinishStore",
    "Resample",
    "TrainFold",
]

# So many parts of a task's embeddings keep a cluster busy when one task is left.
_PARTS = 32


@dataclass(frozen=True)
class FetchTask:
    """Brings a task into the cache, and checks all of it.

    Attributes:
        task: As the user named it.
        sent: Whether others get it by the exchange.
    """

    needs_device: ClassVar[bool] = False
    at_home: ClassVar[bool] = False
    task: str
    sent: bool = False

    def label(self) -> str:
        """What it does, in a few words."""
        return f"fetching {self.task}"

    def run(self, context: Context) -> object:
        """Loads the task, and returns its `TaskRef`."""
        task = load_task(self.task, workspace=context.workspace)
        return TaskRef.sent(task, context.exchange) if self.sent else TaskRef.on_disk(task)


@dataclass(frozen=True)
class Resample:
    """Makes a task's audio at a rate.

    Attributes:
        sample_rate: In Hz.
    """

    needs_device: ClassVar[bool] = False
    at_home: ClassVar[bool] = False
    task: TaskRef
    sample_rate: int

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.task.title}: resampling to {self.sample_rate} Hz"

    def run(self, context: Context) -> object:
        """Resamples what is missing, and leaves it for others unless the task came with it."""
        made = _at_rate(self.task, self.sample_rate, context)
        if self.sample_rate not in self.task.load(context).audio_folders:
            folder = made.audio_folders[self.sample_rate]
            context.exchange.push(_entry(folder, context), folder)
        return None


@dataclass(frozen=True)
class _OnStore:
    """A step that works on one model's embeddings of one task.

    Attributes:
        digest: Digest of the model where the evaluation was started, for this kind of task.
        wanted: Which embeddings.
    """

    needs_device: ClassVar[bool] = True
    at_home: ClassVar[bool] = False
    model: ModelRef
    digest: str
    task: TaskRef
    wanted: Wanted


@dataclass(frozen=True)
class FindShards(_OnStore):
    """Finds out which shards of a task's embeddings are missing."""

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.task.title}: looking for embeddings of {self.model.spec}"

    def run(self, context: Context) -> object:
        """Names of shards in parts that belong together, tuples in a tuple; without whole parts.

        Also without a part that is all there is, which is embedded when the store is finished.
        """
        work = _Work.begin(self, context)
        if work.finished:
            return ()
        task, workspace = work.audio(), context.workspace
        missing = set(missing_shards(work.model, task, workspace=workspace, wanted=self.wanted))
        names = shard_names(work.model, task, self.wanted)
        # Of all shards, so that processes that look at different times find the same parts.
        size = math.ceil(len(names) / _PARTS)
        parts = [tuple(names[i : i + size]) for i in range(0, len(names), size)]
        # Of several, the last that is missing may be another process's that is at it.
        return tuple(part for part in parts if len(parts) > 1 and missing & set(part))


@dataclass(frozen=True)
class EmbedShards(_OnStore):
    """Embeds some of a task's clips.

    Attributes:
        names: Names of the shards.
    """

    names: tuple[str, ...]

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.task.title}: embedding with {self.model.spec}"

    def run(self, context: Context) -> object:
        """Embeds what is missing."""
        work = _Work.begin(self, context)
        names, workspace = list(self.names), context.workspace
        embed_shards(work.model, work.audio(), names, workspace=workspace, wanted=self.wanted)
        context.exchange.push(work.entry, work.folder)
        return None


@dataclass(frozen=True)
class FinishStore(_OnStore):
    """Embeds what is still missing of a task, and writes the manifest."""

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.task.title}: finishing embeddings of {self.model.spec}"

    def run(self, context: Context) -> object:
        """Finishes the store; returns folders relative to the cache, that of the store last.

        Those before it are of models that only look the same, by which it is found.
        """
        progress = context.workspace.progress
        work = _Work.begin(self, context)
        if (work.folder / MANIFEST).is_file():
            progress.line(f"{self.task.title}: embeddings found in the cache")
        if not work.finished:
            store = finish_store(work.model, work.audio(), self.wanted, context.workspace)
            manifest = store.manifest
            progress.line(
                f"{self.task.title}: embedded {duration(manifest.audio_s)} of audio in "
                f"{duration(manifest.seconds)}"
            )
            for note in manifest.notes:
                progress.once(f"note: {note}")
        # Also what an earlier run left in this cache alone.
        context.exchange.push(work.entry, work.folder)
        return work.entries


@dataclass(frozen=True)
class EmbedTexts:
    """Embeds texts.

    Attributes:
        digest: Digest of the model where the evaluation was started, for scenes.
        texts: Each of them once.
    """

    needs_device: ClassVar[bool] = True
    at_home: ClassVar[bool] = False
    model: ModelRef
    digest: str
    texts: tuple[str, ...]

    def label(self) -> str:
        """What it does, in a few words."""
        return f"embedding {len(self.texts)} texts with {self.model.spec}"

    def run(self, context: Context) -> object:
        """Embeds them, or finds what others left; returns the folder, relative to the cache."""
        folder = texts_folder(self.digest, self.texts, context.workspace)
        context.exchange.pull(_entry(folder, context), folder)
        model = load_model(self.model, context)
        _check_same(model.check("scene").digest, self.digest, self.model)
        embed_texts(model, self.texts, context.workspace)
        context.exchange.push(_entry(folder, context), folder)
        return _entry(folder, context)


@dataclass(frozen=True)
class TrainFold:
    """Trains grid points on a fold.

    Attributes:
        store: The folder of its embeddings, relative to the cache.
        protocol: The protocol as JSON.
        seeds: Trained side by side.
        precision: Precision of the matrix products.
        number: Number of the fold. The first one's trainings must be there before another's.
        points: On the first fold, positions in the grid; on others its winner is trained.
        layer: Number of the model's layer that is learned from; None for all that the store holds.
    """

    needs_device: ClassVar[bool] = True
    at_home: ClassVar[bool] = False
    task: TaskRef
    store: str
    protocol: str
    seeds: tuple[int, ...]
    precision: str
    number: int
    points: tuple[int, ...]
    layer: int | None = None

    def label(self) -> str:
        """What it does, in a few words."""
        return f"{self.task.title}: training fold {self.number + 1}"

    def run(self, context: Context) -> object:
        """Trains what isn't kept; returns folders where it is, relative to the cache."""
        from hearbench.probe.fit import plan_of
        from hearbench.probe.fold_training import learn
        from hearbench.probe.protocol import Protocol

        store = open_store(self.task, self.store, context)
        if self.layer is not None:
            store = store.layer(self.layer)
        plan = plan_of(
            store,
            Protocol.model_validate_json(self.protocol),
            seeds=self.seeds,
            precision=self.precision,
            workspace=context.workspace,
        )
        entries = {_entry(folder, context): folder for folder in plan.folders.values()}
        for entry, folder in entries.items():
            context.exchange.pull(entry, folder)
        folds = store.task.folds()
        if self.number == 0:
            learn(plan, 0, folds[0], dict.fromkeys(self.seeds, self.points))
        else:
            grid = range(len(plan.protocol.grid))
            # Kept all of it, so this only reads.
            first = learn(plan, 0, folds[0], dict.fromkeys(self.seeds, grid))
            winners = {seed: [learned.best] for seed, learned in first.items()}
            learn(plan, self.number, folds[self.number], winners)
        for entry, folder in entries.items():
            context.exchange.push(entry, folder)
        return tuple(entries)


def open_store(task: TaskRef, entry: str, context: Context) -> EmbeddingStore:
    """A finished store, for work that doesn't listen to the task.

    Raises:
        HearError: It can't be had, or is damaged.
    """
    labels = task.load_labels(context)
    folder = context.workspace.path(entry)
    context.exchange.pull(entry, folder)
    return EmbeddingStore.open(folder, labels, workspace=context.workspace)


@dataclass(frozen=True)
class _Work:
    """A model's embeddings of a task, with what others left of them.

    Attributes:
        ref: How the task is named.
        folder: Folder of the store.
        entries: The same relative to the cache, after those of models that only look the same.
    """

    model: Model
    task: PreparedTask
    ref: TaskRef
    folder: Path
    entries: tuple[str, ...]
    context: Context

    @classmethod
    def begin(cls, step: _OnStore, context: Context) -> _Work:
        task = step.task.load(context)
        model = load_model(step.model, context)
        _check_same(check_of(model, step.wanted).digest, step.digest, step.model)
        entries: list[str] = []
        while True:
            folder = store_folder(model, task, workspace=context.workspace, wanted=step.wanted)
            entry = _entry(folder, context)
            if entry in entries:
                break
            # What others left there may turn out to be of a model that only looks the same.
            entries.append(entry)
            context.exchange.pull(entry, folder)
        return cls(model, task, step.task, folder, tuple(entries), context)

    @property
    def entry(self) -> str:
        """The store's folder relative to the cache."""
        return self.entries[-1]

    @property
    def finished(self) -> bool:
        return finished_store(self.folder, self.task, self.context.workspace) is not None

    def audio(self) -> PreparedTask:
        """The task with audio at the model's rate."""
        return _at_rate(self.ref, self.model.sample_rate, self.context)


def _check_same(found: str, expected: str, model: ModelRef) -> None:
    """Refuses a model that isn't the one that the evaluation was started with.

    Raises:
        ModelError: Its digest is another.
    """
    if found != expected:
        raise ModelError(
            f"{model.spec} is another model on this node than where the evaluation was started: "
            "its source, weights or options differ, or other files or variables that it reads. "
            "Bring the node up to date."
        )


def load_model(model: ModelRef, context: Context) -> Model:
    """The model, loaded once for all steps that follow each other in a process.

    Raises:
        ModelError: It can't be loaded.
    """
    return context.held("model", model, lambda: model.load(context.workspace))


def _at_rate(ref: TaskRef, sample_rate: int, context: Context) -> PreparedTask:
    """A task with audio at a rate, of which what others resampled is used."""

    def make() -> PreparedTask:
        task = ref.load(context)
        if sample_rate not in task.audio_folders:
            folder = resampled_folder(task, sample_rate, context.workspace)
            context.exchange.pull(_entry(folder, context), folder)
        return with_rate(task, sample_rate, workspace=context.workspace)

    return context.held("audio", (ref, sample_rate), make)


def _entry(folder: Path, context: Context) -> str:
    return folder.relative_to(context.workspace.cache_dir).as_posix()
