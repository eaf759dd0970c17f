"""Results in and below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.files import TEMPORARY_PREFIX
from hearbench.results.curve import FEW_LABELS
from hearbench.results.record import RESULT_FILE
from hearbench.results.seeds import SEEDS_FOLDER

__all__ = ["find_result_files"]


def find_result_files(place: Path) -> tuple[Path, ...]:
    """The ``result.json`` of each result, sorted; not those of a result's further seeds.

    Args:
        place: A ``result.json``, its folder, a model's folder, or one of several models, as
            ``hearbench evaluate --out`` makes it.

    Raises:
        ResultError: There is none.
    """
    files = [place] if place.is_file() else sorted(_below(place))
    if not files:
        what = "holds no" if place.is_dir() else "is not there, nor is a"
        raise ResultError(
            f"{place} {what} {RESULT_FILE}. Name the folder that `hearbench evaluate --out` wrote "
            "to."
        )
    return tuple(files)


def _below(place: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(place):
        if RESULT_FILE in files:
            yield Path(folder, RESULT_FILE)
            folders.clear()
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", TEMPORARY_PREFIX))
            and name not in (SEEDS_FOLDER, FEW_LABELS)
        ]
