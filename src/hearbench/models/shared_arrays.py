"""This process's side of the arrays that it shares with the process of a model.

They lie in files without a name, of which both processes hold descriptors: nothing else can open
them, and they are gone with the last process that holds them, however it ends. The other side maps
them. This one reads and writes, as a map of a file that the other truncates would end this process.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.worker.arrays import PLACES

__all__ = ["open_places", "read_shared", "write_shared"]

_KINDS = "fiub"
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108
_LEAST_FREE_BYTES = 2 << 30


def open_places() -> dict[str, int]:
    """Descriptors of new files by the names of their places, in memory where there is room."""
    return {name: _nameless() for name in PLACES}


def write_shared(file: int, array: npt.NDArray[np.float32]) -> None:
    """Writes an array to its place.

    Raises:
        OSError: There is no room.
    """
    data = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    # Before writing, so that the other side never maps less than it is told of.
    if os.fstat(file).st_size < len(data) and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, len(data))
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], done)


def read_shared(
    file: int, dtype: str, shape: Sequence[int], most_bytes: int | None = None
) -> npt.NDArray[np.generic]:
    """A copy of the array that the other process says to have left in a place.

    Args:
        file: The place's descriptor.
        dtype: As the process says, in numpy's words.
        most_bytes: How large it may be; None for any size.

    Raises:
        OSError, ValueError, TypeError: What it says doesn't fit what is there.
    """
    kind = np.dtype(dtype)
    sizes = [int(size) for size in shape]
    if kind.kind not in _KINDS or min(sizes, default=0) < 0:
        raise ValueError(f"{dtype} of {shape} are no numbers")
    size_bytes = kind.itemsize
    for size in sizes:
        size_bytes *= size
    if not size_bytes:
        return np.zeros(sizes, kind)
    if most_bytes is not None and size_bytes > most_bytes:
        raise ValueError(f"{size_bytes} bytes are more than the model's process may have")
    # Before this process takes memory for it: a file may be long without holding anything.
    if _written_bytes(file) < size_bytes:
        raise ValueError(f"there are less than {size_bytes} bytes")
    found = np.empty(sizes, kind)
    data = memoryview(found.reshape(-1).view(np.uint8).data)
    done = 0
    while done < size_bytes:
        read = os.preadv(file, [data[done:]], done)
        if not read:
            raise ValueError("the file became shorter while it was read")
        done += read
    return found


def _nameless() -> int:
    with tempfile.TemporaryFile(prefix="hearbench-", dir=_folder()) as file:
        return os.dup(file.fileno())


def _folder() -> Path | None:
    """A folder in memory if there is one with room, or else that of temporary files."""
    if not _MEMORY_FOLDER.is_dir() or not os.access(_MEMORY_FOLDER, os.W_OK):
        return None
    room = shutil.disk_usage(_MEMORY_FOLDER).free >= _LEAST_FREE_BYTES
    return _MEMORY_FOLDER if room else None


def _written_bytes(file: int) -> int:
    """How much of a file there is up to its end or its first hole."""
    size = os.fstat(file).st_size
    # Elsewhere what is mapped and written may count as a hole until it is on the disk.
    if not size or sys.platform != "linux":
        return size
    try:
        return os.lseek(file, 0, os.SEEK_HOLE)
    except OSError:
        return size  # a file system that doesn't know of holes
