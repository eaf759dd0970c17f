"""Which clips share a batch and a shard, and reading them ahead of the model.

Conventions: batches and shards follow the order of the splits' files and never span two
splits. Their composition depends on the task, the sample rate and the size of an embedding
alone, since a model may let clips of a batch influence each other. Where a model doesn't, several
batches of a shard may be handed to it as one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.audio.decode import prepared_wav
from hearbench.embeddings.kinds import Wanted
from hearbench.errors import AudioError, EmbeddingError
from hearbench.tasks.store import PreparedTask

__all__ = [
    "Batch",
    "Shard",
    "aligned_copy",
    "batch_clips",
    "batches_of",
    "part_of",
    "plan_shards",
    "read_ahead",
    "read_batch",
]

# The most work that a kill can undo, and the most that is held before it is written.
_SHARD_AUDIO_S = 600.0
_SHARD_BYTES = 64 << 20
# Audio that waits for the model, beyond the two batches that always may.
_AHEAD_BYTES = 256 << 20
_LEAST_AHEAD = 2
# As torch aligns its own memory, so that a clip's embedding doesn't depend on where it lies.
_ALIGNMENT_BYTES = 64
_FULL_SCALE = 32768.0


@dataclass(frozen=True)
class Shard:
    """Consecutive clips of a split that are written together.

    Attributes:
        index: Number of the shard within its split, from 0.
        clips: File names, in file order.
        paths: Their audio at the model's rate.
        batch: Clips per batch.
    """

    split: str
    index: int
    clips: tuple[str, ...]
    paths: tuple[Path, ...]
    batch: int

    @property
    def name(self) -> str:
        """``<split>-<index>``, the beginning of its files' names."""
        return f"{self.split}-{self.index:05d}"


@dataclass(frozen=True)
class Batch:
    """Clips that are handed to the model together.

    Attributes:
        shard: The shard that they belong to.
        clips: File names, in file order.
        paths: Their audio at the model's rate.
        last: Whether the shard is complete with them.
    """

    shard: Shard
    clips: tuple[str, ...]
    paths: tuple[Path, ...]
    last: bool


def batch_clips(duration_s: float | None, sample_rate: int) -> int:
    """Clips per batch in the reference evaluation: 84 s at 16 kHz, 1 where durations vary.

    Args:
        duration_s: The duration that all clips share, or None.
        sample_rate: The model's sample rate in Hz.
    """
    if duration_s is None:
        return 1
    # The reference's order of operations: another one may round to another batch.
    return max(1, int(0.7 * 120 / duration_s * 16000 / sample_rate))


def plan_shards(
    task: PreparedTask, sample_rate: int, embedding_size: int, wanted: Wanted | None = None
) -> list[Shard]:
    """All shards of a task, in the order in which they are computed.

    Args:
        task: The task, with audio at that rate.
        sample_rate: The model's sample rate in Hz.
        embedding_size: Numbers per clip or frame, of all layers together.
        wanted: Which embeddings; by default those that the kind of task takes.
    """
    duration_s = task.metadata.sample_duration
    wanted = wanted or Wanted.of(task.task_type)
    embedded = wanted.embedded
    batch = batch_clips(duration_s, sample_rate)
    if wanted.batch is not None and duration_s is not None:
        batch = wanted.batch
    if duration_s is None:
        size = embedded.shard_clips
    else:
        bytes_per_clip = 4 * embedded.rows_of(duration_s) * embedding_size
        clips = min(_SHARD_AUDIO_S / duration_s, _SHARD_BYTES / bytes_per_clip)
        size = batch * max(1, int(clips / batch))
    shards = []
    for split, files in task.splits.items():
        names, paths = tuple(files), tuple(task.audio_paths(split, sample_rate))
        for index, first in enumerate(range(0, len(names), size)):
            part = slice(first, first + size)
            shards.append(Shard(split, index, names[part], paths[part], batch))
    return shards


def batches_of(shards: Iterable[Shard], times: int = 1) -> Iterator[Batch]:
    """The batches of shards, in order.

    Args:
        times: How many of a shard's batches are put together.
    """
    for shard in shards:
        size = shard.batch * times
        for first in range(0, len(shard.clips), size):
            part = slice(first, first + size)
            last = first + size >= len(shard.clips)
            yield Batch(shard, shard.clips[part], shard.paths[part], last)


def part_of(batch: Batch, first: int, count: int) -> Batch:
    """Consecutive clips of a batch as a batch of their own.

    Args:
        batch: The whole.
        first: Position of the first of them.
    """
    part = slice(first, first + count)
    last = batch.last and first + count >= len(batch.clips)
    return Batch(batch.shard, batch.clips[part], batch.paths[part], last)


