"""A submission as a folder: its record, its row, every result with its predictions, checksums.

submission.json   the record, ``Submission``
row.csv           the row, under the leaderboard's head
pull_request.md   the same for people
validation.json   the validator's report
results/TASK/     a result per task, as ``hearbench evaluate`` writes it
SHA256SUMS        checksums of every other file, in the form of sha256sum
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from hearbench.digest import digest_file
from hearbench.errors import ResultError
from hearbench.files import atomic_folder, write_json, write_text
from hearbench.leaderboard.csv_file import format_table
from hearbench.leaderboard.layout import result_files
from hearbench.leaderboard.submission import Submission, pull_request
from hearbench.leaderboard.table import COLUMNS, Table
from hearbench.validate.report import Report

__all__ = [
    "CHECKSUMS",
    "REQUEST",
    "RESULTS",
    "ROW",
    "SUBMISSION",
    "VALIDATION",
    "warning_lines",
    "write_bundle",
]

SUBMISSION = "submission.json"
ROW = "row.csv"
REQUEST = "pull_request.md"
VALIDATION = "validation.json"
RESULTS = "results"
CHECKSUMS = "SHA256SUMS"


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
