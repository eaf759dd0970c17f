"""Checks that a submission has the files that belong to it, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.seeds import seed_folders
from hearbench.results.splits import SPLIT_OF
from hearbench.results.uncertainty import UNCERTAINTY_FILE
from hearbench.results.untrusted import read_array

__all__ = ["FORM", "appended_problems", "extra_problems", "link_problems", "result_files", "walk"]

FORM = "test.predicted-scores.json"
_MOST_FILES = 20_000
_MOST_BYTES = 64 << 30


def result_files(folder: Path) -> list[str]:
    """Lists the files of a result and the further seeds below it, as paths within its folder.

    Optional ones are only listed where they exist.

    Raises:
        ResultError: There is no result, or those of the seeds are of different things.
    """
    found = []
    for place, result in seed_folders(folder):
        own = place.relative_to(folder).as_posix()
        prefix = "" if own == "." else f"{own}/"
        found += [f"{prefix}{name}" for name in _needed(result)]
    if (folder / UNCERTAINTY_FILE).is_file():
        found.append(UNCERTAINTY_FILE)
    return found


def _needed(result: Result) -> list[str]:
    names = [RESULT_FILE, FORM, "predictions/labels.json", "predictions/clips.json"]
    endings = SPLIT_OF[result.task_type].endings
    for fold in result.folds:
        names += [f"predictions/{fold.test}.{ending}" for ending in endings]
    return names


def walk(folder: Path) -> Iterator[Path]:
    """Yields all files and folders below a folder, without following links.

    Raises:
        ResultError: There is far more of it than any submission has.
    """
    count = size = 0
    for where, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(where, name)
            count += 1
            if not path.is_symlink() and path.is_file():
                size += path.stat().st_size
            if count > _MOST_FILES:
                raise ResultError(f"There are more than {_MOST_FILES} files and folders.")
            if size > _MOST_BYTES:
                raise ResultError(f"Its files have more than {_MOST_BYTES >> 30} GiB.")
            yield path


def link_problems(paths: list[Path], bundle: Path) -> list[str]:
    """Finds what is neither a file nor a folder."""
    return [
        f"{path.relative_to(bundle).as_posix()} is neither a file nor a folder. Links can't be "
        "submitted."
        for path in paths
        if path.is_symlink() or not (path.is_file() or path.is_dir())
    ]


def extra_problems(paths: list[Path], bundle: Path, known: set[str]) -> Iterator[str]:
    """Finds files and folders that aren't a submission's, and files that are missing.

    Args:
        paths: All files and folders.
        bundle: The submission's folder.
        known: The submission's files, as paths within it.
    """
    folders = {
        "/".join(parts[:i])
        for parts in (name.split("/") for name in known)
        for i in range(1, len(parts))
    }
    there = set()
    for path in paths:
        name = path.relative_to(bundle).as_posix()
        if path.is_dir():
            if name not in folders:
                yield f"{name}/ is no folder of a submission. Take it out."
        elif name not in known:
            yield f"{name} is no file of a submission. Take it out."
        else:
            there.add(name)
    for name in sorted(known - there):
        yield f"{name} is missing, which belongs to a submission."


def appended_problems(folder: Path, names: list[str]) -> Iterator[str]:
    """Finds arrays whose files have something else behind the array.

    Raises:
        ResultError: One isn't an array.
    """
    for name in names:
        file = folder / name
        if not name.endswith(".npy") or not file.is_file():
            continue
        array = read_array(file)
        begin = getattr(array, "offset", None)
        if begin is not None and begin + array.nbytes != file.stat().st_size:
            yield f"{name} has more in it than its array."
