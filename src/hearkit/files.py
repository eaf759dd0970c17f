"""Files that are either whole or not there.

Everything that hearkit writes goes through here: into a temporary file beside the target,
flushed to disk, then renamed over it. A process that is killed leaves at most a file whose
name begins with ``.tmp-``, which nothing ever reads.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = [
    "TEMPORARY_PREFIX",
    "atomic_folder",
    "atomic_write",
    "json_safe",
    "only_one",
    "read_npy",
    "write_json",
    "write_npy",
    "write_text",
]

TEMPORARY_PREFIX = ".tmp-"


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a binary file that appears at ``path`` when the block ends without an error.

    Parent folders are made. On an error nothing is left behind and ``path`` is unchanged. A link
    is followed; what is there but no file, as a pipe or ``/dev/stdout``, is written to directly.

    Args:
        path: Where the file is to appear.
        durable: Whether it must be on the disk by then. Waiting for the disk takes longer than
            writing a short file; without it a power cut, unlike a kill, may leave the file cut
            off, so whoever does without looks at the file before trusting it.
    """
    if path.is_symlink() or path.exists():
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("wb") as stream:
                yield stream
            return
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes ``path`` when the block ends without an error.

    If ``path`` exists by then (another process was faster) the new one is dropped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Holds a lock while the block runs, for work that two processes would spoil for each other.

    Yields whether this process has it; if not, another one holds it. It ends with the process,
    however that ends. Where the system has no such locks, everybody has it.

    Args:
        path: The lock's file, which is there only while the lock is held; its folder is made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield True
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            # Whoever held it before may have removed this file since it was opened.
            if not _is_same_file(path, file.fileno()):
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def _is_same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_write(path) as file:
        file.write(text.encode("utf-8"))


def write_json(path: Path, value: Any, *, indent: int | None = 1) -> None:
    """Writes valid JSON atomically: NaN as null, infinities as strings; keys keep their order."""
    write_text(path, json.dumps(json_safe(value), indent=indent, allow_nan=False) + "\n")


def json_safe(value: Any) -> Any:
    """The same value with NaN as None and infinities as "Infinity" and "-Infinity"."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return float(value)
    if isinstance(value, dict):
        return {key: json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    return value


def write_npy(path: Path, array: npt.NDArray[Any]) -> None:
    """Writes an array as ``.npy`` atomically."""
    with atomic_write(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def read_npy(path: Path, *, mmap: bool = False) -> npt.NDArray[Any]:
    """Reads a ``.npy`` file, memory-mapped on request; never a pickle."""
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    return array


def _umask() -> int:
    # The only portable way to read the mask is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
