"""The state of a training that was interrupted, kept now and then in one file.

A checkpoint is an uncompressed ``.npz`` of arrays and one JSON text, written atomically; it
holds all that training goes on from, so that a resumed run ends bit for bit as an undisturbed
one would.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.files import atomic_write

__all__ = ["Checkpoint"]

_META = "meta"
_SHARE_OF_TIME = 0.02


class Checkpoint:
    """One file of training state, or none.

    Args:
        path: The file; None keeps nothing.
        every_s: Seconds between writes at least. The interval grows where writing is slow, so
            that it takes no more than 2 % of the time.
    """

    def __init__(self, path: Path | None, every_s: float = 30.0) -> None:
        self._path = path
        self._every_s = every_s
        self._next = time.monotonic() + every_s

    def due(self) -> bool:
        """Whether it is time to save."""
        return self._path is not None and time.monotonic() >= self._next

    def save(self, meta: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Writes the state, replacing the one before."""
        if self._path is None:
            return
        started = time.monotonic()
        text = np.frombuffer(json.dumps(meta).encode("utf-8"), dtype=np.uint8)
        with atomic_write(self._path) as file:
            np.savez(file, allow_pickle=False, **{_META: text}, **arrays)
        ended = time.monotonic()
        self._next = ended + max(self._every_s, (ended - started) / _SHARE_OF_TIME)

    def load(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """The last state that was saved; None if there is none that can be read."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with self._path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile):
            # Writes are atomic, so this is a damaged disk: starting afresh gives the same result.
            return None
        meta: dict[str, Any] = json.loads(arrays.pop(_META).tobytes())
        return meta, arrays

    def clear(self) -> None:
        """Removes the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
