"""Tar archives, plain or packed with gzip, bzip2 or xz."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from pathlib import Path
from typing import IO, cast

from hearbench.tasks.archives.unpacking import CHUNK_BYTES, DamagedError, Kind, Targets, Unpacking
from hearbench.tasks.problems import Problems

__all__ = ["COMPRESSION_MAGIC", "extract_tar"]

COMPRESSION_MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
"""How a file begins that may be a packed tar."""

_MAX_HEADER_BYTES = 1 << 20  # long names and the like
_MAX_PADDING_BYTES = 64 << 20  # after the end mark

_DAMAGED = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,
    ValueError,
    OverflowError,
    DamagedError,
)


def extract_tar(path: Path, unpacking: Unpacking) -> Problems:
    """Unpacks the good members, and returns what is wrong with the others.

    Sizes come one by one, so they are counted on the way. The progress is told in bytes of the
    archive, as no one knows what it unpacks to.

    Raises:
        TaskError: It is no tar, cut off or damaged; or it is too big, or can't be written.
    """
    targets = Targets()
    try:
        with path.open("rb") as file, _unpacked(file) as content:
            stream = _Stream(content)
            total = path.stat().st_size
            unpacking.meter = lambda: (file.tell(), total)
            stream.left_bytes = _MAX_HEADER_BYTES
            with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
                for member in archive:
                    _extract(archive, member, stream, targets, unpacking)
                    unpacking.tell()
                    stream.left_bytes = _MAX_HEADER_BYTES
            _check_end(stream, packed=content is not file)
            unpacking.tell()
    except _DAMAGED as error:
        raise unpacking.damaged(error) from error
    return targets.problems


def _extract(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    stream: _Stream,
    targets: Targets,
    unpacking: Unpacking,
) -> None:
    if member.size < 0:
        raise tarfile.ReadError(f"{member.name!r} has a negative size")
    # What isn't written has to be read all the same to get past it.
    unpacking.check_ratio(archive.offset)
    kind = Kind.OTHER
    if member.isdir():
        kind = Kind.FOLDER
    elif member.isreg():
        kind = Kind.FILE
    target = targets.admit(member.name, kind)
    if target is None:
        return
    if kind is Kind.FOLDER:
        unpacking.make_folder(target)
        return
    unpacking.expect(unpacking.written_bytes + member.size, at_least=True)
    stream.left_bytes = member.size + _MAX_HEADER_BYTES
    source = archive.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name!r} has no content")
    with source:
        unpacking.write(source, target, member.size)


def _check_end(stream: _Stream, *, packed: bool) -> None:
    """Makes sure that the archive ended, as tarfile takes a broken header for the end.

    The rest is read too, as the check sum of a packed one comes last.
    """
    if stream.last.strip(b"\0") or (len(stream.last) < tarfile.BLOCKSIZE and not packed):
        raise tarfile.ReadError("it has no end, or a broken header")
    stream.left_bytes = _MAX_PADDING_BYTES
    while stream.read(CHUNK_BYTES):
        pass


class _Stream:
    """The stream that tarfile reads from, which never gives more than it should need.

    By itself it reads a header into memory that claims to be any size.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.left_bytes = 0
        self.last = b""
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self.left_bytes:
            raise tarfile.ReadError("a header, or what follows the end, is too long")
        self.left_bytes -= size
        self.last = self._file.read(size)
        return self.last

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    begin = file.read(6)
    file.seek(0)
    for magic, name in COMPRESSION_MAGIC.items():
        if begin.startswith(magic):
            if name == "gz":
                return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
            if name == "bz2":
                return cast("IO[bytes]", bz2.BZ2File(file))
            return cast("IO[bytes]", lzma.LZMAFile(file))
    return file
