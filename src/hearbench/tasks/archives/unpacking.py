"""Writing an archive's members into a folder, within limits."""

from __future__ import annotations

import errno
import io
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import NoReturn, Protocol

from hearbench.amounts import data_size
from hearbench.errors import TaskError
from hearbench.files import atomic_folder
from hearbench.progress import Update
from hearbench.tasks.problems import Problems

__all__ = [
    "CHUNK_BYTES",
    "REMEDY",
    "DamagedError",
    "Kind",
    "Source",
    "Targets",
    "Unpacking",
    "UnwritableError",
    "is_about_the_place",
    "kind_of_mode",
    "new_folder",
]

_OUTSIDE = "members that would land outside the folder"
_SPECIAL = "members that are links, devices or the like"
_NAMELESS = "members whose name no file can have"
_TWICE = "members of the same name"
_BELOW_FILE = "members below a member that is a file"
_ON_FOLDER = "files of the same name as a folder"

_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_PART_BYTES = 255
_MAX_DEPTH = 64  # folders are made and removed recursively
_SHOWN_CHARACTERS = 200
_EXAMPLES = 20


class Kind(Enum):
    """The kinds of members; only the first two are ever made."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "link, device or the like"


def kind_of_mode(mode: int) -> Kind | None:
    """The kind of a member by its Unix mode; None if that doesn't say."""
    return {0: None, stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER}.get(
        stat.S_IFMT(mode), Kind.OTHER
    )


class Targets:
    """The files and folders that an archive's members become, each admitted once.

    Attributes:
        problems: What is wrong with the members that were not admitted.
    """

    def __init__(self) -> None:
        self.problems = Problems(examples=_EXAMPLES)
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def admit(self, name: str, kind: Kind) -> str | None:
        """Decides where a member goes: a relative path with slashes.

        Args:
            name: Its name in the archive, with slashes.

        Returns:
            None if it isn't to be made: it is refused (:attr:`problems` has it then), is the
            folder itself, or is what macOS adds on its own (``__MACOSX/``, ``._x``,
            ``.DS_Store``).
        """
        parts = [part for part in name.split("/") if part not in ("", ".")]
        wrong = _what_is_wrong(name, parts, kind)
        if wrong is None and _is_junk(parts):
            return None
        target = "/".join(parts)
        wrong = wrong or self._conflict(target, kind)
        if wrong is not None:
            self.problems.add(wrong, _shown(name))
            return None
        self._folders.update(_parents(target))
        if kind is Kind.FILE:
            self._files.add(target)
            return target
        self._folders.add(target)
        return target or None

    def _conflict(self, target: str, kind: Kind) -> str | None:
        if not self._files.isdisjoint(_parents(target)):
            return _BELOW_FILE
        if kind is Kind.FILE:
            if target in self._files:
                return _TWICE
            return _ON_FOLDER if target in self._folders else None
        return _ON_FOLDER if target in self._files else None


def _what_is_wrong(name: str, parts: list[str], kind: Kind) -> str | None:
    # A drive or backslash is harmless here, but names another place on Windows.
    if name.startswith("/") or ".." in parts or "\\" in name or any(map(_DRIVE.match, parts)):
        return _OUTSIDE
    if kind is Kind.OTHER:
        return _SPECIAL
    if (
        "\0" in name
        or (kind is Kind.FILE and (not parts or name.endswith("/")))
        or len(parts) > _MAX_DEPTH
        or any(len(part.encode("utf-8", "surrogateescape")) > _MAX_PART_BYTES for part in parts)
    ):
        return _NAMELESS
    return None


def _is_junk(parts: list[str]) -> bool:
    if not parts:
        return False
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def _parents(target: str) -> list[str]:
    return [target[: match.start()] for match in re.finditer("/", target)]


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}...")


CHUNK_BYTES = 1 << 20
"""How much of a member is in memory at a time."""

REMEDY = "Nothing was unpacked. Download the archive again from a source that you trust."

_MAX_RATIO = 200  # deflate packs zeros 1:1030; audio, text and tables stay far below 1:200
_HARMLESS_BYTES = 1 << 30
_RESERVE_BYTES = 256 << 20  # left free, for the system and whatever else runs
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_PLACE = {
    *_NO_ROOM,
    errno.EACCES,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.EPERM,
    errno.EROFS,
}


class Source(Protocol):
    """A stream of a member's content."""

    def read(self, size: int, /) -> bytes:
        """Reads at most ``size`` bytes; none at the end."""
        ...  # pragma: no cover


class DamagedError(Exception):
    """A member holds less or more than the archive says."""


class UnwritableError(TaskError):
    """A disk without room, or a folder that can't be written; the archive may be good."""


def is_about_the_place(error: Exception) -> bool:
    """Whether an error of the system is about the disk or folder, whatever is written there."""
    return isinstance(error, OSError) and error.errno in _PLACE


