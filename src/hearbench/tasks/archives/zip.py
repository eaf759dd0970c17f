"""Zip archives, also those that were split into parts (``x.z01``, ``x.z02``, ..., ``x.zip``).

A split zip's directory says on which part each member begins, and where in that part; Python's
zipfile knows a single file only. So the parts are read as one long file, with another directory
appended: with places in all parts together, in the 64 bit form that fits any size. Then it is a
zip like any other, and nothing is copied. The format: PKWARE's APPNOTE.TXT, sections 4.3, 4.4 and
4.5.3 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
"""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from hearbench.errors import TaskError
from hearbench.tasks.archives.unpacking import (
    CHUNK_BYTES,
    DamagedError,
    Kind,
    Targets,
    Unpacking,
    kind_of_mode,
)

__all__ = [
    "extract_split_zip",
    "extract_zip",
    "is_split",
    "order_parts",
    "parts_beside",
]

_ZIP_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    ValueError,
    OverflowError,
    DamagedError,
)
"""What reading a broken zip raises."""

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_NAME = 0x800
# zipfile unpacks all that it reads of the other methods at once, and little may become a lot.
_SMALL_CHUNK_BYTES = 4096
_BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def extract_zip(
    file: Path | IO[bytes],
    unpacking: Unpacking,
    *,
    where: Callable[[zipfile.ZipInfo], str] | None = None,
) -> None:
    """Unpacks a zip; progress counts unpacked bytes.

    Args:
        where: Says in which part a member of a split zip lies, for messages.

    Raises:
        TaskError: It is no zip, cut off, damaged or encrypted; members can't be unpacked (all
            are named); it is too big, or can't be written.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (*_ZIP_DAMAGE, NotImplementedError) as error:
        raise unpacking.damaged(error) from error
    with archive:
        chosen = _choose(archive.infolist(), unpacking)
        unpacking.expect(sum(info.file_size for info, _ in chosen if not _is_folder(info)))
        for info, target in chosen:
            if _is_folder(info):
                unpacking.make_folder(target)
                continue
            try:
                with archive.open(info) as source:
                    bounded = info.compress_type in _BOUNDED_METHODS
                    chunk_bytes = CHUNK_BYTES if bounded else _SMALL_CHUNK_BYTES
                    unpacking.write(source, target, info.file_size, chunk_bytes)
            except NotImplementedError as error:
                raise TaskError(
                    f"{target!r} of {unpacking.shown} is packed in a way that Python can't "
                    f"unpack ({error}). Unpack the archive by hand, for example with 7-Zip."
                ) from error
            except _ZIP_DAMAGE as error:
                lies = f" (in {where(info)})" if where else ""
                raise unpacking.damaged(error, f"{target!r}{lies}: ") from error
        unpacking.tell()


def _choose(
    infos: list[zipfile.ZipInfo], unpacking: Unpacking
) -> list[tuple[zipfile.ZipInfo, str]]:
    """The members to unpack and where to, after a look at all of them."""
    targets = Targets()
    chosen = []
    for info in infos:
        name = _name(info)
        kind = Kind.FOLDER if _is_folder(info) else Kind.FILE
        if kind_of_mode(info.external_attr >> 16) is Kind.OTHER:
            kind = Kind.OTHER
        target = targets.admit(name, kind)
        if target is None:
            continue
        if info.flag_bits & _ENCRYPTED:
            targets.problems.add(
                "members that are encrypted; unpack it by hand with the password", repr(name)
            )
        chosen.append((info, target))
    unpacking.refuse(targets.problems)
    return chosen


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.orig_filename.endswith("/") or kind_of_mode(info.external_attr >> 16) is Kind.FOLDER


def _name(info: zipfile.ZipInfo) -> str:
    """The name as the archive has it; zipfile's own may be mended or cut."""
    name = info.orig_filename
    if info.flag_bits & _UTF8_NAME or name.isascii():
        return name
    # Many write UTF-8 without saying so.
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


_PART = re.compile(r"(?P<stem>.+)\.(?:z(?P<number>\d{2,})|zip)", re.IGNORECASE | re.DOTALL)
_BUFFER_BYTES = 1 << 16
_SHOWN_MISSING = 10
_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\x05\x06"
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_MAGIC = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_MAGIC = b"PK\x06\x06"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_MAGIC = b"PK\x01\x02"
_MAX_COMMENT_BYTES = 0xFFFF
_FULL16 = 0xFFFF
_FULL32 = 0xFFFFFFFF
_EXTRA64 = 0x0001


def extract_split_zip(parts: Sequence[Path], unpacking: Unpacking) -> None:
    """Unpacks a split zip; progress counts unpacked bytes.

    Args:
        parts: As :func:`order_parts` returns them.

    Raises:
        TaskError: A part is missing, or whatever else can be wrong with a zip.
    """
    try:
        joined = _Joined(parts)
        with joined:
            end = _read_end(joined)
            _check_count(parts, end)
            joined.append(_joined_directory(joined, end, joined.starts))
            with io.BufferedReader(joined, _BUFFER_BYTES) as file:
                extract_zip(file, unpacking, where=joined.parts_of)
    except (*_ZIP_DAMAGE, DamagedError) as error:
        raise unpacking.damaged(error) from error


def is_split(path: Path) -> bool:
    """Whether a zip is one of several parts."""
    try:
        with _Joined([path]) as file:
            return _read_end(file).n_parts > 1
    except _ZIP_DAMAGE:
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


def _check_count(parts: Sequence[Path], end: _End) -> None:
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


