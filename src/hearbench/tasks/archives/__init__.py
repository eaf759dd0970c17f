"""Unpacking archives of tasks and corpora without trusting them.

Only folders and plain files are made, with default permissions; owners, times and links of an
archive are not taken over, and what macOS adds on its own (``__MACOSX/``, ``._x``, ``.DS_Store``)
is left out. An archive is refused as a whole if a member would land outside the folder, is a link
or device, has the name of another one or lies below a file; if it would unpack to more than 1 GiB
and 200 times its size; or if that leaves less than 256 MiB of the disk free.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.progress import Update
from hearbench.tasks.archives.rar import RAR_MAGIC, extract_rar, volumes_size_bytes
from hearbench.tasks.archives.tar import COMPRESSION_MAGIC, extract_tar
from hearbench.tasks.archives.unpacking import Unpacking, new_folder
from hearbench.tasks.archives.zip import (
    extract_split_zip,
    extract_zip,
    is_split,
    order_parts,
    parts_beside,
)
from hearbench.tasks.problems import Problems

__all__ = ["extract_members", "is_archive", "unpack_archive", "unpack_split_zip"]

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ENDINGS = (*_TAR_ENDINGS, ".zip", ".rar")
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00")
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_AT = 257


def is_archive(name: str) -> bool:
    """Whether a file's name says that :func:`unpack_archive` takes it.

    The numbered parts of a split zip (``.z01``) are no archives by themselves.
    """
    return name.lower().endswith(_ENDINGS)


def unpack_archive(path: Path, folder: Path, *, update: Update | None = None) -> None:
    """Unpacks an archive into a folder that appears once it is complete.

    Args:
        path: A tar, plain or packed with gzip, bzip2 or xz; a zip; the last part of a split zip
            with the others beside it; or a rar, which takes ``unrar``, ``unar``, ``7z`` or
            ``bsdtar`` unless it is merely stored. The content counts, then the name.
        folder: What it becomes. Nothing is changed if the folder exists already.
        update: Receives progress: unpacked bytes of a zip or rar, and bytes of the archive
            itself for a tar, which doesn't say what it unpacks to.

    Raises:
        TaskError: It is no archive, damaged, cut off or encrypted, too big for the disk or for
            its size, or has members that are refused (all are named). Then nothing is left.
    """
    kind = _kind(path)
    if kind == "zip" and is_split(path):
        unpack_split_zip(parts_beside(path), folder, update=update)
        return
    with new_folder(str(path), folder) as temporary:
        size_bytes = volumes_size_bytes(path) if kind == "rar" else path.stat().st_size
        unpacking = Unpacking(str(path), size_bytes, temporary, update=update)
        if kind == "tar":
            unpacking.refuse(extract_tar(path, unpacking))
        elif kind == "zip":
            extract_zip(path, unpacking)
        else:
            extract_rar(path, unpacking)


def unpack_split_zip(parts: Sequence[Path], folder: Path, *, update: Update | None = None) -> None:
    """Unpacks a split zip into a folder that appears once it is complete.

    The parts are read where they lie; nothing is joined on the disk.

    Args:
        parts: All of ``x.z01``, ``x.z02``, ..., ``x.zip``, in any order, in any folders.
        folder: What it becomes. Nothing is changed if the folder exists already.
        update: Receives progress in unpacked bytes.

    Raises:
        TaskError: Parts are missing (they are named), or of several archives; or as for
            :func:`unpack_archive`.
    """
    ordered = order_parts(parts)
    shown = str(ordered[-1])
    with new_folder(shown, folder) as temporary:
        size_bytes = sum(part.stat().st_size for part in ordered)
        extract_split_zip(ordered, Unpacking(shown, size_bytes, temporary, update=update))


def extract_members(path: Path, folder: Path) -> Problems:
    """Unpacks the good members of a tar and returns what is wrong with the others.

    For those who want to say what else is wrong with an archive that they will refuse.

    Args:
        path: A tar, plain or packed.
        folder: A folder that exists and is empty.

    Raises:
        TaskError: The file is no tar, is damaged, cut off or too big.
    """
    return extract_tar(path, Unpacking(str(path), path.stat().st_size, folder))


def _kind(path: Path) -> str:
    """One of tar, zip and rar."""
    try:
        with path.open("rb") as file:
            begin = file.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
    except OSError as error:
        raise TaskError(f"The archive {path} can't be read: {error.strerror or error}.") from error
    name = path.name.lower()
    if begin.startswith(RAR_MAGIC):
        return "rar"
    if begin.startswith(_ZIP_MAGIC):
        return "zip"
    if begin.startswith(tuple(COMPRESSION_MAGIC)) or begin[_TAR_MAGIC_AT:] == _TAR_MAGIC:
        return "tar"
    if name.endswith(_TAR_ENDINGS):
        return "tar"
    # A zip may have a program before it that unpacks it.
    if name.endswith(".zip") or zipfile.is_zipfile(path):
        return "zip"
    if name.endswith(".rar"):
        return "rar"
    raise TaskError(
        f"{path} is no archive that can be unpacked: neither tar (gz, bz2, xz), zip nor rar. If "
        "it is another kind, unpack it by hand."
    )
