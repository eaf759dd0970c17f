"""Unpacking ``.tar.gz`` archives of tasks without trusting them."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from hearkit.errors import TaskError
from hearkit.files import atomic_folder
from hearkit.tasks.problems import Problems

__all__ = ["extract_members", "unpack_archive"]

_REMEDY = "Nothing was unpacked. Download the archive again from a source that you trust."


def unpack_archive(path: Path, folder: Path) -> None:
    """Unpacks a ``.tar.gz`` into a folder that appears once all of it is there.

    Raises:
        TaskError: The file is no gzipped tar, is cut off, or has members that are links, devices
            or would land outside the folder; then nothing is unpacked.
    """
    with atomic_folder(folder) as temporary:
        problems = extract_members(path, temporary)
        if problems:
            raise problems.error(f"The archive {path} can't be unpacked:", _REMEDY)


def extract_members(path: Path, folder: Path) -> Problems:
    """Unpacks the good members of a ``.tar.gz`` and returns what is wrong with the others.

    Only folders and plain files are made, with default permissions; owners, times and links of
    the archive are not taken over.

    Raises:
        TaskError: The file is no gzipped tar, or is cut off.
    """
    problems = Problems()
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                wrong = _what_is_wrong(member)
                if wrong:
                    problems.add(wrong, repr(member.name))
                    continue
                target = folder.joinpath(*PurePosixPath(member.name).parts)
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    _copy(archive, member, target)
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise TaskError(
            f"The archive {path} can't be unpacked: {error or type(error).__name__}. It may be "
            "damaged, cut off, or no .tar.gz at all; compare its size or md5 with the source's, "
            "and download it again."
        ) from error
    return problems


def _what_is_wrong(member: tarfile.TarInfo) -> str | None:
    name = member.name
    parts = PurePosixPath(name).parts
    # A colon or backslash is harmless here, but names a drive or a folder on Windows.
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in (parts or ("",))[0]:
        return "members that would land outside the folder"
    if not (member.isreg() or member.isdir()):
        return "members that are links, devices or the like"
    return None


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name} has no content")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
