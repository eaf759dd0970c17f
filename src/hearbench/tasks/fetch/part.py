"""The unfinished file beside the one it is to become.

    <name>.part         its bytes so far, always from the first one on without a gap
    <name>.part.json    what the source said of the file they belong to

The notes are written after the old bytes are gone and before the new ones come, so bytes are
never taken for those of another version.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from hearbench.files import write_json
from hearbench.locks import holder_of, lock_beside, only_one
from hearbench.records import Record
from hearbench.tasks.fetch.remote import TransferError

__all__ = ["Part", "PartNotes", "free_bytes", "open_part", "part_size"]

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_SUFFIX = ".part"


class PartNotes(Record):
    """Facts that the source gave about a file when its first byte came.

    Attributes:
        url: Address that it was fetched from.
        etag: Its strong validator, if any.
        last_modified: Its date, as the header has it, if any.
        size_bytes: Its length, if known.
    """

    format_version: Literal[1] = 1
    url: str
    etag: str | None = None
    last_modified: str | None = None
    size_bytes: int | None = None

    @property
    def validator(self) -> str | None:
        """The value of an If-Range header, if any."""
        return self.etag or self.last_modified


class Part:
    """An unfinished file that is open; see :func:`open_part`."""

    def __init__(self, target: Path, path: Path, handle: int) -> None:
        self.target = target
        self.path = path
        self.size = os.fstat(handle).st_size
        self.finished = False
        self._handle: int | None = handle
        self._notes_path = _notes_path(target)
        os.lseek(handle, 0, os.SEEK_END)

    def notes(self) -> PartNotes | None:
        """Reads the notes on the file that the bytes belong to; None where they can't be read."""
        try:
            return PartNotes.model_validate_json(self._notes_path.read_bytes())
        except (OSError, ValidationError):
            return None

    def restart(self, notes: PartNotes) -> None:
        """Drops all bytes; those to come belong to the file that the notes describe."""
        self.discard()
        with self._told():
            write_json(self._notes_path, notes.model_dump())

    def append(self, data: bytes) -> None:
        """Writes bytes at the end; what could be written before an error stays."""
        left = memoryview(data)
        while left:
            with self._told():
                written = os.write(self._open(), left)
            self.size += written
            left = left[written:]

    def discard(self) -> None:
        """Drops all bytes and the notes."""
        with self._told():
            os.ftruncate(self._open(), 0)
            os.lseek(self._open(), 0, os.SEEK_SET)
            self._notes_path.unlink(missing_ok=True)
        self.size = 0

    def finish(self) -> None:
        """Puts the file under its own name.

        Raises:
            TransferError: Something has come to be there in the meantime.
        """
        with self._told():
            os.fsync(self._open())
            if self.target.exists():
                raise TransferError(
                    f"{self.target} has appeared in the meantime; run the same again to have it "
                    "checked.",
                    by_hand=False,
                )
            if os.name == "nt":  # which doesn't rename a file that is open
                self.close()
            self.path.replace(self.target)
            self._notes_path.unlink(missing_ok=True)
        self.finished = True

    def close(self) -> None:
        """Closes the file and lets others have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        if self._handle is None:
            raise ValueError(f"{self.path} is closed")
        return self._handle

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says in a TransferError what the system says, and what to do about it."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise TransferError(
                    f"the disk of {self.target.parent} is full; the {self.size} bytes that came "
                    "are kept. Make room, and run the same again, which resumes there.",
                    by_hand=False,
                    common=True,
                ) from error
            raise TransferError(
                f"{error.filename or self.path} can't be written: {error.strerror or error}",
                by_hand=False,
                common=True,
            ) from error


@contextmanager
def open_part(target: Path) -> Iterator[Part]:
    """Opens the unfinished file of a target, made if it isn't there, for this process alone.

    It stays for another run unless it is finished or empty.

    Raises:
        TransferError: Another process has it, or it can't be opened or written.
    """
    path = target.with_name(target.name + _SUFFIX)
    lock = lock_beside(target)
    with ExitStack() as held:
        try:
            alone = held.enter_context(only_one(lock, f"fetching {target.name}"))
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            handle = os.open(path, flags, 0o666) if alone else None
        except OSError as error:
            raise TransferError(
                f"{path} can't be written: {error.strerror or error}", by_hand=False
            ) from error
        if handle is None:
            raise TransferError(
                f"another process is fetching it: {holder_of(lock) or 'it has only begun'}. Run "
                "the same again when that has ended.",
                by_hand=False,
            )
        part = Part(target, path, handle)
        try:
            yield part
        finally:
            part.close()
            if not part.size and not part.finished:
                _notes_path(target).unlink(missing_ok=True)
                path.unlink(missing_ok=True)


def part_size(target: Path) -> int:
    """The bytes of a target that lie in its unfinished file."""
    try:
        return target.with_name(target.name + _SUFFIX).stat().st_size
    except OSError:
        return 0


def free_bytes(folder: Path) -> int:
    """The room on the disk of a folder that exists."""
    return shutil.disk_usage(folder).free


def _notes_path(target: Path) -> Path:
    return target.with_name(target.name + _SUFFIX + ".json")
