"""A submission as a folder: its record, its row, every result with its predictions, checksums.

submission.json   the record, ``Submission``
row.csv           the row, under the leaderboard's head
pull_request.md   the same for people
validation.json   the validator's report
results/TASK/     a result per task, as ``hearbench evaluate`` writes it
SHA256SUMS        checksums of every other file, in the form of sha256sum
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from hearbench.digest import digest_file
from hearbench.errors import ResultError
from hearbench.files import atomic_folder, write_json, write_text
from hearbench.leaderboard.csv_file import format_table
from hearbench.leaderboard.submission import Submission, pull_request
from hearbench.leaderboard.table import COLUMNS, Table
from hearbench.results.finding import seed_folders
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.splits import SPLIT_OF
from hearbench.results.uncertainty import UNCERTAINTY_FILE
from hearbench.results.untrusted import read_array
from hearbench.validate.report import Report

__all__ = [
    "CHECKSUMS",
    "FORM",
    "REQUEST",
    "RESULTS",
    "ROW",
    "SUBMISSION",
    "VALIDATION",
    "appended_problems",
    "extra_problems",
    "link_problems",
    "result_files",
    "walk",
    "warning_lines",
    "write_bundle",
]

SUBMISSION = "submission.json"
ROW = "row.csv"
REQUEST = "pull_request.md"
VALIDATION = "validation.json"
RESULTS = "results"
CHECKSUMS = "SHA256SUMS"
FORM = "test.predicted-scores.json"
_MOST_FILES = 20_000
_MOST_BYTES = 64 << 30


def write_bundle(
    out: Path, submission: Submission, report: Report, results: Mapping[str, Path]
) -> None:
    """Writes a bundle, whole or not at all.

    Args:
        out: Folder of the bundle. If it exists it must be a bundle, which is replaced.
        results: By task, the folder of its result.

    Raises:
        ResultError: There is something else at ``out``, or a file of a result is missing.
    """
    if out.exists() and not (out / SUBMISSION).is_file() and any(out.iterdir()):
        raise ResultError(f"{out} holds something that is no submission. Choose another --out.")
    new = out.with_name(f"{out.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a run that was killed between the last two steps
    with atomic_folder(new) as folder:
        write_json(folder / SUBMISSION, submission.model_dump(mode="json"))
        write_text(folder / ROW, format_table(Table(COLUMNS, (submission.row(),))))
        write_text(folder / REQUEST, pull_request(submission, warning_lines(report)))
        write_json(folder / VALIDATION, report.model_dump(mode="json", exclude={"valid"}))
        for task, place in results.items():
            # Curves, plots and whatever else a folder of results may hold isn't submitted.
            for name in result_files(place):
                target = folder / RESULTS / task / name
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(place / name, target)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        lines = [f"{digest_file(path)}  {path.relative_to(folder).as_posix()}" for path in files]
        write_text(folder / CHECKSUMS, "\n".join(lines) + "\n")
    if out.exists():
        shutil.rmtree(out)
    new.rename(out)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ResultError(
            f"{source} can't be submitted: {error.strerror}. Evaluate the task again.",
            code="io",
        ) from error


def warning_lines(report: Report) -> list[str]:
    """Lists the warnings of a validator's report, a line each."""
    return [f"{check.name}: {check.found}" for check in report.warnings]


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
