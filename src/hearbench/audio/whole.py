"""Whether an audio file lost its end, by what its container says of itself.

Decoders pass over a missing end without a word, and a clip that lost it would be scored. Only
chunks that hold samples, or that decoding needs, are looked at: a comment that was cut off does
no harm. Where a header doesn't know its length, as that of a stream, everything counts as there.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hearbench.errors import AudioError

__all__ = ["cut_off", "ogg_streams", "refuse_cut_off"]

_HEADER_BYTES = 1024  # as much as any of these headers takes before its first chunk
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_ASF_TAIL = b"\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"})
_NEEDED_BOXES = frozenset({b"moov", b"mdat", b"moof"})
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MOST_CHUNKS = 100_000  # so that a file made of nothing but chunks can't keep anybody busy
_VOC = b"Creative Voice File\x1a"
_OGG = struct.Struct("<4sBBqIIIB")
_SDS_HEADER, _SDS_PACKET = 21, 127
_FIRST_PAGE, _LAST_PAGE = 2, 4


@dataclass(frozen=True)
class _Layout:
    """The layout of the chunks of a container, one after the other.

    Attributes:
        begin: Position of the first chunk.
        id_bytes: Length of a chunk's name.
        size: The number that follows it, as :mod:`struct` has it.
        needed: Names of the chunks that are looked at, until all were found.
        aligned: Chunks begin at multiples of this.
        counts_itself: Whether the size includes name and size.
    """

    begin: int
    id_bytes: int
    size: str
    needed: frozenset[bytes]
    aligned: int = 2
    counts_itself: bool = False


def refuse_cut_off(path: Path, file: BinaryIO) -> None:
    """Raises where a header promises more than the file holds; the path is for messages.

    Raises:
        AudioError: The file lost its end.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    header = file.read(_HEADER_BYTES)
    for promised, there in _promises(header, file, size):
        if promised > there:
            raise cut_off(
                path, f"its header promises {promised} bytes of samples, {there} are there"
            )
    if (end := _first_end(header, file, size)) is not None and 8 < end < size:
        file.seek(end)
        if file.read(4) == header[:4]:
            raise AudioError(
                f"{path} holds another file behind the first, of which nothing would be heard; "
                "take them apart."
            )


def cut_off(path: Path, why: str) -> AudioError:
    """Makes the error that a file lost its end, with what shows it."""
    return AudioError(f"{path} is damaged, its end is cut off: {why}.")