@contextmanager
def new_folder(shown: str, folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes ``folder`` if the block ends without an error.

    Raises:
        TaskError: The folder can't be made.
    """
    try:
        with atomic_folder(folder) as temporary:
            yield temporary
    except OSError as error:
        kind = UnwritableError if is_about_the_place(error) else TaskError
        raise kind(f"{shown} can't be unpacked to {folder}: {error}.") from error


class Unpacking:
    """Writes an archive's members, within limits that are set before the first.

    The unpacked size may be 1 GiB, or 200 times the archive's if that is more, and must leave
    256 MiB of the disk free.

    Attributes:
        shown: Name of the archive, for messages.
        folder: Folder that takes the members.
        written_bytes: Bytes of them that have been written.
        meter: Gives the progress as ``(done, total)``; by default in bytes written.
    """

    def __init__(
        self, shown: str, size_bytes: int, folder: Path, *, update: Update | None = None
    ) -> None:
        """Notes the room on the disk.

        Args:
            shown: Name of the archive, for messages.
            size_bytes: The archive's size, all parts together.
            folder: An empty folder.
            update: Receives progress as the meter says it.
        """
        self.shown = shown
        self.folder = folder
        self.written_bytes = 0
        self.meter: Callable[[], tuple[int, int]] = lambda: (
            self.written_bytes,
            self._needed_bytes,
        )
        self._size_bytes = size_bytes
        self._most_bytes = max(_MAX_RATIO * size_bytes, _HARMLESS_BYTES)
        self._free_bytes = shutil.disk_usage(folder).free
        self._needed_bytes = 0
        self._update = update

    def expect(self, needed_bytes: int, *, at_least: bool = False) -> None:
        """Announces the size of all members, before they are written.

        Args:
            needed_bytes: Sum of the sizes, 0 or more each.
            at_least: More may follow, as in a tar, which tells its sizes one by one.

        Raises:
            UnwritableError: It is more than there is room for.
            TaskError: It is more than can be true.
        """
        self.check_ratio(needed_bytes)
        self._needed_bytes = needed_bytes
        if needed_bytes > self._free_bytes - _RESERVE_BYTES:
            needs = "with what comes next it needs at least" if at_least else "it needs"
            taken = f", {data_size(self.written_bytes)} of them taken by what was unpacked so far "
            taken += "(and is removed again)"
            raise UnwritableError(
                f"There is no room to unpack {self.shown}: {needs} {data_size(needed_bytes)}, "
                f"{data_size(self._free_bytes)} are free in {self.folder.parent}"
                f"{taken if self.written_bytes else ''}, and {data_size(_RESERVE_BYTES)} must stay "
                "free. Free some, or choose another folder (HEARBENCH_CACHE names that of the "
                "cache)."
            )

    def check_ratio(self, unpacked_bytes: int) -> None:
        """Refuses an archive that unpacks to more than can be true.

        Raises:
            TaskError: It does.
        """
        if unpacked_bytes > self._most_bytes:
            raise TaskError(
                f"{self.shown} is refused: its {data_size(self._size_bytes)} would unpack to "
                f"{data_size(unpacked_bytes)} or more, over {_MAX_RATIO} times as much, which no "
                f"corpus does. It is damaged or made to fill the disk. {REMEDY} If you do trust "
                "it, unpack it by hand."
            )

    def make_folder(self, target: str) -> None:
        """Makes a folder and those above it.

        Raises:
            TaskError: It can't be made.
        """
        try:
            (self.folder / target).mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            self._cannot_write(target, error)

    def write(
        self, source: Source, target: str, size_bytes: int, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        """Writes a file, exactly as long as the archive says.

        Raises:
            UnwritableError: The disk is full, or can't be written.
            TaskError: It can't be written as it is called.
            DamagedError: The source holds less or more than that.
        """
        path = self.folder / target
        self.make_folder(str(Path(target).parent))
        try:
            out = path.open("xb", buffering=0)
        except (OSError, ValueError) as error:
            self._cannot_write(target, error)
        done = 0
        with out:
            while data := source.read(chunk_bytes):
                done += len(data)
                if done > size_bytes:
                    break
                try:
                    _write_all(out, data)
                except OSError as error:
                    self._cannot_write(target, error)
                self.written_bytes += len(data)
                self.tell()
        if done != size_bytes:
            more = "more" if done > size_bytes else "less"
            raise DamagedError(f"it holds {more} than the {size_bytes} bytes it should")

    def start_over(self) -> None:
        """Removes what has been written, so that another way can be tried.

        Raises:
            TaskError: It can't be removed.
        """
        try:
            for path in self.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            self._cannot_write(self.folder.name, error)
        self.written_bytes = 0

    def tell(self) -> None:
        """Shows progress."""
        if self._update is not None:
            self._update(*self.meter())

    def refuse(self, problems: Problems) -> None:
        """Raises what is wrong with the members, if anything is.

        Raises:
            TaskError: Something is.
        """
        if problems:
            raise problems.error(f"The archive {self.shown} can't be unpacked:", REMEDY)

    def damaged(self, error: Exception, where: str = "") -> TaskError:
        """Makes the error for an archive that can't be read."""
        what = " ".join(str(error).split()) or type(error).__name__
        return TaskError(
            f"The archive {self.shown} can't be unpacked: {where}{what}. It may be damaged, cut "
            "off, or no such archive at all; compare its size or md5 with the source's, and "
            "download it again."
        )

    def _cannot_write(self, target: str, error: Exception) -> NoReturn:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise UnwritableError(
                f"The disk is full: unpacking {self.shown} into {self.folder.parent} needs "
                f"{data_size(self._needed_bytes)} or more, of which "
                f"{data_size(self.written_bytes)} were written (and are removed "
                "again). Free some, or choose another folder."
            ) from error
        reason = error.strerror or error if isinstance(error, OSError) else error
        kind = UnwritableError if is_about_the_place(error) else TaskError
        raise kind(
            f"{target!r} of {self.shown} can't be written below {self.folder.parent}: {reason}. "
            "Nothing was unpacked."
        ) from error


def _write_all(out: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]
