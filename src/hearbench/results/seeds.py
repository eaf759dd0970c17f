"""Where the results of further seeds lie, and whether they are of the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hearbench.errors import ResultError
from hearbench.results.record import RESULT_FILE, Result

__all__ = ["SEEDS_FOLDER", "check_seeds", "seed_folders"]

SEEDS_FOLDER = "seeds"


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
