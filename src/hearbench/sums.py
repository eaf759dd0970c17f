"""The SHA-256 of files in a folder, kept in it in the form of ``sha256sum``.

``sha256sum --check SHA256SUMS`` does by hand what hearbench does before it uses the files. A list
that is written at once ends with a comment that has its own digest. One that grows line by line
(`SumsLog`) has none; there a line that can't be read says nothing.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from hearbench.digest import digest_bytes, digest_file
from hearbench.files import atomic_write, disk_error

__all__ = [
    "SUMS_FILE",
    "SumsLog",
    "note_if_none",
    "read_sums",
    "read_whole_sums",
    "sums_of",
    "write_sums",
]

SUMS_FILE = "SHA256SUMS"

_LINE = re.compile(rb"(\\?)([0-9a-f]{64})  (.+)")
_ESCAPED = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_LINES_AT_ONCE = 256
_END_BYTES = 30 + 64 + 1


def read_sums(folder: Path) -> dict[str, str]:
    """The digests that a folder's list gives, by relative name; none where there is no list."""
    try:
        content = (folder / SUMS_FILE).read_bytes()
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in content.split(b"\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name = match[3]
        if match[1]:
            name = re.sub(rb"\\[\\nr]", lambda part: _ESCAPED[part[0]], name)
        found[os.fsdecode(name)] = match[2].decode()
    return found


def read_whole_sums(folder: Path) -> dict[str, str] | None:
    """As `read_sums` of a list that `write_sums` wrote; None where it is damaged."""
    try:
        content = (folder / SUMS_FILE).read_bytes()
    except FileNotFoundError:
        return {}
    except OSError:
        return None
    lines, end = content[:-_END_BYTES], content[-_END_BYTES:]
    return read_sums(folder) if end == _end(lines) else None


def write_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Writes a folder's list, replacing the one before."""
    with atomic_write(folder / SUMS_FILE) as file:
        lines = _lines(digests)
        file.write(lines + _end(lines))


def note_if_none(folder: Path, note: Callable[[], object]) -> None:
    """Makes the list of a folder that has none, of files that are trusted as they are.

    Without it damage to come would go unnoticed. Where it can't be written, that is so.

    Args:
        note: Writes the list.
    """
    if (folder / SUMS_FILE).exists():
        return
    try:
        note()
    except OSError as error:
        logging.getLogger(__name__).info("%s stays without digests: %s", folder, error)


def sums_of(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """The digests of files below a folder, by relative name."""
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in sorted(paths)}


class SumsLog:
    """Adds files to a folder's list while they are made, from any thread.

    Lines go to the disk some at a time, and the rest when the block ends, however it ends.

    Args:
        folder: The folder, which is there by the time that the first file is added.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SUMS_FILE
        self._waiting: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> SumsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._flush()

    def add(self, name: str, digest: str) -> None:
        """Notes a file by its relative name."""
        with self._lock:
            self._waiting[name] = digest
            if len(self._waiting) >= _LINES_AT_ONCE:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        try:
            with self._path.open("ab") as file:
                # A process that was killed may have left half a line.
                begin = b"\n" if file.tell() else b""
                file.write(begin + _lines(self._waiting))
        except OSError as error:
            raise disk_error(error, self._path) from error
        self._waiting = {}


def _end(lines: bytes) -> bytes:
    return b"# SHA-256 of the lines above: " + digest_bytes(lines).encode("ascii") + b"\n"


def _lines(digests: Mapping[str, str]) -> bytes:
    lines = []
    for name, digest in digests.items():
        raw = os.fsencode(name)
        plain = raw
        for escaped, meant in _ESCAPED.items():
            raw = raw.replace(meant, escaped)
        lines.append(
            (b"\\" if raw != plain else b"") + digest.encode("ascii") + b"  " + raw + b"\n"
        )
    return b"".join(lines)
