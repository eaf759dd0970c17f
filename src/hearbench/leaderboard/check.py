"""What a maintainer's CI does with a submission: believes nothing that can be computed again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from hearbench.digest import digest_file
from hearbench.errors import HearError, ResultError
from hearbench.leaderboard.bundle import (
    CHECKSUMS,
    REQUEST,
    RESULTS,
    ROW,
    SUBMISSION,
    VALIDATION,
    warning_lines,
)
from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.counted import counted_tasks
from hearbench.leaderboard.csv_file import format_table
from hearbench.leaderboard.own_row import own_row
from hearbench.leaderboard.plausible import check_plausible
from hearbench.leaderboard.recompute import recompute, score_differences
from hearbench.leaderboard.submission import Submission, pull_request
from hearbench.leaderboard.table import COLUMNS, Table
from hearbench.results import RESULT_FILE, Result
from hearbench.results.reading import read_record
from hearbench.tasks.spec import is_plain_name
from hearbench.tasks.store import PreparedTask
from hearbench.validate import CHECKS
from hearbench.validate.report import Report

__all__ = ["BundleReport", "check_bundle"]

_R = TypeVar("_R", bound=BaseModel)
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_MOST_FILES = 2000
_MOST_TEXT_BYTES = 4 << 20
_LONGEST_TEXT = 500


@dataclass(frozen=True)
class BundleReport:
    """What was found.

    Attributes:
        submission: The record; None if it can't be read.
        problems: Why the submission can't be taken, each naming what is wrong and where.
        notes: What a maintainer should know though nothing is wrong.
        recomputed: Tasks whose scores were computed again.
        labelled: Of these, tasks whose labels were compared with the task's own.
    """

    submission: Submission | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    recomputed: tuple[str, ...]
    labelled: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def check_bundle(
    bundle: Path, table: Table, task_of: Callable[[str], PreparedTask | None]
) -> BundleReport:
    """Checks a submission against itself, the tasks and the leaderboard.

    Checksums; the record and the row against the results; every score against one computed again
    from the stored predictions, with the task's labels where the task is there; the protocol and
    completeness of results; the validator's report; the model's name against the table's.

    Args:
        bundle: Its folder.
        table: The leaderboard that it is to be added to.
        task_of: Finds a prepared task by its name; None where it isn't there.
    """
    problems: list[str] = []
    notes: list[str] = []
    if not bundle.is_dir():
        return BundleReport(None, (f"{bundle} is no folder.",), (), (), ())
    links = _link_problems(bundle)
    if links:
        # What they lead to is nobody's to be read, nor to be shown.
        return BundleReport(None, tuple(links), (), (), ())
    problems += _checksum_problems(bundle)
    submission = _record(bundle / SUBMISSION, Submission, "a submission", problems)
    report = _record(bundle / VALIDATION, Report, "a report of the validator", problems)
    if report is not None:
        problems += _report_problems(report, submission)
        if report.quick:
            notes.append("The model was validated without 20 minutes of audio (--quick).")
    strange = [path.name for path in (bundle / RESULTS).glob("*") if not is_plain_name(path.name)]
    if strange:
        problems.append(f"{RESULTS}/{strange[0]} can't be the name of a task.")
        return BundleReport(None, tuple(map(_plain, problems)), (), (), ())
    folders = sorted(path.parent for path in (bundle / RESULTS).glob(f"*/{RESULT_FILE}"))
    recomputed: list[str] = []
    labelled: list[str] = []
    for folder in folders:
        found = list(_result_problems(folder, submission, task_of, labelled))
        problems += [f"{RESULTS}/{folder.name}: {problem}" for problem in found]
        if not found:
            recomputed.append(folder.name)
    missing = [name for name in recomputed if name not in labelled]
    if missing:
        notes.append(
            f"The labels of {', '.join(missing)} weren't compared with the task's own, as the task "
            "isn't here. Prepare or download it, or name it with --task."
        )
    elsewhere = [name for name in recomputed if name not in counted_tasks()]
    if elsewhere:
        notes.append(
            f"{', '.join(elsewhere)} aren't on the leaderboard, so any protocol is taken for them."
        )
    if submission is not None:
        problems += _row_problems(bundle, submission, folders)
        problems += _request_problems(bundle, submission, report)
        notes += _table_notes(submission, table)
    return BundleReport(
        submission,
        tuple(map(_plain, problems)),
        tuple(map(_plain, notes)),
        tuple(recomputed),
        tuple(labelled),
    )


def _record(path: Path, kind: type[_R], what: str, problems: list[str]) -> _R | None:
    try:
        return read_record(kind, path, path.name, what)
    except HearError as error:
        problems.append(str(error))
        return None


def _text(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        OSError, ValueError: It can't be read, isn't one, or is far too long.
    """
    if path.stat().st_size > _MOST_TEXT_BYTES:
        raise ValueError("it is larger than it can be")
    return path.read_text(encoding="utf-8")


def _link_problems(bundle: Path) -> list[str]:
    return [
        f"{path.relative_to(bundle).as_posix()} is neither a file nor a folder. Links can't be "
        "submitted."
        for path in sorted(bundle.rglob("*"))
        if path.is_symlink() or not (path.is_file() or path.is_dir())
    ]


