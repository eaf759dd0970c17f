"""Replaces a site by another: all of it or nothing, and never anything else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hearbench.errors import HearError
from hearbench.files import SYNTAX_ERRORS, TEMPORARY_PREFIX

__all__ = ["MARKER", "check_replaceable", "write_folder"]

MARKER = ".hearbench-site.json"
_FORMAT = "hearbench leaderboard site"


def check_replaceable(out: Path) -> None:
    """Looks whether a folder is free, or holds a site and nothing else.

    Raises:
        HearError: It holds anything that isn't of a site, which is named.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise HearError(f"{out} is a file; choose a folder for the site.")
    there = {
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if not there:
        return
    listed = _listed(out)
    if listed is None:
        raise HearError(
            f"{out} isn't empty and isn't a site of hearbench's, so nothing in it is replaced. "
            "Choose another --out, or empty it."
        )
    foreign = sorted(there - listed - {MARKER})
    if foreign:
        raise HearError(
            f"{out} holds {foreign[0]}, which isn't of the site"
            + (f", and {len(foreign) - 1} more such files" if foreign[1:] else "")
            + ". Replacing the site would delete it; move it, or choose another --out."
        )


def write_folder(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Makes a folder of files, in the place of an older site if there is one.

    The new one is written beside it and then takes its place, so that a run that is killed half-way
    leaves the old one.

    Args:
        files: Contents by their paths within it, with slashes.

    Returns:
        The paths of the files, sorted.

    Raises:
        HearError: The folder holds something else, or can't be written.
    """
    out = out.resolve()
    check_replaceable(out)
    marker = {"format": _FORMAT, "files": sorted(files)}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=out.parent) as work:
            new = Path(work) / "new"
            new.mkdir()
            for name, content in {
                **files,
                MARKER: (json.dumps(marker, indent=1) + "\n").encode(),
            }.items():
                path = new / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                _flush(path)
            _swap(new, out, Path(work) / "old")
    except OSError as error:
        raise HearError(
            f"The site can't be written to {out}: {error.strerror}.", code="io"
        ) from error
    return sorted(out / name for name in files)


def _listed(out: Path) -> set[str] | None:
    """The files of the site in a folder, by its marker; None if there is none to trust."""
    try:
        marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, *SYNTAX_ERRORS):
        return None
    if not isinstance(marker, dict) or marker.get("format") != _FORMAT:
        return None
    names = marker.get("files")
    return {str(name) for name in names} if isinstance(names, list) else None


def _swap(new: Path, out: Path, old: Path) -> None:
    if not out.exists():
        new.rename(out)
        return
    out.rename(old)
    try:
        new.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
