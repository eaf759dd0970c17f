"""Where results lie in folders, those of further seeds among them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.files import TEMPORARY_PREFIX
from hearbench.results.curve import FEW_LABELS
from hearbench.results.record import RESULT_FILE, Result

__all__ = ["SEEDS_FOLDER", "check_seeds", "find_result_files", "seed_folders", "walk_results"]


SEEDS_FOLDER = "seeds"


def walk_results(place: Path, *names: str) -> Iterator[Path]:
    """Files of results in and below a folder; not those of further seeds or parts of a curve.

    Parts of a curve are found where the folder itself is theirs.

    Args:
        names: Names of the files, as ``result.json``.
    """
    for folder, folders, files in os.walk(place):
        here = Path(folder)
        yield from (here / name for name in names if name in files)
        # What lies below a result belongs to it.
        has_result = RESULT_FILE in files
        folders[:] = sorted(
            name
            for name in folders
            if name == FEW_LABELS
            or not (has_result or name == SEEDS_FOLDER or name.startswith((".", TEMPORARY_PREFIX)))
        )
        if here.name == FEW_LABELS and here != place:
            folders.clear()


def find_result_files(place: Path) -> tuple[Path, ...]:
    """The ``result.json`` of each result, sorted.

    Args:
        place: A ``result.json``, its folder, a model's folder, or one of several models, as
            ``hearbench evaluate --out`` makes it.

    Raises:
        ResultError: There is none.
    """
    files = [place] if place.is_file() else sorted(walk_results(place, RESULT_FILE))
    if not files:
        what = "holds no" if place.is_dir() else "is not there, nor is a"
        raise ResultError(
            f"{place} {what} {RESULT_FILE}. Name the folder that `hearbench evaluate --out` wrote "
            "to."
        )
    return tuple(files)


def seed_folders(folder: Path) -> tuple[tuple[Path, Result], ...]:
    """A result's folder, and those of its further seeds, ``seeds/<seed>``, by their number.

    Returns:
        Each folder with what its ``result.json`` says.

    Raises:
        ResultError: A folder has no result, or they are of different things.
    """
    place = folder / SEEDS_FOLDER
    further = sorted(
        (each for each in place.glob("*") if each.name.isascii() and each.name.isdigit()),
        key=lambda each: (int(each.name), each.name),
    )
    found = tuple((each, Result.read(each)) for each in (folder, *further))
    check_seeds(found)
    return found


def check_seeds(results: Sequence[tuple[Path, Result]]) -> None:
    """Sees to it that results differ in the seed, and in what comes of it, alone.

    Raises:
        ResultError: They don't.
    """
    first_folder, first = results[0]
    seen: dict[int, Path] = {}
    for folder, result in results:
        file = folder / RESULT_FILE
        if result.seed in seen:
            raise ResultError(
                f"{seen[result.seed] / RESULT_FILE} and {file} are both of seed {result.seed}; "
                "remove one of them."
            )
        seen[result.seed] = folder
        differences = [
            what
            for what, own, other in (
                ("model", result.model.digest, first.model.digest),
                ("task", result.task.digest, first.task.digest),
                ("embeddings", result.embeddings.digest, first.embeddings.digest),
                ("protocol", result.protocol.trains_as(first.protocol, first.primary_score), True),
                ("precision", result.precision, first.precision),
                ("scores", list(result.scores), list(first.scores)),
            )
            if own != other
        ]
        if differences:
            raise ResultError(
                f"{file} and {first_folder / RESULT_FILE} should differ in the seed alone, and are "
                f"of another {' and another '.join(differences)}. Evaluate again with --seeds."
            )
