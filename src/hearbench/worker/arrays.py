"""Arrays in files that two processes share, so that nothing is copied through a pipe."""

from __future__ import annotations

import mmap
import os
from typing import Any, Mapping, Sequence

import numpy as np

__all__ = ["PLACES", "SharedArrays"]

PLACES = ("audio", "item0", "item1", "item2", "item3")
"""Names of the places: of what a model is handed, and of the first values that it returns."""


class SharedArrays:
    """Named places for arrays, each an open file that only grows and stays mapped.

    Args:
        files: A descriptor for each place, best of a file that is kept in memory.
    """

    def __init__(self, files: Mapping[str, int]) -> None:
        self._files = dict(files)
        self._mapped: dict[str, Any] = {}

    def new(self, name: str, dtype: str, shape: Sequence[int]) -> Any:
        """Opens an array for writing, with what was there before.

        Raises:
            OSError: There is no room.
        """
        file, size_bytes = self._files[name], _size_bytes(dtype, shape)
        if os.fstat(file).st_size < size_bytes:
            # Without it a write beyond what the system has would kill the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, size_bytes)
            else:
                os.ftruncate(file, size_bytes)
        return self.open(name, dtype, shape)

    def open(self, name: str, dtype: str, shape: Sequence[int]) -> Any:
        """Opens an array that the other process has written; both see what is written into it."""
        size_bytes = _size_bytes(dtype, shape)
        if not size_bytes:
            return np.zeros(tuple(shape), dtype)
        # Mapped once, as the first touch of every page of a map costs more than its copy.
        if name not in self._mapped or self._mapped[name].size < size_bytes:
            self._mapped[name] = np.frombuffer(mmap.mmap(self._files[name], 0), np.uint8)
        return self._mapped[name][:size_bytes].view(dtype).reshape(tuple(shape))


def _size_bytes(dtype: str, shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count * np.dtype(dtype).itemsize
