"""The directory of a split zip, rewritten for its parts joined to one file.

A split zip says of each member on which part and where in that part it begins. Python's zipfile
knows a single file only, so the directory is written anew with places in all parts together,
in the 64 bit form that fits any size. The format: PKWARE's APPNOTE.TXT, sections 4.3.12 to 4.3.16
and 4.5.3 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from hearbench.tasks.archives.unpacking import DamagedError

__all__ = ["End", "joined_directory", "read_end"]

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


@dataclass(frozen=True)
class End:
    """What the record at a zip's very end says.

    Attributes:
        n_parts: How many parts there are; 1 for a zip that isn't split.
        part: The part in which the directory begins, from 0.
        offset: Where in that part.
        n_entries: How many members it lists.
    """

    n_parts: int
    part: int
    offset: int
    n_entries: int


def read_end(file: io.RawIOBase) -> End:
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
    end = End(number + 1, part, offset, n_entries)
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
    return End(number + 1, part, offset, n_entries)


def joined_directory(file: io.RawIOBase, end: End, starts: Sequence[int]) -> bytes:
    """The directory and end record that make one zip of the parts, to be appended to them.

    Args:
        file: All parts, one after the other.
        end: Its end record.
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
