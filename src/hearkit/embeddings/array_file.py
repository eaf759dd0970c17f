"""Where in a store's file the numbers of an array begin, for those who read parts of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearkit.embeddings.manifest import FileRecord
from hearkit.embeddings.store import SHARDS, EmbeddingStore
from hearkit.errors import EmbeddingError
from hearkit.files import read_npy

__all__ = ["ArrayFile", "array_file", "read_array"]


@dataclass(frozen=True)
class ArrayFile:
    """An array on disk.

    Attributes:
        path: Of the ``.npy`` file.
        dtype: Of its numbers.
        offset: Of the first one, in bytes.
        shape: Of the array.
    """

    path: Path
    dtype: np.dtype[np.floating]
    offset: int
    shape: tuple[int, ...]


def array_file(store: EmbeddingStore, file: FileRecord) -> ArrayFile:
    """One of a store's arrays, of which only the header is read.

    Raises:
        EmbeddingError: It can't be read.
    """
    path = store.folder / SHARDS / file.name
    with _reading(store, path):
        mapped = np.lib.format.open_memmap(path, mode="r")
    return ArrayFile(path, mapped.dtype, mapped.offset, mapped.shape)


def read_array(store: EmbeddingStore, file: FileRecord) -> npt.NDArray[np.floating]:
    """One of a store's arrays, read into memory.

    Raises:
        EmbeddingError: It can't be read.
    """
    path = store.folder / SHARDS / file.name
    with _reading(store, path):
        return read_npy(path)


@contextlib.contextmanager
def _reading(store: EmbeddingStore, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError) as error:
        raise EmbeddingError(
            f"{path} can't be read ({error}). Delete {store.folder} and embed again."
        ) from error
