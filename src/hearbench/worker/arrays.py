"""Arrays in a folder that two processes share, so that nothing is copied through a pipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Sequence

import numpy as np

__all__ = ["SharedArrays"]


class SharedArrays:
    """Named places for arrays, each a file that only grows and stays mapped.

    Args:
        folder: Best one that is kept in memory.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._mapped: dict[str, Any] = {}

    def new(self, name: str, dtype: str, shape: Sequence[int]) -> Any:
        """An array to be written, with what was there before.

        Raises:
            OSError: There is no room.
        """
        path = self.folder / name
        size_bytes = _size_bytes(dtype, shape)
        with open(path, "r+b" if path.exists() else "w+b") as file:  # noqa: PTH123
            have = os.fstat(file.fileno()).st_size
            if have < size_bytes:
                # Without it a write beyond what the system has would kill the process.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size_bytes)
                else:
                    file.truncate(size_bytes)
        return self.open(name, dtype, shape)

    def open(self, name: str, dtype: str, shape: Sequence[int]) -> Any:
        """An array that the other process has written; what is written into it, both see."""
        size_bytes = _size_bytes(dtype, shape)
        if not size_bytes:
            return np.zeros(tuple(shape), dtype)
        # Mapped once, as the first touch of every page of a map costs more than its copy.
        if name not in self._mapped or self._mapped[name].size < size_bytes:
            self._mapped[name] = np.memmap(self.folder / name, dtype=np.uint8, mode="r+")
        return np.asarray(self._mapped[name])[:size_bytes].view(dtype).reshape(tuple(shape))


def _size_bytes(dtype: str, shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count * np.dtype(dtype).itemsize
