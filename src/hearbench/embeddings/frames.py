"""Frames of a store, read piece by piece.

A store of timestamp embeddings can be far larger than memory, and one clip of it can be a
gigabyte. Here any range of a clip's frames is read on its own, by plain reads: pages of a
memory map would count as memory of the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.array_file import array_file, read_array
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.tasks.task_type import EVENT

__all__ = ["ClipFrames", "clip_frames"]


@dataclass(frozen=True)
class ClipFrames:
    """The frames of one clip on disk.

    Attributes:
        clip: File name.
        timestamps_ms: (n_frames,) float64 centres.
        path: The ``.npy`` file that holds the embeddings.
        dtype: On disk.
        offset: Position of the first frame, in bytes.
        size: Numbers per frame.
    """

    clip: str
    timestamps_ms: npt.NDArray[np.float64]
    path: Path
    dtype: np.dtype[np.floating]
    offset: int
    size: int

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """The embeddings (stop - start, size) of a range of frames.

        Raises:
            EmbeddingError: The file is cut off or gone.
        """
        count = (stop - start) * self.size
        place = self.offset + start * self.size * self.dtype.itemsize
        try:
            numbers = np.fromfile(self.path, dtype=self.dtype, count=count, offset=place)
        except OSError as error:
            raise EmbeddingError(
                f"{self.path} can't be read ({error}). Embedding again computes what is damaged.",
                code="damaged",
            ) from error
        if len(numbers) != count:
            raise EmbeddingError(
                f"{self.path} is cut off: {count} numbers are expected at byte {place}, "
                f"{len(numbers)} are there. Embedding again computes what is damaged.",
                code="damaged",
            )
        return numbers.reshape(stop - start, self.size).astype(np.float32, copy=False)


def clip_frames(store: EmbeddingStore, split: str) -> list[ClipFrames]:
    """The clips of an event task's split, in the order of its file.

    Raises:
        EmbeddingError: It is a scene task, or a file can't be read.
    """
    store.require(EVENT)
    size = store.manifest.model.timestamp_embedding_size
    found = []
    for shard in store.manifest.shards:
        if shard.split != split or shard.frames is None or shard.timestamps is None:
            continue
        times = read_array(store, shard.timestamps).astype(np.float64)
        array = array_file(store, shard.embeddings)
        first = 0
        for clip, n_frames in zip(shard.clips, shard.frames, strict=True):
            found.append(
                ClipFrames(
                    clip=clip,
                    timestamps_ms=times[first : first + n_frames],
                    path=array.path,
                    dtype=array.dtype,
                    offset=array.offset + first * size * array.dtype.itemsize,
                    size=size,
                )
            )
            first += n_frames
    return found
