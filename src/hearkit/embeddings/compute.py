"""From a model and a task to a store of embeddings, resumable shard by shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, get_args

import numpy as np
import numpy.typing as npt

from hearkit._version import __version__
from hearkit.digest import digest_json, short
from hearkit.embeddings.align import check_timestamps
from hearkit.embeddings.batches import (
    Batch,
    Shard,
    batch_clips,
    batches_of,
    plan_shards,
    read_ahead,
)
from hearkit.embeddings.manifest import (
    FORMAT_VERSION,
    Dtype,
    Manifest,
    ModelRecord,
    ShardRecord,
    TaskRecord,
)
from hearkit.embeddings.shards import finished_record, write_shard
from hearkit.embeddings.store import MANIFEST, SHARDS, EmbeddingStore
from hearkit.errors import EmbeddingError, ModelError
from hearkit.files import write_text
from hearkit.models.protocol import Model
from hearkit.settings import Settings
from hearkit.tasks.store import PreparedTask, with_rate

__all__ = ["EmbedProgress", "Progress", "embed", "store_folder"]


@dataclass(frozen=True)
class EmbedProgress:
    """How far a run is.

    Attributes:
        clips_done: Clips whose embeddings are there, of earlier runs included.
        clips_total: Clips of the task.
        clips_before: Clips that earlier runs had finished.
        audio_s: Seconds of audio that this run has embedded.
        seconds: Wall-clock time of this run.
    """

    clips_done: int
    clips_total: int
    clips_before: int
    audio_s: float
    seconds: float

    @property
    def clips_per_s(self) -> float:
        """Clips per second in this run; 0 at its beginning."""
        return (self.clips_done - self.clips_before) / self.seconds if self.seconds else 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio per second in this run; 0 at its beginning."""
        return self.audio_s / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at this pace; None at the beginning."""
        rate = self.clips_per_s
        return (self.clips_total - self.clips_done) / rate if rate else None


class Progress(Protocol):
    """What ``embed`` tells about itself: once at the beginning and after every batch."""

    def __call__(self, state: EmbedProgress, /) -> None:
        """Shows a state."""
        ...


def embed(
    model: Model,
    task: PreparedTask,
    *,
    settings: Settings | None = None,
    dtype: Dtype = "float32",
    progress: Progress | None = None,
) -> EmbeddingStore:
    """Computes the embeddings of all clips of a task, or finds them in the cache.

    Scene tasks take scene embeddings, event tasks timestamp embeddings. Clips are batched as in
    the reference evaluation, in file order. A run that was stopped goes on after the last shard
    that it finished; of several runs at once the first to finish counts.

    Args:
        model: The model; only the one function that the kind of task needs is called.
        task: The task; audio at the model's rate is made where it isn't there.
        settings: Default: from the environment.
        dtype: Of the embeddings on disk; they are computed and handed out in float32.
        progress: Is told of every batch.

    Raises:
        EmbeddingError: A clip can't be read, or its embedding has another shape than the model
            promises, NaN or infinity (also after rounding to float16). The message names the
            clip. Or: finished embeddings in the cache are damaged.
        ModelError: The model's own code fails.
        TaskError: The audio can't be resampled.
    """
    if dtype not in get_args(Dtype):
        raise EmbeddingError(f"Embeddings are stored as {' or '.join(get_args(Dtype))}: {dtype!r}.")
    settings = settings or Settings.from_environment()
    task = with_rate(task, model.sample_rate, settings=settings)
    key = _key(model, task, dtype)
    folder = _folder(model, task, key, settings)
    if (folder / MANIFEST).is_file():
        return EmbeddingStore.open(folder, task)
    model.engine.guard([task.folder, settings.cache_dir])
    run = _Run(model, task, folder, dtype, settings.workers, progress)
    records = run.compute()
    # Another process may have finished the same while this one worked; its manifest stands.
    if not (folder / MANIFEST).is_file():
        manifest = _manifest(model, task, key, dtype, records)
        write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
    return EmbeddingStore.open(folder, task)


def store_folder(
    model: Model, task: PreparedTask, *, settings: Settings, dtype: Dtype = "float32"
) -> Path:
    """Where the embeddings of a model of a task are or would be."""
    return _folder(model, task, _key(model, task, dtype), settings)


def _key(model: Model, task: PreparedTask, dtype: Dtype) -> str:
    return digest_json(
        {
            "format_version": FORMAT_VERSION,
            "task": task.digest(model.sample_rate),
            "model": model.digest,
            "kind": task.kind,
            "dtype": dtype,
        }
    )


def _folder(model: Model, task: PreparedTask, key: str, settings: Settings) -> Path:
    return settings.cache_dir / "embeddings" / task.name / model.name / short(key)


@dataclass
class _Rows:
    """What the model gave for the clips of one shard so far."""

    embeddings: list[npt.NDArray[np.floating]] = field(default_factory=list)
    timestamps: list[npt.NDArray[np.float32]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    audio_s: float = 0.0


class _Run:
    """One pass over the shards that aren't finished yet."""

    def __init__(
        self,
        model: Model,
        task: PreparedTask,
        folder: Path,
        dtype: Dtype,
        workers: int,
        progress: Progress | None,
    ) -> None:
        self.model = model
        self.task = task
        self.folder = folder / SHARDS
        self.dtype = dtype
        self.workers = workers
        self.progress = progress
        # The one place that tells the kinds of task apart.
        kinds: dict[str, tuple[int, Callable[[Batch, npt.NDArray[np.float32], _Rows], None]]] = {
            "scene": (model.scene_embedding_size, self._scene),
            "event": (model.timestamp_embedding_size, self._event),
        }
        size, self.add = kinds[task.kind]
        self.shards = plan_shards(task, model.sample_rate, size)
        self.total = sum(len(shard.clips) for shard in self.shards)

    def compute(self) -> list[ShardRecord]:
        """Computes what is missing; all records in order."""
        records = {shard.name: finished_record(self.folder, shard) for shard in self.shards}
        pending = [shard for shard in self.shards if records[shard.name] is None]
        with ThreadPoolExecutor(1, thread_name_prefix="hearkit-write") as writer:
            writing: Future[ShardRecord] | None = None
            for shard, rows, seconds in self._finished_rows(pending):
                # At most one shard waits to be written while the next is computed.
                if writing is not None:
                    records[writing.result().shard_name] = writing.result()
                writing = writer.submit(self._write, shard, rows, seconds)
            if writing is not None:
                records[writing.result().shard_name] = writing.result()
        return [record for record in records.values() if record is not None]

    def _finished_rows(self, pending: list[Shard]) -> Iterator[tuple[Shard, _Rows, float]]:
        clips = before = self.total - sum(len(shard.clips) for shard in pending)
        audio_s = 0.0
        begun = shard_begun = time.perf_counter()
        self._tell(clips, before, audio_s, 0.0)
        rows = _Rows()
        # Half of the threads: on a CPU the model wants the cores, too.
        workers = max(1, self.workers // 2)
        reader = read_ahead(batches_of(pending), self.model.sample_rate, workers=workers)
        with closing(reader) as batches:
            for batch, audio in batches:
                batch_s = audio.size / self.model.sample_rate
                self._add(batch, audio, rows)
                rows.audio_s += batch_s
                now = time.perf_counter()
                if batch.last:
                    yield batch.shard, rows, now - shard_begun
                    rows, shard_begun = _Rows(), now
                clips, audio_s = clips + len(batch.clips), audio_s + batch_s
                self._tell(clips, before, audio_s, now - begun)

    def _tell(self, clips: int, before: int, audio_s: float, seconds: float) -> None:
        if self.progress is not None:
            self.progress(EmbedProgress(clips, self.total, before, audio_s, seconds))

    def _add(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        try:
            self.add(batch, audio, rows)
        except (EmbeddingError, ModelError) as error:
            raise type(error)(f"{self._place(batch)}: {error}") from error

    def _scene(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        embeddings = self.model.scene(audio)
        self._check_finite(batch, embeddings, "embedding")
        rows.embeddings.append(self._rounded(batch, embeddings))

    def _event(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        embeddings, centres_ms = self.model.timestamps(audio)
        if embeddings.shape[1] == 0:
            raise EmbeddingError(
                f"get_timestamp_embeddings of {self.model.name} gives no frames for "
                f"{audio.shape[1]} samples; it should give one at least."
            )
        self._check_finite(batch, embeddings, "embedding")
        self._check_finite(batch, centres_ms, "timestamps")
        duration_ms = 1000.0 * audio.shape[1] / self.model.sample_rate
        for clip, times in zip(batch.clips, centres_ms, strict=True):
            self._check_times(clip, times, duration_ms)
        rows.embeddings.append(self._rounded(batch, embeddings).reshape(-1, embeddings.shape[2]))
        rows.timestamps.append(centres_ms.reshape(-1))
        rows.frames.extend([embeddings.shape[1]] * len(batch.clips))

    def _check_times(
        self, clip: str, centres_ms: npt.NDArray[np.float32], duration_ms: float
    ) -> None:
        try:
            check_timestamps(centres_ms, duration_ms)
        except EmbeddingError as error:
            raise EmbeddingError(f"{clip} by {self.model.name}: {error}") from error

    def _check_finite(self, batch: Batch, values: npt.NDArray[np.floating], what: str) -> None:
        # A sum is finite only if all its terms are, and is the cheaper look; it may overflow,
        # so it only decides whether to look closely.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(values.sum(dtype=np.float32)):
                return
        for clip, row in zip(batch.clips, values, strict=True):
            bad = ~np.isfinite(row)
            if bad.any():
                first = tuple(int(i) for i in np.argwhere(bad)[0])
                raise EmbeddingError(
                    f"the {what} of {clip} holds {int(np.isnan(row).sum())} NaN and "
                    f"{int(np.isinf(row).sum())} infinite of {row.size} numbers, the first at "
                    f"{first}. {self.model.name} can't be evaluated on this clip; look at its "
                    "audio (is it silent?) and at the model."
                )

    def _rounded(
        self, batch: Batch, embeddings: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.floating]:
        if self.dtype == "float32":
            return embeddings
        with np.errstate(over="ignore"):
            half = embeddings.astype(np.float16)
        for clip, row, exact in zip(batch.clips, half, embeddings, strict=True):
            if np.isinf(row).any():
                raise EmbeddingError(
                    f"the embedding of {clip} reaches {float(np.abs(exact).max()):.6g}, beyond "
                    "float16 (65504). Store this model's embeddings as float32."
                )
        return half

    def _place(self, batch: Batch) -> str:
        others = f" (and {len(batch.clips) - 1} clips after it)" if len(batch.clips) > 1 else ""
        return f"{self.task.name}, {batch.shard.split}/{batch.clips[0]}{others}"

    def _write(self, shard: Shard, rows: _Rows, seconds: float) -> ShardRecord:
        try:
            return write_shard(
                self.folder,
                shard,
                np.concatenate(rows.embeddings),
                np.concatenate(rows.timestamps) if rows.timestamps else None,
                tuple(rows.frames) if rows.timestamps else None,
                audio_s=rows.audio_s,
                seconds=seconds,
            )
        except OSError as error:
            raise EmbeddingError(
                f"{self.folder} can't be written to: {error}. Make room, or set HEARKIT_CACHE to a "
                "folder that has it; what is written already will be used."
            ) from error


def _manifest(
    model: Model,
    task: PreparedTask,
    key: str,
    dtype: Dtype,
    records: list[ShardRecord],
) -> Manifest:
    memory = model.engine.memory()
    return Manifest(
        hearkit_version=__version__,
        key=key,
        kind=task.kind,
        dtype=dtype,
        batch=batch_clips(task.metadata.sample_duration, model.sample_rate),
        model=ModelRecord(
            name=model.name,
            spec=model.spec,
            weights=None if model.weights is None else str(model.weights),
            weights_digest=model.weights_digest,
            source_digest=model.source_digest,
            options=dict(model.options),
            digest=model.digest,
            sample_rate=model.sample_rate,
            scene_embedding_size=model.scene_embedding_size,
            timestamp_embedding_size=model.timestamp_embedding_size,
        ),
        task=TaskRecord(name=task.name, digest=task.digest(model.sample_rate)),
        device=model.device,
        seconds=sum(record.seconds for record in records),
        audio_s=sum(record.audio_s for record in records),
        peak_memory_mb=memory.resident_mb,
        peak_device_memory_mb=memory.device_mb,
        shards=tuple(records),
    )
