"""What a store of embeddings writes beside its arrays: typed, versioned JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from hearbench.digest import digest_json
from hearbench.embeddings.kinds import EMBEDDED, EMBEDDINGS, Dtype, Embedded, What, embedding_size
from hearbench.errors import EmbeddingError
from hearbench.models.fingerprint import Fingerprint
from hearbench.models.identity import changed_files
from hearbench.records import GrownRecord, Record
from hearbench.tasks.task_type import TaskType, task_type

if TYPE_CHECKING:
    from hearbench.tasks.store import PreparedTask

__all__ = [
    "FORMAT_VERSION",
    "FileRecord",
    "Manifest",
    "ModelRecord",
    "PerturbationRecord",
    "ShardRecord",
    "TaskRecord",
]

# Part of what names a store: another version never reads the embeddings of this one.
FORMAT_VERSION = 1


class FileRecord(Record):
    """One ``.npy`` file.

    Attributes:
        name: Within ``shards/``; it holds the beginning of the digest.
        bytes: Size of the file.
        sha256: SHA-256 of the file.
    """

    name: str
    bytes: int
    sha256: str


class ShardRecord(GrownRecord):
    """One finished shard; as a file of its own beside the arrays, and in the manifest.

    Attributes:
        format_version: Version of this layout.
        split: The split.
        index: Number of the shard within its split.
        clips: File names, in the order of the rows.
        frames: Frames per clip, of timestamp embeddings.
        embeddings: (n_clips, size) of scene embeddings, (sum of frames, size) of timestamp
            embeddings; of several layers the last.
        timestamps: Frame centres in ms, float32 (sum of frames,), of timestamp embeddings.
        layers: An array like `embeddings` for each layer, in the manifest's order; empty where
            the model's embeddings are of no layer in particular.
        audio_s: Seconds of audio.
        seconds: Wall-clock time that it took.
        reduced_batch: The most clips that were handed to the model at once in the end, where it
            ran out of memory on whole batches; None where it didn't.
        enlarged_batch: The most clips that were handed to the model at once, where that is more
            than a batch of the reference evaluation.
        device_utilisation: Mean share of the time in which the GPU was busy, 0 to 1; None on a
            CPU, and where it isn't known.
        device: Where the model ran; None in records of earlier versions, and so are the others.
        peak_memory_mb: Most memory of the process until then, in MiB.
        peak_device_memory_mb: Most memory on the GPU until then, in MiB.
        later_files: Digests of files that the model read after its first calls, by path.
    """

    LATER: ClassVar[tuple[str, ...]] = ("layers",)

    format_version: Literal[1] = 1
    split: str
    index: int
    clips: tuple[str, ...]
    frames: tuple[int, ...] | None
    embeddings: FileRecord
    timestamps: FileRecord | None
    audio_s: float
    seconds: float
    reduced_batch: int | None = None
    enlarged_batch: int | None = None
    device_utilisation: float | None = None
    device: str | None = None
    peak_memory_mb: float | None = None
    peak_device_memory_mb: float | None = None
    later_files: dict[str, str] = Field(default_factory=dict)
    layers: tuple[FileRecord, ...] = ()

    @property
    def shard_name(self) -> str:
        """``<split>-<index>``, as ``hearbench.embeddings.batches.Shard.name``."""
        return f"{self.split}-{self.index:05d}"

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Its arrays."""
        arrays = self.layers or (self.embeddings,)
        return arrays if self.timestamps is None else (*arrays, self.timestamps)

    @property
    def content_digest(self) -> str:
        """Over what it holds, and not how long it took."""
        return digest_json([self.split, self.index, self.clips, [f.sha256 for f in self.files]])


class ModelRecord(GrownRecord):
    """Which model made the embeddings; attributes as of ``hearbench.models.model.Model``.

    Attributes:
        called_digest: As `digest`, with what the model has read when its function was called; None
            where that is nothing.
        fingerprint: What the model makes of a short fixed signal; None in records of earlier
            versions.
        later_files: Digests of files that it read after its first calls, by path.
        revision: Commit of the Hugging Face hub that the weights are of; left out for others.
    """

    LATER: ClassVar[tuple[str, ...]] = ("revision",)

    name: str
    spec: str
    weights: str | None
    weights_digest: str | None
    source_digest: str
    options: dict[str, str | int | float | bool]
    digest: str
    sample_rate: int
    scene_embedding_size: int
    timestamp_embedding_size: int
    called_digest: str | None = None
    fingerprint: Fingerprint | None = None
    later_files: dict[str, str] = Field(default_factory=dict)
    revision: str | None = None

    def differences(self, digest: str, fingerprint: Fingerprint | None) -> list[str]:
        """In what it isn't the record of a model that has been called.

        Args:
            digest: Digest of the model and of what its function reads.
            fingerprint: What it makes of the signal; None if that isn't known.
        """
        if digest != (self.called_digest or self.digest):
            weights = f", weights {self.weights}" if self.weights else ""
            return [f"another model or checkpoint ({self.spec}{weights})"]
        known = self.fingerprint
        if fingerprint is not None and known is not None and not fingerprint.matches(known):
            return [f"another model ({self.spec}): it embeds a fixed signal differently now"]
        changed = changed_files(self.later_files)
        return [f"another model ({self.spec}): {changed[0]} isn't what it was"] if changed else []


