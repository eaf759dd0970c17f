"""The state of a training that was interrupted, kept now and then in one file.

A checkpoint is an uncompressed ``.npz`` of arrays and one JSON text, written atomically; it
holds all that training goes on from, so that a resumed run ends bit for bit as an undisturbed
one would. The digest of the rest ends the file, so that damage is noticed, and its name is in it,
so that one in another's place is noticed, too. What is damaged counts for nothing, since training
again gives the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hearbench.files import atomic_write
from hearbench.tasks.inventory import tell_damaged

__all__ = ["Checkpoint"]

_META = "meta"
_NAME = "name"
_BLOCK_BYTES = 1 << 20
_DIGEST_BYTES = hashlib.sha256().digest_size
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
        named = {**meta, _NAME: _name(self._path)}
        text = np.frombuffer(json.dumps(named).encode("utf-8"), dtype=np.uint8)
        with atomic_write(self._path) as file:
            np.savez(file, allow_pickle=False, **{_META: text}, **arrays)
            digest = _digest(file, file.seek(0, io.SEEK_END))
            file.seek(0, io.SEEK_END)
            file.write(digest)
        ended = time.monotonic()
        self._next = ended + max(self._every_s, (ended - started) / _SHARE_OF_TIME)

    def load(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """The last state that was saved; None if there is none that can be read.

        One that can't is said in a line; it stays until it is replaced.
        """
        if self._path is None or not self._path.is_file():
            return None
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, io.SEEK_END) - _DIGEST_BYTES
                if size > 0 and _digest(file, size) == file.read(_DIGEST_BYTES):
                    file.seek(0)
                    with np.load(file, allow_pickle=False) as stored:
                        arrays = {name: stored[name] for name in stored.files}
                    meta: dict[str, Any] = json.loads(arrays.pop(_META).tobytes())
                    # Earlier versions wrote no name.
                    own = _name(self._path)
                    if meta.pop(_NAME, own) == own:
                        return meta, arrays
        except OSError:
            pass  # an error of the disk is damage as well
        self.tell_unusable()
        return None

    def tell_unusable(self) -> None:
        """Says in a line that what is kept isn't what was written, or is of another version."""
        if self._path is not None:
            tell_damaged([self._path], "trained again where it is needed")

    def clear(self) -> None:
        """Removes the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _name(path: Path) -> str:
    """Which training it is: folders are named by the embeddings, files by fold and grid points."""
    return f"{path.parent.name}/{path.name}"


def _digest(file: BinaryIO, size: int) -> bytes:
    """The SHA-256 of a file's first bytes, after which it is left."""
    digest = hashlib.sha256()
    file.seek(0)
    while size and (block := file.read(min(size, _BLOCK_BYTES))):
        digest.update(block)
        size -= len(block)
    return digest.digest()
