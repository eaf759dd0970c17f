"""This process's side of the arrays that it shares with the process of a model.

The other side maps the files. This one reads and writes them as files of a known kind, and follows
nothing: a map of a file that the other truncates would end this process, and a link would have it
read or write something else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["read_shared", "write_shared"]

_KINDS = "fiub"


def write_shared(folder: Path, name: str, array: npt.NDArray[np.float32]) -> None:
    """Writes an array to its place.

    Raises:
        OSError: There is no room, or something else is in its place.
    """
    data = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    file = _opened(folder / name, os.O_RDWR | os.O_CREAT)
    try:
        # Before writing, so that the other side never maps less than it is told of.
        if os.fstat(file).st_size < len(data) and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, len(data))
        done = 0
        while done < len(data):
            done += os.pwrite(file, data[done:], done)
    finally:
        os.close(file)


def read_shared(
    folder: Path, name: str, dtype: str, shape: Sequence[int]
) -> npt.NDArray[np.generic]:
    """A copy of the array that the other process says to have left in a place.

    Args:
        folder: That both processes share.
        name: Of the place.
        dtype: As the process says, in numpy's words.
        shape: Likewise.

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
    file = _opened(folder / name, os.O_RDONLY)
    try:
        if os.fstat(file).st_size < size_bytes:
            raise ValueError(f"{name} holds less than {size_bytes} bytes")
        found = np.empty(sizes, kind)
        data = memoryview(found.reshape(-1).view(np.uint8).data)
        done = 0
        while done < size_bytes:
            read = os.preadv(file, [data[done:]], done)
            if not read:
                raise ValueError(f"{name} became shorter while it was read")
            done += read
    finally:
        os.close(file)
    return found


def _opened(path: Path, flags: int) -> int:
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    facts = os.fstat(file)
    if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1:
        return file
    os.close(file)
    raise OSError(f"{path.name} is no file of its own")
