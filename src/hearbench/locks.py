"""Locks between processes, for work that two of them would spoil for each other.

A lock is a file, held by the operating system, so it ends with the process that holds it, however
that ends. The file says who holds it and is removed with the lock; one that a killed process left
behind locks nothing. Where the system or the disk has no such locks, everybody has the lock.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from hearbench.files import SYNTAX_ERRORS, TEMPORARY_PREFIX, disk_error

__all__ = ["Holder", "holder_of", "lock_beside", "one_after_another", "only_one"]

_LOOK_S = 0.2
_TRIES = 10
_NO_LOCKS = {
    *(errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
}


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        pid: Number of the process.
        host: The machine on which it runs.
        since: When it got the lock, UTC, ISO 8601.
        what: What it does with it.
    """

    pid: int
    host: str
    since: str
    what: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since} UTC ({self.what})"


def lock_beside(path: Path) -> Path:
    """The file that locks a folder or file, a hidden one beside it."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}.lock")


def holder_of(lock: Path) -> Holder | None:
    """Who holds a lock, as far as its file tells."""
    try:
        value = json.loads(lock.read_text(encoding="utf-8"))
        return Holder(
            int(value["pid"]), str(value["host"]), str(value["since"]), str(value["what"])
        )
    except (OSError, KeyError, TypeError, *SYNTAX_ERRORS):
        return None  # freed by now, not yet noted, or of a system that hides locked files


@contextmanager
def only_one(lock: Path, what: str = "") -> Iterator[bool]:
    """Tries to hold a lock while the block runs.

    Yields whether this process has it; if not, another one holds it.

    Args:
        lock: The lock's file; its folder is made.
        what: What this process does with it, for those who come later.
    """
    file = FileLock(str(lock), timeout=0, fallback_to_soft=False)
    made = [folder for folder in lock.parents if not folder.exists()]
    try:
        _acquire(file, lock)
    except Timeout:
        yield False
        return
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise disk_error(error, lock) from error
        yield True
        return
    try:
        _note(lock, what)
        try:
            yield True
        finally:
            # While it is held: who opened it before looks whether it is still there.
            if os.name != "nt":
                lock.unlink(missing_ok=True)
    finally:
        file.release()
        if os.name == "nt":  # which doesn't remove a file that is open
            _try_unlink(lock)
        _remove_empty(made)


@contextmanager
def one_after_another(lock: Path, what: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Holds a lock while the block runs; waits for it if another process holds it.

    Args:
        lock: The lock's file; its folder is made.
        what: What this process does with it, for those who come later.
        tell: Is told once who holds it, if it has to wait.
    """
    told = False
    while True:
        with only_one(lock, what) as alone:
            if alone:
                yield
                return
        if not told:
            holder = holder_of(lock)
            tell(f"{what}: waiting for {holder or 'another process, which is at the same'}")
            told = True
        time.sleep(_LOOK_S)


def _acquire(file: FileLock, lock: Path) -> None:
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):  # another process has just removed its folder
            lock.parent.mkdir(parents=True, exist_ok=True)
            file.acquire()
            return
    lock.parent.mkdir(parents=True, exist_ok=True)
    file.acquire()


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders that were made for a lock, the innermost first, unless something is there."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _note(lock: Path, what: str) -> None:
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    note = json.dumps(asdict(Holder(os.getpid(), platform.node(), now, what)))
    try:
        lock.write_text(note, encoding="utf-8")
    except OSError:
        return  # a full disk, or a system that keeps others off locked files: it holds all the same


def _try_unlink(lock: Path) -> None:
    try:
        lock.unlink(missing_ok=True)
    except OSError:
        return  # by now another process's
