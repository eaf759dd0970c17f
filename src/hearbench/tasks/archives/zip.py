"""Zip archives."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from hearbench.errors import TaskError
from hearbench.tasks.archives.members import Kind, Targets, kind_of_mode
from hearbench.tasks.archives.unpacking import CHUNK_BYTES, DamagedError, Unpacking

__all__ = ["ZIP_DAMAGE", "extract_zip"]

ZIP_DAMAGE = (
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
    except (*ZIP_DAMAGE, NotImplementedError) as error:
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
            except ZIP_DAMAGE as error:
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
