"""One pass of a model over shards: batch by batch, checked, and written shard by shard."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.amounts import duration
from hearbench.embeddings.align import check_timestamps
from hearbench.embeddings.batch_size import are_alike, ran_out_of_memory, times_larger
from hearbench.embeddings.batches import (
    Batch,
    Shard,
    aligned_copy,
    batches_of,
    part_of,
    read_ahead,
    read_batch,
)
from hearbench.embeddings.gpu_meter import GpuMeter
from hearbench.embeddings.kinds import Wanted, What
from hearbench.embeddings.manifest import ShardRecord
from hearbench.embeddings.shards import finished_records, write_shard
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.model import Model
from hearbench.progress import Update
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace

__all__ = ["Run"]


def _pace(clips: int, left: int, audio_s: float, seconds: float) -> str:
    """How fast it goes, as ``20 s left, 4.9 clips/s, 10x realtime``.

    Args:
        clips: Done so far, in this run.
        left: Clips to come.
        audio_s: Seconds of audio that were embedded.
        seconds: The time that took, above 0.
    """
    rate = clips / seconds
    return f"{duration(left / rate)} left, {rate:.1f} clips/s, {audio_s / seconds:.0f}x realtime"


@dataclass
class _Rows:
    """What the model gave for the clips of one shard so far."""

    embeddings: list[npt.NDArray[np.floating]] = field(default_factory=list)
    timestamps: list[npt.NDArray[np.float32]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    audio_s: float = 0.0
    reduced_batch: int | None = None
    most_at_once: int = 0

    def extend(self, more: _Rows) -> None:
        """Adds what the model gave for the clips that follow."""
        self.embeddings += more.embeddings
        self.timestamps += more.timestamps
        self.frames += more.frames
        self.reduced_batch = more.reduced_batch or self.reduced_batch
        self.most_at_once = max(self.most_at_once, more.most_at_once)

    def is_alike(self, other: _Rows, clips: int) -> bool:
        """Whether they are the same for the same clips, but for rounding."""
        ours, theirs = (
            [np.concatenate(part) for part in (rows.embeddings, rows.timestamps) if part]
            for rows in (self, other)
        )
        return all(are_alike(a, b, clips) for a, b in zip(ours, theirs, strict=True))


class Run:
    """One pass over shards, of which those that are finished are left alone.

    On a GPU with much memory the model gets several of the reference's batches at once, as long
    as it gives the same embeddings for that: the first such batch is computed both ways, and if
    clips of a batch influence each other, all others are those of the reference.

    Where the model runs out of memory on a batch, it gets half as many clips at a time from then
    on. The embeddings of a model whose clips don't influence each other stay as they are, but for
    rounding; the shards' records say where it happened.

    Args:
        task: The task, with audio at the model's rate.
        folder: The store's ``shards/``.
        shards: The task's shards, in the order in which they are computed.
        wanted: Which embeddings.
        workspace: Threads, where it is remembered what files hold, and who shows progress.
    """

    def __init__(
        self,
        model: Model,
        task: PreparedTask,
        folder: Path,
        shards: Sequence[Shard],
        wanted: Wanted,
        workspace: Workspace,
    ) -> None:
        self.model = model
        self.task = task
        self.folder = folder
        self.shards = shards
        self.wanted = wanted
        self.workspace = workspace
        adding: dict[What, Callable[[Batch, npt.NDArray[np.float32], _Rows], None]] = {
            "scene": self._scene,
            "timestamp": self._timestamps,
        }
        self.add = adding[wanted.what]
        self.total = sum(len(shard.clips) for shard in shards)
        self.reference = max((shard.batch for shard in shards), default=1)
        # Clips that keep their lengths can't share a batch.
        together = task.metadata.sample_duration is not None
        self.times = times_larger(model.device) if together else 1
        self.most_clips = self.times * self.reference
        self.compared = self.times == 1

    def compute(self) -> list[ShardRecord]:
        """Computes what is missing; all records in order."""
        records = finished_records(self.folder, self.shards, self.workspace)
        pending = [shard for shard in self.shards if shard.name not in records]
        title = f"{self.task.title}: embedding with {self.model.name}"
        stage = self.workspace.progress.stage(title, "clips", self.total)
        with ThreadPoolExecutor(1, thread_name_prefix="hearbench-write") as writer, stage as update:
            writing: Future[ShardRecord] | None = None
            for shard, rows, stats in self._finished_rows(pending, update):
                # At most one shard waits to be written while the next is computed.
                if writing is not None:
                    records[writing.result().shard_name] = writing.result()
                writing = writer.submit(self._write, shard, rows, stats)
            if writing is not None:
                records[writing.result().shard_name] = writing.result()
        return [records[shard.name] for shard in self.shards]

    def _finished_rows(
        self, pending: list[Shard], update: Update
    ) -> Iterator[tuple[Shard, _Rows, dict[str, Any]]]:
        clips = before = self.total - sum(len(shard.clips) for shard in pending)
        audio_s = 0.0
        begun = shard_begun = time.perf_counter()
        update(clips)
        rows = _Rows()
        # Half of the threads: on a CPU the model wants the cores, too.
        workers = max(1, self.workspace.workers // 2)
        reader = read_ahead(
            batches_of(pending, self.times), self.model.sample_rate, workers=workers
        )
        with closing(reader) as batches, GpuMeter(self.model.device) as meter:
            for batch, audio in batches:
                batch_s = audio.size / self.model.sample_rate
                self._embed(batch, audio, rows)
                rows.audio_s += batch_s
                now = time.perf_counter()
                if batch.last:
                    yield batch.shard, rows, self._stats(rows, now - shard_begun, meter)
                    rows, shard_begun = _Rows(), now
                clips, audio_s = clips + len(batch.clips), audio_s + batch_s
                pace = _pace(clips - before, self.total - clips, audio_s, now - begun)
                update(clips, text=pace)

    def _stats(self, rows: _Rows, seconds: float, meter: GpuMeter) -> dict[str, Any]:
        """How a shard was computed, as fields of its record."""
        memory = self.model.engine.memory()
        return {
            "audio_s": rows.audio_s,
            "seconds": seconds,
            "reduced_batch": rows.reduced_batch,
            "enlarged_batch": rows.most_at_once if rows.most_at_once > self.reference else None,
            "device_utilisation": meter.take(),
            "device": self.model.device,
            "peak_memory_mb": memory.resident_mb,
            "peak_device_memory_mb": memory.device_mb,
            "later_files": self.model.later_files(
                self.wanted.called, layers=bool(self.wanted.layers)
            ),
        }

    def _embed(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        if self.compared or len(batch.clips) <= self.reference:
            self._embed_parts(batch, audio, rows)
            return
        enlarged, plain = _Rows(), _Rows()
        self._embed_parts(batch, audio, enlarged)
        most = self.most_clips
        if enlarged.most_at_once > self.reference:
            self.most_clips = min(most, self.reference)
            # The model may have written into the audio.
            audio = read_batch(batch, self.model.sample_rate)
            self._embed_parts(batch, audio, plain)
            if enlarged.is_alike(plain, len(batch.clips)):
                self.most_clips = most
            else:
                enlarged = plain
        self.compared = True
        rows.extend(enlarged)

    def _embed_parts(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        """Hands a batch to the model, in parts if the whole is too much for it."""
        first, total = 0, len(batch.clips)
        while first < total:
            count = min(self.most_clips, total - first)
            if count == total:
                fits = self._fits(batch, audio, rows)
            else:
                own = aligned_copy(audio[first : first + count])
                fits = self._fits(part_of(batch, first, count), own, rows)
                if self.most_clips < self.reference:
                    rows.reduced_batch = self.most_clips
            if fits:
                first += count
                rows.most_at_once = max(rows.most_at_once, count)
                continue
            self.most_clips = self._fewer(count)
            gc.collect()
            if count == total:
                # The model may have written into it before it gave up.
                audio = read_batch(batch, self.model.sample_rate)

    def _fewer(self, count: int) -> int:
        """Half as many clips; above the reference's batch, whole ones of these."""
        half = (count + 1) // 2
        if count <= self.reference:
            return half
        return max(1, half // self.reference) * self.reference

    def _fits(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> bool:
        """Adds a batch's embeddings; False if memory was too small and fewer clips may do.

        It returns before the next attempt is made since an error keeps alive what was in memory.
        """
        try:
            self._add(batch, audio, rows)
        except (ModelError, MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            if len(batch.clips) == 1:
                raise EmbeddingError(
                    f"{self._place(batch)}: {self.model.name} runs out of memory on this one "
                    f"clip of {audio.shape[1] / self.model.sample_rate:.1f} s. Use a device with "
                    f"more memory, or the CPU.\n{error}"
                ) from error
            return False
        return True

    def _add(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        try:
            self.add(batch, audio, rows)
        except (EmbeddingError, ModelError) as error:
            raise type(error)(f"{self._place(batch)}: {error}") from error

    def _scene(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        layers = list(self.wanted.layers)
        embeddings = (
            self.model.scene_layers(audio)[:, layers] if layers else self.model.scene(audio)
        )
        self._check_finite(batch, embeddings, "embedding")
        rows.embeddings.append(self._rounded(batch, embeddings))

    def _timestamps(self, batch: Batch, audio: npt.NDArray[np.float32], rows: _Rows) -> None:
        layers = list(self.wanted.layers)
        if layers:
            every, centres_ms = self.model.timestamp_layers(audio)
            embeddings = every[:, layers].swapaxes(1, 2)
        else:
            embeddings, centres_ms = self.model.timestamps(audio)
        if embeddings.shape[1] == 0:
            raise EmbeddingError(
                f"{self.model.name} gives no frames for "
                f"{audio.shape[1]} samples; it should give one at least."
            )
        self._check_finite(batch, embeddings, "embedding")
        self._check_finite(batch, centres_ms, "timestamps")
        duration_ms = 1000.0 * audio.shape[1] / self.model.sample_rate
        for clip, times in zip(batch.clips, centres_ms, strict=True):
            self._check_times(clip, times, duration_ms)
        frames = self._rounded(batch, embeddings)
        rows.embeddings.append(frames.reshape(-1, *frames.shape[2:]))
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
        if self.wanted.dtype == "float32":
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
        return f"{self.task.title}, {batch.shard.split}/{batch.clips[0]}{others}"

    def _write(self, shard: Shard, rows: _Rows, stats: dict[str, Any]) -> ShardRecord:
        try:
            return write_shard(
                self.folder,
                shard,
                np.concatenate(rows.embeddings),
                np.concatenate(rows.timestamps) if rows.timestamps else None,
                tuple(rows.frames) if rows.timestamps else None,
                **stats,
            )
        except OSError as error:
            raise EmbeddingError(
                f"{error.filename or self.folder} can't be written: {error.strerror}. What is "
                "written already will be used.",
                code="io",
            ) from error
