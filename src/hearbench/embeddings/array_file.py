"""Where in a store's file the numbers of an array begin, for those who read parts of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.manifest import FileRecord
from hearbench.embeddings.store import SHARDS, EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.files import read_npy

__all__ = ["ArrayFile", "array_file", "read_array"]

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
    return EmbeddingError(
        f"{path} can't be read ({why}). Embedding again computes what is damaged."
    )