def read_ahead(
    batches: Iterable[Batch], sample_rate: int, *, workers: int
) -> Generator[tuple[Batch, npt.NDArray[np.float32]], None, None]:
    """Reads batches in threads while earlier ones are used.

    A batch is begun only when fewer than ``workers + 2`` wait, and, beyond two, when those
    that wait take less than 256 MB.

    Args:
        batches: The batches, in the order in which they are wanted.
        sample_rate: Sample rate in Hz that the files must have.
        workers: Threads.

    Yields:
        Each batch with its audio (n_clips, n_samples), float32, which the caller may change.

    Raises:
        EmbeddingError: A clip can't be read, or clips of a batch differ in length.
    """
    waiting: deque[tuple[Batch, int, Future[npt.NDArray[np.float32]]]] = deque()
    source = iter(batches)
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="hearbench-read")
    try:
        while True:
            while _room(waiting, workers) and (batch := next(source, None)) is not None:
                future = pool.submit(read_batch, batch, sample_rate)
                waiting.append((batch, _bytes_of(batch), future))
            if not waiting:
                return
            batch, _, future = waiting.popleft()
            yield batch, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _room(waiting: deque[tuple[Batch, int, Future[npt.NDArray[np.float32]]]], workers: int) -> bool:
    if len(waiting) < _LEAST_AHEAD:
        return True
    if len(waiting) >= workers + _LEAST_AHEAD:
        return False
    return sum(size for _, size, _ in waiting) < _AHEAD_BYTES


def _bytes_of(batch: Batch) -> int:
    # Two bytes per sample on disk, four in memory; clips of a batch are of one length. A file
    # that is missing is reported when it is read.
    first = batch.paths[0]
    return 2 * first.stat().st_size * len(batch.paths) if first.exists() else 0


def read_batch(batch: Batch, sample_rate: int) -> npt.NDArray[np.float32]:
    """The audio of a batch (n_clips, n_samples), float32 in [-1, 1].

    Args:
        sample_rate: Sample rate in Hz that the files must have.

    Raises:
        EmbeddingError: A clip can't be read, or clips of the batch differ in length.
    """
    audio: npt.NDArray[np.float32] | None = None
    for row, path in enumerate(batch.paths):
        x = _samples(batch, row, path, sample_rate)
        if audio is None:
            audio = _aligned(len(batch.paths), len(x))
        if len(x) != audio.shape[1]:
            raise _length_error(batch, sample_rate)
        # As read_float32, without its arrays in between.
        audio[row] = x
        audio[row] *= np.float32(1 / _FULL_SCALE)
    if audio is None:
        raise EmbeddingError(f"A batch of {batch.shard.name} has no clips.")
    return audio


def _samples(batch: Batch, row: int, path: Path, sample_rate: int) -> npt.NDArray[np.int16]:
    place = f"{batch.shard.split}/{batch.clips[row]} can't be embedded"
    try:
        with path.open("rb", buffering=0) as file:
            x, rate = prepared_wav(path, file.read())
    except (AudioError, OSError) as error:
        raise EmbeddingError(f"{place}: {error}") from error
    if rate != sample_rate:
        raise EmbeddingError(f"{place}: {path} has {rate} Hz and should have {sample_rate} Hz.")
    return x


def _length_error(batch: Batch, sample_rate: int) -> EmbeddingError:
    lengths = [len(_samples(batch, row, path, sample_rate)) for row, path in enumerate(batch.paths)]
    usual, _ = Counter(lengths).most_common(1)[0]
    odd = [
        f"{batch.shard.split}/{name} has {length}"
        for name, length in zip(batch.clips, lengths, strict=True)
        if length != usual
    ]
    return EmbeddingError(
        f"Clips of a task with a fixed duration differ in length: {', '.join(odd[:3])} samples at "
        f"{sample_rate} Hz where others have {usual}. Prepare the task again, or set its "
        "sample_duration to null."
    )


def aligned_copy(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A copy that lies in memory as a batch that was read does."""
    copy = _aligned(*audio.shape)
    copy[...] = audio
    return copy


def _aligned(rows: int, columns: int) -> npt.NDArray[np.float32]:
    buffer = np.empty(4 * rows * columns + _ALIGNMENT_BYTES, dtype=np.uint8)
    first = -buffer.ctypes.data % _ALIGNMENT_BYTES
    return buffer[first : first + 4 * rows * columns].view(np.float32).reshape(rows, columns)
