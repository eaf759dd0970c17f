"""Scene embeddings of a store, read a few at a time.

By plain reads: pages of a memory map would count as memory of the process.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.array_file import ArrayFile, array_file
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.tasks.task_type import SCENE

__all__ = ["SceneRows", "scene_rows"]


@dataclass(frozen=True)
class SceneRows:
    """The embeddings of a split's clips on disk.

    Attributes:
        shards: The files in their order.
        size: Numbers per embedding.
    """

    shards: Sequence[ArrayFile]
    size: int

    def __len__(self) -> int:
        return sum(shard.shape[0] for shard in self.shards)

    def read(self, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings (n, size) of the clips at some positions (n,), in that order.

        Raises:
            EmbeddingError: A file can't be read or is cut off.
        """
        result = np.empty((len(clips), self.size), dtype=np.float32)
        order = np.argsort(clips, kind="stable")
        ordered = clips[order]
        first = 0
        for shard in self.shards:
            start, stop = np.searchsorted(ordered, [first, first + shard.shape[0]])
            if stop > start:
                result[order[start:stop]] = self._read(shard, ordered[start:stop] - first)
            first += shard.shape[0]
        return result

    def _read(self, shard: ArrayFile, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
        row_bytes = self.size * shard.dtype.itemsize
        found = np.empty((len(rows), self.size), dtype=shard.dtype)
        # Neighbours on disk are read at once.
        cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        try:
            with shard.path.open("rb", buffering=0) as file:
                for start, stop in itertools.pairwise(cuts):
                    file.seek(shard.offset + int(rows[start]) * row_bytes)
                    count = file.readinto(found[start:stop].view(np.uint8).data.cast("B"))
                    if count != (stop - start) * row_bytes:
                        raise EmbeddingError(
                            f"{shard.path} is cut off: {count} bytes could be read where "
                            f"{(stop - start) * row_bytes} are expected. "
                            "Embedding again computes what is damaged.",
                            code="damaged",
                        )
        except OSError as error:
            raise EmbeddingError(
                f"{shard.path} can't be read ({error}). Embedding again computes what is damaged.",
                code="damaged",
            ) from error
        return found


def scene_rows(store: EmbeddingStore, split: str) -> SceneRows:
    """The clips of a scene task's split, in the order of its file.

    Raises:
        EmbeddingError: It is an event task, or a file can't be read.
    """
    store.require(SCENE)
    size = store.manifest.model.scene_embedding_size
    shards = []
    for shard in store.manifest.shards:
        if shard.split != split:
            continue
        array = array_file(store, shard.embeddings)
        shape = (len(shard.clips), size)
        if array.shape != shape:
            raise EmbeddingError(
                f"{array.path} holds {array.shape} and should hold {shape}. "
                "Embedding again computes what is damaged.",
                code="damaged",
            )
        shards.append(array)
    return SceneRows(shards, size)
