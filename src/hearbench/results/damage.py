"""Whether the files of a result are those that were written, by the digests beside them."""

from __future__ import annotations

from pathlib import Path

from hearbench.digest import digest_file
from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.records import StoredRecord
from hearbench.results.record import RESULT_FILE
from hearbench.sums import SUMS_FILE, read_whole_sums, sums_of, write_sums

__all__ = [
    "PREDICTIONS",
    "REFERENCE_FILE",
    "belongs_to_result",
    "damaged_files",
    "note_file",
    "write_stored",
]

PREDICTIONS = "predictions"
REFERENCE_FILE = "test.predicted-scores.json"


def belongs_to_result(name: str) -> bool:
    """Whether a file in a result's folder is the result's own, and not, say, distances."""
    return name in {RESULT_FILE, REFERENCE_FILE} or name.startswith(f"{PREDICTIONS}/")


def damaged_files(folder: Path, name: str) -> list[str]:
    """The files of a result that are missing or aren't what was written, by relative name.

    If it is the list of digests that is damaged, nothing is known of the others. A result of an
    earlier version, which has no list, counts as whole. So does one whose predictions were taken
    away all together, as they are to save room.

    Args:
        name: ``result.json``, to which belong its predictions and the published evaluation's
            form; of any other file in the folder that file alone is looked at.
    """
    listed = read_whole_sums(folder)
    if listed is None or (listed and name not in listed):
        return [SUMS_FILE]
    if name == RESULT_FILE:
        there = (folder / PREDICTIONS).is_dir()
        own = [
            other
            for other in listed
            if belongs_to_result(other) and (there or not other.startswith(f"{PREDICTIONS}/"))
        ]
    else:
        own = [other for other in listed if other == name]
    return [other for other in own if not _holds(folder / other, listed[other])]


def note_file(folder: Path, name: str) -> None:
    """Enters a file of a result's folder, as it is now, into the list of digests.

    Where there is no list yet, what else lies in the folder is entered as it is.
    """
    listed = read_whole_sums(folder)
    if listed is None:
        listed = {}  # what it said can't be trusted, so all but this file is made again
    elif not listed:
        files = [path for path in folder.iterdir() if path.is_file()]
        files += [path for path in (folder / PREDICTIONS).rglob("*") if path.is_file()]
        listed = sums_of(folder, files)
    write_sums(folder, {**listed, name: digest_file(folder / name)})


def write_stored(record: StoredRecord, folder: Path) -> Path:
    """Writes a record into its file in a result's folder, whole or not at all.

    Returns:
        Its path.

    Raises:
        ResultError: The folder can't be written.
    """
    path = folder / record.FILE
    try:
        write_json(path, record.model_dump(mode="json"))
        note_file(folder, record.FILE)
    except OSError as error:
        raise ResultError(
            f"The result can't be written to {folder}: {error.strerror}.", code="io"
        ) from error
    return path


def _holds(path: Path, digest: str) -> bool:
    try:
        return digest_file(path) == digest
    except OSError:
        return False
