"""Writing a result of distances."""

from __future__ import annotations

from pathlib import Path

from hearbench.distance.record import DISTANCE_FILE, DistanceResult
from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.results.damage import note_file

__all__ = ["write_distances"]


def write_distances(result: DistanceResult, folder: Path) -> Path:
    """Writes ``distance.json`` into a folder, whole or not at all.

    Returns:
        Its path.

    Raises:
        ResultError: The folder can't be written.
    """
    path = folder / DISTANCE_FILE
    try:
        write_json(path, result.model_dump(mode="json"))
        note_file(folder, DISTANCE_FILE)
    except OSError as error:
        raise ResultError(
            f"The result can't be written to {folder}: {error.strerror}.", code="io"
        ) from error
    return path
