"""Where results lie in folders, those of further seeds and of a network's layers among them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.files import TEMPORARY_PREFIX
from hearbench.registry import nearest_path
from hearbench.results.curve import FEW_LABELS
from hearbench.results.record import RESULT_FILE, Result

__all__ = [
    "LAYERS_FOLDER",
    "SEEDS_FOLDER",
    "check_seeds",
    "find_result_files",
    "layer_folder",
    "layer_folders",
    "seed_folders",
    "telling_name",
    "walk_results",
]

SEEDS_FOLDER = "seeds"
LAYERS_FOLDER = "layers"


def walk_results(place: Path, *names: str) -> Iterator[Path]:
    """Files of results in and below a folder; not those of seeds, layers or parts of a curve.

    Those are found where the folder itself is theirs.

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
        elif here.name == LAYERS_FOLDER and here != place:
            # An --out folder may be called so, too, and holds folders of models.
            folders[:] = [name for name in folders if not _is_number(name)]


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
        near = "" if place.is_dir() else nearest_path(place)
        raise ResultError(
            f"{place} {what} {RESULT_FILE}.{near} Name the folder that `hearbench evaluate --out` "
            "wrote to."
        )
    return tuple(files)


def seed_folders(folder: Path) -> tuple[tuple[Path, Result], ...]:
    """A result's folder, and those of its further seeds, ``seeds/<seed>``, by their number.

    Returns:
        Each folder with what its ``result.json`` says.

    Raises:
        ResultError: A folder has no result, or they are of different things.
    """
    further = [each for _, each in _numbered(folder / SEEDS_FOLDER)]
    found = tuple((each, Result.read(each)) for each in (folder, *further))
    check_seeds(found)
    return found


def layer_folder(folder: Path, layer: int) -> Path:
    """Where the result of one of a network's layers is, within ``MODEL/TASK``."""
    return folder / LAYERS_FOLDER / f"{layer:02d}"


def layer_folders(folder: Path) -> dict[int, Path]:
    """The folders of layers within ``MODEL/TASK``, by the layer's number, in ascending order."""
    return dict(_numbered(folder / LAYERS_FOLDER))


def telling_name(folder: Path, others: Iterable[Path]) -> str:
    """A folder's name, with as much of its path before it as tells it from other folders."""
    rivals = [other.parts for other in others]
    parts, depth = folder.parts, 1
    while depth < len(parts) and any(rival[-depth:] == parts[-depth:] for rival in rivals):
        depth += 1
    return "/".join(parts[-depth:])


def _numbered(place: Path) -> list[tuple[int, Path]]:
    """What lies in a folder under a number, by this number."""
    return sorted((int(each.name), each) for each in place.glob("*") if _is_number(each.name))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


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
                ("embeddings", _embeddings(result), _embeddings(first)),
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


def _embeddings(result: Result) -> object:
    """What tells the embeddings of a result from others, but for the layer that a seed chose."""
    layers = result.layers
    if layers is not None and layers.chosen is not None:
        return layers.numbers
    return result.embeddings.digest