def _checksum_problems(bundle: Path) -> Iterator[str]:
    try:
        lines = _text(bundle / CHECKSUMS).splitlines()
    except (OSError, ValueError) as error:
        yield f"{CHECKSUMS} can't be read: {error}."
        return
    said = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            yield f"{CHECKSUMS} has a line that is none of sha256sum: {line[:100]!r}."
            return
        said[match[2]] = match[1]
    there = {}
    for path in sorted(bundle.rglob("*")):
        name = path.relative_to(bundle).as_posix()
        if path.is_file() and name != CHECKSUMS:
            there[name] = path
    if len(there) > _MOST_FILES:
        yield f"There are {len(there)} files; {_MOST_FILES} are the most."
        return
    for name in sorted(said.keys() - there.keys()):
        yield f"{name} is missing, which {CHECKSUMS} lists."
    for name in sorted(there.keys() - said.keys()):
        yield f"{name} isn't listed in {CHECKSUMS}."
    for name in sorted(there.keys() & said.keys()):
        if digest_file(there[name]) != said[name]:
            yield f"{name} was changed after the submission was made: its checksum is another."


def _result_problems(
    folder: Path,
    submission: Submission | None,
    task_of: Callable[[str], PreparedTask | None],
    labelled: list[str],
) -> Iterator[str]:
    try:
        result = Result.read(folder)
        if result.task.name != folder.name:
            yield f"its result is of {result.task.name}."
            return
        if submission is not None and result.model.digest != submission.model.digest:
            yield "its result is of another model or checkpoint than the submission."
        task = task_of(result.task.name)
        if task is not None:
            rate = result.model.sample_rate
            if rate in task.sample_rates and task.digest(rate) != result.task.digest:
                yield f"it was made from another version of {task.name} than the one here."
                return
            yield from _task_differences(result, task)
        check_plausible(result, folder)
        yield from score_differences(result.scores, recompute(folder, task))
        if task is not None:
            labelled.append(folder.name)
    except HearError as error:
        yield str(error)


def _task_differences(result: Result, task: PreparedTask) -> Iterator[str]:
    """What a result says of its task that the task itself says otherwise."""
    tests = sorted(fold.test for fold in task.folds())
    if sorted(fold.test for fold in result.folds) != tests:
        yield f"its test splits aren't the task's: {', '.join(tests)}."
    if list(result.scores) != list(task.metadata.evaluation):
        yield f"its scores aren't the task's: {', '.join(task.metadata.evaluation)}."
    if result.primary_score != task.metadata.evaluation[0]:
        yield f"its first score isn't the task's: {task.metadata.evaluation[0]}."
    if result.kind != task.kind:
        yield f"it is of another kind than the task: {task.kind}."


def _report_problems(report: Report, submission: Submission | None) -> Iterator[str]:
    if report.errors:
        failed = ", ".join(check.name for check in report.errors)
        yield f"{VALIDATION}: the model isn't valid: {failed}."
    if sorted(check.name for check in report.checks) != sorted(CHECKS):
        yield f"{VALIDATION} doesn't hold all checks of the validator, each once."
    if submission is None:
        return
    said, model = submission.model, report.model
    for what, stated, found in (
        ("sample rate", said.sample_rate, model.sample_rate),
        ("scene embedding size", said.scene_embedding_size, model.scene_embedding_size),
        ("timestamp embedding size", said.timestamp_embedding_size, model.timestamp_embedding_size),
        ("hop", said.hop_ms, model.hop_ms),
    ):
        if stated != found:
            yield f"{SUBMISSION} and {VALIDATION} differ in the {what}: {stated} and {found}."


def _request_problems(bundle: Path, submission: Submission, report: Report | None) -> Iterator[str]:
    warnings = [] if report is None else warning_lines(report)
    try:
        text = _text(bundle / REQUEST)
    except (OSError, ValueError) as error:
        yield f"{REQUEST} can't be read: {error}."
        return
    if text != pull_request(submission, warnings):
        yield f"{REQUEST} isn't the text of {SUBMISSION}."


def _row_problems(bundle: Path, submission: Submission, folders: list[Path]) -> Iterator[str]:
    card = submission.card
    stated = submission.row()
    try:
        text = _text(bundle / ROW)
        if text != format_table(Table(COLUMNS, (stated,))):
            yield f"{ROW} isn't the row of {SUBMISSION}."
    except (OSError, ValueError, ResultError) as error:
        yield f"{ROW} can't be compared: {error}"
    if sorted(submission.tasks) != sorted(folder.name for folder in folders):
        yield f"{SUBMISSION} names other tasks than there are in {RESULTS}/."
    if not folders:
        yield f"There are no results in {RESULTS}/."
        return
    try:
        own = own_row(folders, card.model, url=card.url, submitted=submission.created.isoformat())
    except HearError as error:
        yield str(error)
        return
    for refusal in own.refused:
        yield f"{Path(refusal.where).parent.name}: {refusal.reason}"
    for column, said, found in zip(COLUMNS, stated.scores, own.row.scores, strict=True):
        if said != found:
            yield f"{column}: the row says {_shown(said)}, the results give {_shown(found)}."


def _table_notes(submission: Submission, table: Table) -> Iterator[str]:
    row = submission.row()
    there = sum(score is not None for score in row.scores)
    if not there:
        yield "No task of the leaderboard was run, so the row has no score."
    key = name_key(row.model)
    for old in table:
        if name_key(old.model) == key:
            yield f"{old.model} is on the leaderboard already and would be replaced."


def _plain(text: str) -> str:
    """A text of somebody else on one line, without what would steer a terminal."""
    shown = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for letter in " ".join(text.split())
    )
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]} ..."


def _shown(score: float | None) -> str:
    return "nothing" if score is None else f"{score:g}"
