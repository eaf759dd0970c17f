"""Zips that were split into parts (``x.z01``, ``x.z02``, ..., ``x.zip``).

The parts are read as one long file, with a directory appended that says where in it each member
begins; then it is a zip like any other. Nothing is copied. The format: PKWARE's APPNOTE.TXT,
sections 4.3 and 4.4 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
"""

from __future__ import annotations

import io
import re
import zipfile
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from hearbench.errors import TaskError
from hearbench.tasks.archives.split_directory import End, joined_directory, read_end
from hearbench.tasks.archives.unpacking import DamagedError, Unpacking
from hearbench.tasks.archives.zip import ZIP_DAMAGE, extract_zip

__all__ = ["extract_split_zip", "is_split", "order_parts", "parts_beside"]

_PART = re.compile(r"(?P<stem>.+)\.(?:z(?P<number>\d{2,})|zip)", re.IGNORECASE | re.DOTALL)
_BUFFER_BYTES = 1 << 16
_SHOWN_MISSING = 10


def extract_split_zip(parts: Sequence[Path], unpacking: Unpacking) -> None:
    """Unpacks a split zip; the progress is told in unpacked bytes.

    Args:
        parts: As :func:`order_parts` returns them.
        unpacking: Where it goes.

    Raises:
        TaskError: A part is missing, or whatever else can be wrong with a zip.
    """
    try:
        joined = _Joined(parts)
        with joined:
            end = read_end(joined)
            _check_count(parts, end)
            joined.append(joined_directory(joined, end, joined.starts))
            with io.BufferedReader(joined, _BUFFER_BYTES) as file:
                extract_zip(file, unpacking, where=joined.parts_of)
    except (*ZIP_DAMAGE, DamagedError) as error:
        raise unpacking.damaged(error) from error


def is_split(path: Path) -> bool:
    """Whether a zip is one of several parts."""
    try:
        with _Joined([path]) as file:
            return read_end(file).n_parts > 1
    except ZIP_DAMAGE:
        return False


def parts_beside(path: Path) -> list[Path]:
    """All parts in the folder of one of them."""
    stem = _stem_and_number(path)[0]
    return [
        other
        for other in sorted(path.parent.iterdir())
        if (match := _PART.fullmatch(other.name)) and match["stem"] == stem and other.is_file()
    ]


def order_parts(parts: Sequence[Path]) -> list[Path]:
    """The parts in their order, wherever they lie.

    Raises:
        TaskError: They don't make up one split zip: some are missing, there twice, of several
            archives, or not named as parts are.
    """
    by_number: dict[int | None, Path] = {}
    stems: dict[str, Path] = {}
    for path in parts:
        stem, number = _stem_and_number(path)
        stems[stem] = path
        if number in by_number:
            raise TaskError(
                f"The split zip {stem}.zip has the same part twice: {by_number[number]} and {path}."
            )
        by_number[number] = path
    if len(stems) > 1:
        raise TaskError(
            f"These are parts of {len(stems)} split zips, not of one: "
            f"{', '.join(str(path) for path in stems.values())}."
        )
    if not stems:
        raise TaskError("No part of a split zip is given.")
    last = by_number.pop(None, None)
    numbered = sorted(number for number in by_number if number is not None)
    expected = range(1, (numbered[-1] if numbered else 0) + 1)
    missing = [f"z{number:02d}" for number in expected if number not in by_number]
    if last is None:
        missing.append("zip")
    if last is None or missing or 0 in by_number:
        raise _incomplete(next(iter(stems)), missing or ["z01, not a z00"])
    return [*(by_number[number] for number in numbered), last]


def _stem_and_number(path: Path) -> tuple[str, int | None]:
    match = _PART.fullmatch(path.name)
    if match is None:
        raise TaskError(f"{path} is no part of a split zip; they end in .z01, .z02, ..., .zip.")
    return match["stem"], None if match["number"] is None else int(match["number"])


def _check_count(parts: Sequence[Path], end: End) -> None:
    if len(parts) == end.n_parts:
        return
    stem = _stem_and_number(parts[-1])[0]
    if len(parts) > end.n_parts:
        raise TaskError(
            f"{parts[-1]} is the last of {end.n_parts} parts, but {len(parts)} are given; they "
            "are of different archives, or one is of an older download."
        )
    raise _incomplete(stem, [f"z{number:02d}" for number in range(len(parts), end.n_parts)])


def _incomplete(stem: str, missing: Sequence[str]) -> TaskError:
    names = ", ".join(f"{stem}.{ending}" for ending in missing[:_SHOWN_MISSING])
    more = f" and {len(missing) - _SHOWN_MISSING} more" if len(missing) > _SHOWN_MISSING else ""
    return TaskError(
        f"The split zip {stem}.zip isn't complete: there is no {names}{more}. It takes all "
        "parts to unpack any of them; download those too."
    )


class _Joined(io.RawIOBase):
    """Files one after the other, and some bytes after them, as one file to read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._paths = list(paths)
        sizes = [path.stat().st_size for path in paths]
        self.starts = [0, *accumulate(sizes)]  # the last one is where the appended bytes begin
        self._appended = b""
        self._position = 0
        self._open: tuple[int, io.FileIO] | None = None

    def append(self, content: bytes) -> None:
        self._appended += content

    def parts_of(self, info: zipfile.ZipInfo) -> str:
        """The names of the parts that a member lies in."""
        last = len(self._paths) - 1
        first = bisect_right(self.starts, info.header_offset) - 1
        until = bisect_right(self.starts, info.header_offset + info.compress_size) - 1
        return ", ".join(path.name for path in self._paths[first : min(until, last) + 1])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = self.starts[-1] + len(self._appended)
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the archive's beginning")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        part = bisect_right(self.starts, self._position) - 1
        offset = self._position - self.starts[part]
        if part == len(self._paths):
            content = self._appended[offset : offset + len(view)]
            view[: len(content)] = content
            done = len(content)
        else:
            # Stops at the part's end; the reader asks again.
            view = view[: self.starts[part + 1] - self._position]
            file = self._part(part)
            file.seek(offset)
            done = file.readinto(view) or 0
        self._position += done
        return done

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None
        super().close()

    def _part(self, index: int) -> io.FileIO:
        # One is open at a time: there may be more parts than a process may open.
        if self._open is None or self._open[0] != index:
            if self._open is not None:
                self._open[1].close()
            self._open = (index, io.FileIO(self._paths[index]))
        return self._open[1]