@dataclass(frozen=True)
class _End:
    """The record at a zip's very end.

    Attributes:
        n_parts: How many parts there are; 1 for a zip that isn't split.
        part: The part in which the directory begins, from 0.
        offset: Position in that part.
        n_entries: Number of members that it lists.
    """

    n_parts: int
    part: int
    offset: int
    n_entries: int


def _read_end(file: io.RawIOBase) -> _End:
    """Reads the end record of a zip.

    Raises:
        DamagedError: There is none.
    """
    size = file.seek(0, io.SEEK_END)
    begin = max(0, size - _END.size - _MAX_COMMENT_BYTES)
    tail = _read(file, begin, size - begin)
    place = tail.rfind(_END_MAGIC, 0, max(0, len(tail) - _END.size) + len(_END_MAGIC))
    if place < 0:
        raise DamagedError("it has no end record, as the last part has (the one called .zip)")
    _, number, part, _, n_entries, _, offset, _ = _END.unpack_from(tail, place)
    end = _End(number + 1, part, offset, n_entries)
    locator_at = begin + place - _LOCATOR.size
    if locator_at < 0:
        return end
    magic, *_ = locator = _LOCATOR.unpack(_read(file, locator_at, _LOCATOR.size))
    if magic != _LOCATOR_MAGIC:
        return end
    # In all that is known to split, the record lies right before what tells where it lies.
    magic, _, _, _, number, part, _, n_entries, _, offset = _END64.unpack(
        _read(file, locator_at - _END64.size, _END64.size)
    )
    if magic != _END64_MAGIC or locator[3] not in (0, number + 1):
        raise DamagedError("its 64 bit end record is broken")
    return _End(number + 1, part, offset, n_entries)


def _joined_directory(file: io.RawIOBase, end: _End, starts: Sequence[int]) -> bytes:
    """The directory and end record that make one zip of the parts, to be appended to them.

    Args:
        file: All parts, one after the other.
        starts: Where each part begins in it, and where the last one ends.

    Raises:
        DamagedError: The directory is broken, or of other parts.
    """
    reader = io.BufferedReader(file, 1 << 16)
    try:
        reader.seek(_place(starts, end.part, end.offset))
        entries = b"".join(_entry(reader, starts) for _ in range(end.n_entries))
    finally:
        reader.detach()
    place = starts[-1]
    n_entries = end.n_entries
    end64 = _END64.pack(
        _END64_MAGIC, _END64.size - 12, 45, 45, 0, 0, n_entries, n_entries, len(entries), place
    )
    locator = _LOCATOR.pack(_LOCATOR_MAGIC, 0, place + len(entries), 1)
    last = _END.pack(_END_MAGIC, 0, 0, _FULL16, _FULL16, _FULL32, _FULL32, 0)
    return entries + end64 + locator + last


def _entry(reader: IO[bytes], starts: Sequence[int]) -> bytes:
    content = reader.read(_ENTRY.size)
    if len(content) < _ENTRY.size or not content.startswith(_ENTRY_MAGIC):
        raise DamagedError("its directory is broken, or the parts are not of one archive")
    head = list(_ENTRY.unpack(content))
    name_bytes, extra_bytes, comment_bytes = head[10:13]
    name = reader.read(name_bytes)
    extra = reader.read(extra_bytes)
    comment = reader.read(comment_bytes)
    if len(name) + len(extra) + len(comment) != name_bytes + extra_bytes + comment_bytes:
        raise DamagedError("its directory is cut off")
    packed, unpacked, part, offset = head[8], head[9], head[13], head[16]
    rest, wide = _without_wide_sizes(extra)
    # The long values come in this order, and only those that don't fit their place.
    n_long = (unpacked == _FULL32) + (packed == _FULL32) + (offset == _FULL32)
    if len(wide) < 8 * n_long + 4 * (part == _FULL16):
        raise DamagedError(f"its directory lacks the sizes of {name!r}")
    longs = list(struct.unpack_from(f"<{n_long}Q", wide))
    if unpacked == _FULL32:
        unpacked = longs.pop(0)
    if packed == _FULL32:
        packed = longs.pop(0)
    if offset == _FULL32:
        offset = longs.pop(0)
    if part == _FULL16:
        (part,) = struct.unpack_from("<L", wide, 8 * n_long)
    place = _place(starts, part, offset)
    extra = struct.pack("<2H3Q", _EXTRA64, 24, unpacked, packed, place) + rest
    if len(extra) > _FULL16:
        raise DamagedError(f"its directory says too much of {name!r}")
    head[8], head[9], head[11], head[13], head[16] = _FULL32, _FULL32, len(extra), 0, _FULL32
    return _ENTRY.pack(*head) + name + extra + comment


def _without_wide_sizes(extra: bytes) -> tuple[bytes, bytes]:
    """The extra field without the 64 bit sizes, and these."""
    rest = b""
    wide = b""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == _EXTRA64:
            wide = extra[4 : 4 + size]
        else:
            rest += extra[: 4 + size]
        extra = extra[4 + size :]
    return rest, wide


def _place(starts: Sequence[int], part: int, offset: int) -> int:
    if part + 1 >= len(starts) or starts[part] + offset > starts[part + 1]:
        raise DamagedError(
            f"its directory points beyond part {part + 1}, which is cut off, or of another archive"
        )
    return starts[part] + offset


def _read(file: io.RawIOBase, place: int, size: int) -> bytes:
    if place < 0:
        raise DamagedError("it is too short")
    file.seek(place)
    content = b""
    while len(content) < size:
        more = file.read(size - len(content))
        if not more:
            raise DamagedError("it is too short")
        content += more
    return content
