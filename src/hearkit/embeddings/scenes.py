"""Scene embeddings of a store, read a few at a time.

By plain reads: pages of a memory map would count as memory of the process.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearkit.embeddings.store import SHARDS, EmbeddingStore
from hearkit.errors import EmbeddingError

__all__ = ["SceneRows", "scene_rows"]


@dataclass(frozen=True)
class _Shard:
    """Some clips' embeddings in one file.

    Attributes:
        path: Of the ``.npy`` file.
        dtype: On disk.
        offset: Of the first embedding, in bytes.
        n_clips: How many there are.
    """

    path: Path
    dtype: np.dtype[np.floating]
    offset: int
    n_clips: int


@dataclass(frozen=True)
class SceneRows:
    """The embeddings of a split's clips on disk.

    Attributes:
        shards: The files in their order.
        size: Numbers per embedding.
    """

    shards: Sequence[_Shard]
    size: int

    def __len__(self) -> int:
        return sum(shard.n_clips for shard in self.shards)

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
            start, stop = np.searchsorted(ordered, [first, first + shard.n_clips])
            if stop > start:
                result[order[start:stop]] = self._read(shard, ordered[start:stop] - first)
            first += shard.n_clips
        return result

    def _read(self, shard: _Shard, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
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
                            f"Delete {shard.path.parent.parent} and embed again."
                        )
        except OSError as error:
            raise EmbeddingError(
                f"{shard.path} can't be read ({error}). "
                f"Delete {shard.path.parent.parent} and embed again."
            ) from error
        return found


def scene_rows(store: EmbeddingStore, split: str) -> SceneRows:
    """The clips of a scene task's split, in the order of its file.

    Raises:
        EmbeddingError: It is an event task, or a file can't be read.
    """
    if store.manifest.kind != "scene":
        raise EmbeddingError(f"{store.task.name} is an event task; its store has no scenes.")
    size = store.manifest.model.scene_embedding_size
    shards = []
    for shard in store.manifest.shards:
        if shard.split != split:
            continue
        path = store.folder / SHARDS / shard.embeddings.name
        try:
            mapped = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise EmbeddingError(
                f"{path} can't be read ({error}). Delete {store.folder} and embed again."
            ) from error
        shape = (len(shard.clips), size)
        if mapped.shape != shape:
            raise EmbeddingError(
                f"{path} holds {mapped.shape} and should hold {shape}. "
                f"Delete {store.folder} and embed again."
            )
        shards.append(_Shard(path, mapped.dtype, mapped.offset, len(shard.clips)))
    return SceneRows(shards, size)
