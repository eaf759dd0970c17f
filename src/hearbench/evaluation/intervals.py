"""How sure results are: ``uncertainty.json``, written beside them and read again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.results.aggregate import same_number
from hearbench.results.damage import damaged_files, note_file
from hearbench.results.seeds import seed_folders
from hearbench.results.uncertainty import UNCERTAINTY_FILE, Uncertainty, uncertainty

if TYPE_CHECKING:
    from hearbench.results import Result
    from hearbench.workspace import Workspace

__all__ = ["read_uncertainty", "write_uncertainty"]


def write_uncertainty(folder: Path, task: str, workspace: Workspace) -> None:
    """Writes ``uncertainty.json`` beside a result, unless what exists is of the same results.

    Where it can't be computed, as the predictions were taken away, a line says so, what exists is
    removed, and the result stands without it.

    Raises:
        ResultError: The file can't be written.
    """
    there = read_uncertainty(folder)
    try:
        if there is not None and _is_of(there, [result for _, result in seed_folders(folder)]):
            return
        with workspace.progress.stage(f"{task}: intervals"):
            found = uncertainty(folder)
        write_json(folder / UNCERTAINTY_FILE, found.model_dump(mode="json"))
        note_file(folder, UNCERTAINTY_FILE)
    except OSError as error:
        raise ResultError(
            f"{folder / UNCERTAINTY_FILE} can't be written: {error.strerror}.",
            code="io",
        ) from error
    except ResultError as error:
        (folder / UNCERTAINTY_FILE).unlink(missing_ok=True)
        workspace.progress.line(f"{task}: no intervals: {error}")


def _is_of(sure: Uncertainty, results: Sequence[Result]) -> bool:
    """Whether it says of every seed and score what the results say."""
    if sure.seeds != tuple(result.seed for result in results):
        return False
    if any(list(sure.scores) != list(result.scores) for result in results):
        return False
    stated = [score.per_seed[seed] for score in sure.scores.values() for seed in sure.seeds]
    means = [result.scores[name].mean for name in sure.scores for result in results]
    overall = [score.mean for score in sure.scores.values()]
    expected = [
        sum(result.scores[name].mean for result in results) / len(results) for name in sure.scores
    ]
    pairs = zip([*stated, *overall], [*means, *expected], strict=True)
    return all(same_number(a, b) for a, b in pairs)


def read_uncertainty(folder: Path) -> Uncertainty | None:
    """The intervals beside a result; None if there are none that can be read."""
    if not (folder / UNCERTAINTY_FILE).is_file() or damaged_files(folder, UNCERTAINTY_FILE):
        return None
    try:
        return Uncertainty.read(folder)
    except ResultError:
        # Of another version, or damaged: it can be made again.
        return None