class PerturbationRecord(Record):
    """How a task's audio was disturbed.

    Attributes:
        recipe: The perturbation, as ``reverb=0.6+noise=10``.
        training: Whether all clips were disturbed, and not only those that are scored.
    """

    recipe: str
    training: bool


class TaskRecord(GrownRecord):
    """Which task they are of.

    Attributes:
        name: ``<task>-<version>-<mode>``.
        digest: Digest of its content at the model's rate.
        perturbation: How its audio was disturbed; left out where it wasn't.
    """

    LATER: ClassVar[tuple[str, ...]] = ("perturbation",)

    name: str
    digest: str
    perturbation: PerturbationRecord | None = None

    @classmethod
    def of(cls, task: PreparedTask, sample_rate: int) -> TaskRecord:
        """A task as a model of a sample rate (in Hz) hears it."""
        made = task.disturbance
        how = made and PerturbationRecord(recipe=made.perturbation.recipe, training=made.training)
        return cls(name=task.name, digest=task.digest(sample_rate), perturbation=how)


class Manifest(GrownRecord):
    """All of a finished store; the last file that is written.

    Attributes:
        format_version: Version of the store's layout.
        hearbench_version: Version of hearbench that made the store.
        key: The digest by which the store's folder is named.
        kind: Kind of task, ``scene`` or ``event``.
        dtype: Type of the embeddings on disk.
        batch: Clips per batch in the reference evaluation; the shards say where there were more
            or fewer.
        model: The model.
        task: The task.
        device: Where the model ran; all of them where there were several.
        seconds: Wall-clock time of all shards.
        audio_s: Seconds of audio of all shards.
        peak_memory_mb: Most memory of a process that ran the model, in MiB; None where the system
            doesn't tell.
        peak_device_memory_mb: Most memory of one on the GPU, in MiB.
        shards: The shards, in the order of the task's splits and files.
        notes: Sentences on the model's inputs that a reader should know.
        what: Kind of the embeddings; None for that which the kind of task takes.
        layers: Numbers of the model's layers that are held, rising; empty where it is what the
            model's functions give by themselves.
    """

    LATER: ClassVar[tuple[str, ...]] = ("what", "layers")

    format_version: Literal[1] = 1
    hearbench_version: str
    key: str
    kind: Literal["scene", "event"]
    dtype: Dtype
    batch: int
    model: ModelRecord
    task: TaskRecord
    device: str
    seconds: float
    audio_s: float
    peak_memory_mb: float | None
    peak_device_memory_mb: float | None
    shards: tuple[ShardRecord, ...]
    notes: tuple[str, ...] = ()
    what: What | None = None
    layers: tuple[int, ...] = ()

    @property
    def task_type(self) -> TaskType:
        """The kind of task."""
        return task_type(self.kind)

    @property
    def embedded(self) -> Embedded:
        """The kind of embeddings."""
        return EMBEDDED[self.task_type] if self.what is None else EMBEDDINGS[self.what]

    @property
    def embedding_size(self) -> int:
        """Dimensions of one embedding of one layer."""
        return embedding_size(self.model, self.embedded.what)

    def layer(self, number: int) -> Manifest:
        """The same with one of its layers alone.

        Raises:
            EmbeddingError: It doesn't hold that layer.
        """
        if number not in self.layers:
            held = f"layers {', '.join(map(str, self.layers))}" if self.layers else "no layers"
            raise EmbeddingError(
                f"The embeddings of {self.task.name} by {self.model.name} hold {held}, and not "
                f"layer {number}.",
                code="not_found",
            )
        place = self.layers.index(number)
        shards = tuple(
            shard.model_copy(update={"embeddings": shard.layers[place], "layers": ()})
            for shard in self.shards
        )
        return self.model_copy(update={"layers": (), "shards": shards})

    @property
    def reduced_batch(self) -> int | None:
        """The fewest clips to which a shard's batches were reduced for want of memory, if any."""
        sizes = [s.reduced_batch for s in self.shards if s.reduced_batch is not None]
        return min(sizes, default=None)

    @property
    def enlarged_batch(self) -> int | None:
        """The most clips that were handed to the model at once, if more than `batch`."""
        sizes = [s.enlarged_batch for s in self.shards if s.enlarged_batch is not None]
        return max(sizes, default=None)

    @property
    def device_utilisation(self) -> float | None:
        """Mean share of the time in which the GPU was busy, over the shards of which it's known."""
        known = [
            (s.seconds, s.device_utilisation)
            for s in self.shards
            if s.device_utilisation is not None
        ]
        seconds = sum(own for own, _ in known)
        return sum(own * busy for own, busy in known) / seconds if seconds else None

    @property
    def content_digest(self) -> str:
        """Over the content of all shards: equal for equal embeddings, whenever they were made."""
        return digest_json([shard.content_digest for shard in self.shards])
