"""Embeddings of a store, read a few at a time: those of clips, or ranges of a clip's frames.

A store can be far larger than memory, and so can one clip's frames. What is read, is read by plain
reads: pages of a memory map would count as memory of the process.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.manifest import FileRecord
from hearbench.embeddings.store import SHARDS, EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.files import read_npy

__all__ = [
    "ArrayFile",
    "ClipFrames",
    "LayerFrames",
    "LayerRows",
    "SceneRows",
    "array_file",
    "clip_frames",
    "layer_frames",
    "layer_rows",
    "read_array",
    "scene_rows",
]

_DTYPES = (np.float16, np.float32)


@dataclass(frozen=True)
class ArrayFile:
    """An array on disk.

    Attributes:
        offset: Position of the first number, in bytes.
    """

    path: Path
    dtype: np.dtype[np.floating]
    offset: int
    shape: tuple[int, ...]


def array_file(store: EmbeddingStore, file: FileRecord) -> ArrayFile:
    """One of a store's arrays, of which only the header is read.

    Raises:
        EmbeddingError: It can't be read, or has other numbers than a store has.
    """
    path = store.folder / SHARDS / file.name
    array = _read(path, mmap=True)
    # Those who read parts by bytes count rows one after the other.
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous:
        raise _unreadable(path, "its numbers don't lie row by row")
    return ArrayFile(path, array.dtype, array.offset, array.shape)


def read_array(store: EmbeddingStore, file: FileRecord) -> npt.NDArray[np.floating]:
    """One of a store's arrays, read into memory.

    Raises:
        EmbeddingError: It can't be read, or has other numbers than a store has.
    """
    return _read(store.folder / SHARDS / file.name, mmap=False)


def _read(path: Path, *, mmap: bool) -> npt.NDArray[np.floating]:
    try:
        array = read_npy(path, mmap=mmap)
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if array.dtype not in _DTYPES:
        raise _unreadable(path, f"it holds {array.dtype}, and not float16 or float32")
    return array


def _unreadable(path: Path, why: str) -> EmbeddingError:
    return _damaged(path, f"can't be read ({why})")


def _damaged(path: Path, what: str) -> EmbeddingError:
    return EmbeddingError(
        f"{path} {what}. Embedding again computes what is damaged.", code="damaged"
    )


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
                        raise _damaged(
                            shard.path,
                            f"is cut off: {count} bytes could be read where "
                            f"{(stop - start) * row_bytes} are expected",
                        )
        except OSError as error:
            raise _unreadable(shard.path, str(error)) from error
        return found


def scene_rows(store: EmbeddingStore, split: str) -> SceneRows:
    """The scene embeddings of a split, in the order of its file.

    Raises:
        EmbeddingError: The store holds no scene embeddings, or several layers, or a file can't be
            read.
    """
    store.require("scene")
    size = store.manifest.model.scene_embedding_size
    shards = []
    for shard in store.manifest.shards:
        if shard.split != split:
            continue
        array = array_file(store, shard.embeddings)
        shape = (len(shard.clips), size)
        if array.shape != shape:
            raise _damaged(array.path, f"holds {array.shape} and should hold {shape}")
        shards.append(array)
    return SceneRows(shards, size)


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
            raise _unreadable(self.path, str(error)) from error
        if len(numbers) != count:
            raise _damaged(
                self.path,
                f"is cut off: {count} numbers are expected at byte {place}, {len(numbers)} are "
                "there",
            )
        return numbers.reshape(stop - start, self.size).astype(np.float32, copy=False)


def clip_frames(store: EmbeddingStore, split: str) -> list[ClipFrames]:
    """The timestamp embeddings of a split's clips, in the order of its file.

    Raises:
        EmbeddingError: The store holds no timestamp embeddings, or several layers, or a file can't
            be read.
    """
    store.require("timestamp")
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


@dataclass(frozen=True)
class LayerRows:
    """Several layers of a split's clips on disk, side by side.

    Attributes:
        layers: Each layer's embeddings.
    """

    layers: Sequence[SceneRows]

    @property
    def size(self) -> int:
        """Numbers per clip: of all layers together."""
        return sum(layer.size for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers[0])

    def read(self, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings (n, size) of the clips at some positions (n,), layer after layer.

        Raises:
            EmbeddingError: A file can't be read or is cut off.
        """
        return np.concatenate([layer.read(clips) for layer in self.layers], axis=1)


def layer_rows(store: EmbeddingStore, split: str, numbers: Sequence[int] = ()) -> LayerRows:
    """Layers of a split's scene embeddings, side by side.

    Args:
        numbers: The layers; all that the store holds by default.

    Raises:
        EmbeddingError: The store doesn't hold such layers, or a file can't be read.
    """
    return LayerRows([scene_rows(store.layer(k), split) for k in numbers or store.layers])


@dataclass(frozen=True)
class LayerFrames:
    """Several layers of the frames of one clip on disk, side by side.

    Attributes:
        layers: Each layer's frames.
    """

    layers: Sequence[ClipFrames]

    @property
    def clip(self) -> str:
        """File name."""
        return self.layers[0].clip

    @property
    def timestamps_ms(self) -> npt.NDArray[np.float64]:
        """(n_frames,) centres."""
        return self.layers[0].timestamps_ms

    @property
    def size(self) -> int:
        """Numbers per frame: of all layers together."""
        return sum(layer.size for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers[0])

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """The embeddings (stop - start, size) of a range of frames, layer after layer.

        Raises:
            EmbeddingError: The file is cut off or gone.
        """
        return np.concatenate([layer.read(start, stop) for layer in self.layers], axis=1)


def layer_frames(
    store: EmbeddingStore, split: str, numbers: Sequence[int] = ()
) -> list[LayerFrames]:
    """Layers of the frames of a split's clips, side by side.

    Args:
        numbers: The layers; all that the store holds by default.

    Raises:
        EmbeddingError: The store doesn't hold such layers, or a file can't be read.
    """
    layers = [clip_frames(store.layer(k), split) for k in numbers or store.layers]
    return [LayerFrames(clip) for clip in zip(*layers, strict=True)]
