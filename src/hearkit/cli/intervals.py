"""How sure results are: written beside them, and read again for tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hearkit.cli.terminal import Reporter
from hearkit.errors import ResultError

if TYPE_CHECKING:
    from hearkit.results.uncertainty import Uncertainty

__all__ = ["read_uncertainty", "write_uncertainty"]


def write_uncertainty(folder: Path, task: str, reporter: Reporter) -> None:
    """Writes ``uncertainty.json`` beside a result, unless what is there is of the same seeds.

    Where it can't be computed (the predictions were taken away), that is said, and the result
    stands without it.
    """
    from hearkit.files import write_json
    from hearkit.results.seeds import seed_folders
    from hearkit.results.uncertainty import UNCERTAINTY_FILE, uncertainty

    there = read_uncertainty(folder)
    try:
        seeds = tuple(result.seed for _, result in seed_folders(folder))
        if there is not None and there.seeds == seeds:
            return
        with reporter.checks(f"{task}: intervals"):
            found = uncertainty(folder)
        write_json(folder / UNCERTAINTY_FILE, found.model_dump(mode="json"))
    except OSError as error:
        raise ResultError(
            f"{folder / UNCERTAINTY_FILE} can't be written: {error.strerror}."
        ) from error
    except ResultError as error:
        reporter.line(f"{task}: no intervals: {error}")


def read_uncertainty(folder: Path) -> Uncertainty | None:
    """What lies beside a result; None if there is nothing that can be read."""
    from hearkit.results.uncertainty import UNCERTAINTY_FILE, Uncertainty

    if not (folder / UNCERTAINTY_FILE).is_file():
        return None
    try:
        return Uncertainty.read(folder)
    except ResultError:
        # Of another version, or damaged: it can be made again.
        return None