def _promises(header: bytes, file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yields the bytes that are promised and those that exist, for each part that is needed."""
    layout = _layout(header)
    if layout is not None:
        yield from _chunks(layout, file, size)
    elif header[4:8] in _BOXES:
        for name, begin, promised in _boxes(file, size):
            if name in _NEEDED_BOXES:
                yield promised, size - begin
    elif header.startswith(_EBML):
        yield from _segment(header, size)
    elif header[:4] in {b".snd", b"dns."} and len(header) >= 12:
        begin, promised = struct.unpack(">II" if header[:1] == b"." else "<II", header[4:12])
        if not _is_unknown(promised, 4):
            yield promised, max(0, size - begin)
    elif header.startswith(b"NIST_1A\n"):
        yield from _sphere(header, size)
    elif header.startswith(_VOC):
        yield from _voice_blocks(header, file, size)
    elif header.startswith(b"\xf0\x7e") and header[3:4] == b"\x01":
        yield from _sample_dump(header, size)


def _first_end(header: bytes, file: BinaryIO, size: int) -> int | None:
    """The end of a file by its header, for formats of which decoders read nothing behind that."""
    magic = header[:4]
    if len(header) < 24:
        return None
    if magic in {b"RIFF", b"RIFX", b"FORM"}:
        n_bytes = int.from_bytes(header[4:8], "little" if magic == b"RIFF" else "big")
        return 8 + n_bytes + n_bytes % 2
    if header.startswith(_W64):
        return int.from_bytes(header[16:24], "little")
    if magic == b".snd":
        return int.from_bytes(header[4:8], "big") + int.from_bytes(header[8:12], "big")
    if header[4:8] == b"ftyp":
        again = (begin for name, begin, _ in _boxes(file, size) if name == b"ftyp" and begin > 0)
        return next(again, None)
    if magic == b"caff":
        return _next_caf(file, size)
    return None


def _next_caf(file: BinaryIO, end: int) -> int | None:
    """The beginning of another CAF file behind the chunks of the first."""
    begin = 8
    for _ in range(_MOST_CHUNKS):
        file.seek(begin)
        head = file.read(12)
        if len(head) < 12 or head.startswith(b"caff"):
            return begin if head.startswith(b"caff") else None
        begin += 12 + int.from_bytes(head[4:], "big")
        if begin >= end:
            return None
    return None


def _layout(header: bytes) -> _Layout | None:
    magic, form = header[:4], header[8:12]
    if magic in {b"RIFF", b"RIFX", b"RF64", b"BW64"} and form in {b"WAVE", b"AVI "}:
        needed = frozenset({b"data"} if form == b"WAVE" else {b"LIST", b"idx1"})
        return _Layout(12, 4, ">I" if magic == b"RIFX" else "<I", needed)
    if magic == b"FORM" and form in {b"AIFF", b"AIFC", b"8SVX", b"16SV"}:
        return _Layout(
            12, 4, ">I", frozenset({b"SSND", b"COMM"} if form[:1] == b"A" else {b"BODY", b"VHDR"})
        )
    if header.startswith(_W64):
        return _Layout(40, 16, "<Q", frozenset({_W64_DATA}), aligned=8, counts_itself=True)
    if magic == b"caff":
        needed = frozenset({b"desc", b"kuki", b"pakt", b"data"})
        return _Layout(8, 4, ">Q", needed, aligned=1)
    if header.startswith(b"\x30" + _ASF_TAIL):
        needed = frozenset({b"\x36" + _ASF_TAIL})
        return _Layout(0, 16, "<Q", needed, aligned=1, counts_itself=True)
    if magic == b"DSD ":
        return _Layout(0, 4, "<Q", frozenset({b"data"}), aligned=1, counts_itself=True)
    return None


def _chunks(layout: _Layout, file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    number = struct.Struct(layout.size)
    head_bytes = layout.id_bytes + number.size
    begin, long_size = layout.begin, None
    missing = set(layout.needed)
    for _ in range(_MOST_CHUNKS):
        if begin + head_bytes > end:
            return
        file.seek(begin)
        head = file.read(head_bytes)
        name, size = head[: layout.id_bytes], number.unpack(head[layout.id_bytes :])[0]
        if name == b"ds64":  # of a WAV beyond 4 GB, whose data chunk can't say its size
            long_size = struct.unpack("<8xQ", file.read(16))[0] if begin + 24 <= end else None
        n_bytes = number.size
        if name == b"data" and long_size is not None and size == 0xFFFFFFFF:
            size, n_bytes = long_size, 8
        needed = name in layout.needed
        if _is_unknown(size, n_bytes) and (needed or size > 0):
            return
        if layout.counts_itself:
            size -= head_bytes
        if size < 0:
            return
        if needed:
            yield size, end - begin - head_bytes
        missing.discard(name)
        if not missing:
            return
        begin += head_bytes + size
        begin += -begin % layout.aligned


def _is_unknown(size: int, n_bytes: int) -> bool:
    """Whether a size stands for "until the end of the file".

    Writers to a pipe put the greatest number that they can into the header, signed or unsigned,
    or one somewhat smaller: less a header, or rounded (SoX 0x7ffff000, arecord 0x7fffff00).
    """
    if n_bytes == 8:
        return size == 0 or size >= 1 << 62
    return size == 0 or 0x7F000000 <= size <= 0x80010000 or size >= 0xFF000000


def _boxes(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and length of the boxes of MP4, M4A and QuickTime."""
    begin = 0
    for _ in range(_MOST_CHUNKS):
        if begin + 8 > end:
            return
        file.seek(begin)
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1 and begin + 16 <= end:
            size = struct.unpack(">Q", file.read(8))[0]
        if size < 8:  # 0 is until the end of the file; anything else isn't a box any more
            return
        yield name, begin, size
        begin += size


def _segment(header: bytes, end: int) -> Iterator[tuple[int, int]]:
    """The segment of Matroska and WebM, which is nearly all of the file."""
    first = _vint(header, 4)
    if first is None or first[0] is None:
        return
    begin = first[1] + first[0]
    if header[begin : begin + 4] != _SEGMENT:
        return
    segment = _vint(header, begin + 4)
    if segment is not None and segment[0] is not None:
        yield segment[0], end - segment[1]


def _vint(data: bytes, begin: int) -> tuple[int | None, int] | None:
    """An EBML number, None where it stands for an unknown size, and the place behind it."""
    if begin >= len(data) or data[begin] == 0:
        return None
    length = 9 - data[begin].bit_length()
    bits = 7 * length
    value = int.from_bytes(data[begin : begin + length], "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value, begin + length


def _sphere(header: bytes, end: int) -> Iterator[tuple[int, int]]:
    """NIST SPHERE, of uncompressed samples."""
    fields = dict(re.findall(rb"^(\w+) -\w+ ([^\r\n]*)", header, re.MULTILINE))
    if fields.get(b"sample_coding", b"pcm") not in {b"pcm", b"ulaw", b"alaw"}:
        return
    try:
        begin = int(header[8:16])
        n = int(fields[b"sample_count"])
        width = int(fields[b"sample_n_bytes"]) * int(fields[b"channel_count"])
    except (KeyError, ValueError):
        return  # it is up to the decoder
    yield n * width, max(0, end - begin)


def _voice_blocks(header: bytes, file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The blocks of a Creative Voice File."""
    begin = int.from_bytes(header[20:22], "little")
    while begin + 4 <= end:
        file.seek(begin)
        kind, *size = file.read(4)
        n_bytes = int.from_bytes(size, "little")
        if kind == 0:
            return
        yield n_bytes, end - begin - 4
        begin += 4 + n_bytes


def _sample_dump(header: bytes, end: int) -> Iterator[tuple[int, int]]:
    """The packets of a MIDI sample dump, of 120 bytes of samples each, 7 bits in every byte."""
    if len(header) < _SDS_HEADER:
        return
    n = header[10] | header[11] << 7 | header[12] << 14
    per_packet = 120 // max(2, -(-header[6] // 7))
    yield -(-n // max(1, per_packet)) * _SDS_PACKET, end - _SDS_HEADER


def ogg_streams(path: Path, file: BinaryIO) -> list[tuple[int, int]]:
    """Begin and end of the streams that stand one after the other in an Ogg file.

    There is one but in a chained file, as web radio and joined takes give it. A file in another
    format has none.

    Raises:
        AudioError: A stream lacks the page that ends it.
    """
    end = file.seek(0, io.SEEK_END)
    begins: list[int] = []
    unfinished: set[int] = set()
    place, started = 0, False
    while place + _OGG.size <= end:
        file.seek(place)
        magic, _, flags, _, serial, _, _, n_segments = _OGG.unpack(file.read(_OGG.size))
        if magic != b"OggS":
            if not begins:
                return []
            place = _next_page(file, place + 1, end)
            continue
        page_end = place + _OGG.size + n_segments + sum(file.read(n_segments))
        file.seek(page_end)
        if page_end <= end and file.read(4) not in {b"OggS", b""}:
            # Something else comes behind, or the next stream begins before this page is over.
            following = _next_page(file, place + 1, end)
            is_whole = following >= page_end
            page_end = following
        else:
            is_whole = page_end <= end
        if flags & _FIRST_PAGE:
            # Streams that sound together begin together, before any other page.
            if started or not begins:
                begins.append(place)
                started = False
            unfinished.add(serial)
        else:
            started = True
        if flags & _LAST_PAGE and is_whole:
            unfinished.discard(serial)
        place = page_end
    if unfinished:
        raise cut_off(path, "the page that ends its stream is missing")
    return list(zip(begins, [*begins[1:], end][: len(begins)], strict=True))


def _next_page(file: BinaryIO, begin: int, end: int) -> int:
    """The beginning of the next page of Ogg; the end of the file if there is none."""
    file.seek(begin)
    before = b""
    while block := file.read(1 << 16):
        found = (before + block).find(b"OggS")
        if found >= 0:
            return begin - len(before) + found
        begin += len(block)
        before = block[-3:]
    return end
