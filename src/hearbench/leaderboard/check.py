"""Checks submissions, and believes nothing in them that can be computed again."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

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
    extra_problems,
    link_problems,
    walk,
    warning_lines,
)
from hearbench.leaderboard.cells import name_key
from hearbench.leaderboard.columns import leaderboard_tasks
from hearbench.leaderboard.contradictions import date_contradiction
from hearbench.leaderboard.csv_file import format_table
from hearbench.leaderboard.letters import invisible_letter, is_invisible, look, mixed_scripts
from hearbench.leaderboard.own_row import own_row
from hearbench.leaderboard.rules import rule_notes, rule_problems
from hearbench.leaderboard.submission import Submission, pull_request, rate_problem
from hearbench.leaderboard.submitted_result import check_result
from hearbench.leaderboard.table import COLUMNS, Table
from hearbench.records import read_record
from hearbench.results import RESULT_FILE, Result
from hearbench.tasks.check import METADATA
from hearbench.tasks.spec import is_plain_name
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.validate import CHECKS
from hearbench.validate.report import Report
from hearbench.workspace import Workspace

__all__ = ["BundleReport", "check_bundle", "task_finder"]

_R = TypeVar("_R", bound=BaseModel)
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_MOST_TEXT_BYTES = 4 << 20
_LONGEST_TEXT = 500
# Without these the validator knows nothing of a model.
_MUST_RUN = ("import", "api-functions", "load", "model-kind", "sample-rate")


@dataclass(frozen=True)
class BundleReport:
    """What a check of a submission found.

    Attributes:
        submission: The record; None if it can't be read.
        problems: Reasons why the submission can't be taken, each naming what is wrong and where.
        notes: What a maintainer should know though nothing is wrong.
        recomputed: Tasks whose scores were computed again.
        labelled: Tasks whose labels were compared with the task's own.
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
    bundle: Path,
    table: Table,
    task_of: Callable[[str], PreparedTask | None],
    *,
    today: dt.date | None = None,
) -> BundleReport:
    """Checks a submission against itself, the tasks and the leaderboard.

    It checks the list of files and their checksums; the record and the row against the results;
    every score against one computed again from the stored predictions, with the task's labels where
    the task is at hand; the protocol and completeness of results, and whether what they say can all
    be true; the validator's report; and the model's name against the table's.

    Args:
        table: The leaderboard that it is to be added to.
        task_of: Finds a prepared task by its name; None where it isn't at hand.
        today: Nothing is of a later day; by default what the clock says, in UTC.
    """
    today = today or dt.datetime.now(dt.timezone.utc).date()
    problems: list[str] = []
    notes: list[str] = []
    if not bundle.is_dir():
        return BundleReport(None, (f"{bundle} is no folder.",), (), (), ())
    try:
        paths = list(walk(bundle))
    except (ResultError, OSError) as error:
        return BundleReport(None, (_plain(str(error)),), (), (), ())
    links = link_problems(paths, bundle)
    if links:
        # What they lead to must be neither read nor shown.
        return BundleReport(None, tuple(map(_plain, links)), (), (), ())
    problems += _checksum_problems(bundle, paths)
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
    known = {SUBMISSION, ROW, REQUEST, VALIDATION, CHECKSUMS}
    for folder in folders:
        checked = check_result(folder, submission, report, task_of, today)
        problems += [f"{RESULTS}/{folder.name}: {problem}" for problem in checked.problems]
        known |= {f"{RESULTS}/{folder.name}/{name}" for name in checked.files}
        if not checked.problems:
            recomputed.append(folder.name)
        if checked.is_labelled:
            labelled.append(folder.name)
    problems += extra_problems(paths, bundle, known)
    missing = [name for name in recomputed if name not in labelled]
    if missing:
        notes.append(
            f"The labels of {', '.join(missing)} weren't compared with the task's own, as the task "
            "isn't here. Prepare or download it, or name it with --task."
        )
    elsewhere = [name for name in recomputed if name not in leaderboard_tasks()]
    if elsewhere:
        notes.append(
            f"{', '.join(elsewhere)} aren't on the leaderboard, so any protocol is taken for them."
        )
    if submission is not None:
        problems += _said_problems(submission, today)
        problems += [f"{SUBMISSION}: {problem}" for problem in rule_problems(submission)]
        problems += _row_problems(bundle, submission, folders)
        problems += _request_problems(bundle, submission, report)
        notes += rule_notes(submission)
        notes += _table_notes(submission, table)
        notes += _letter_notes(submission)
    return BundleReport(
        submission,
        tuple(map(_plain, problems)),
        tuple(map(_plain, notes)),
        tuple(recomputed),
        tuple(labelled),
    )


def task_finder(named: Sequence[str], workspace: Workspace) -> Callable[[str], PreparedTask | None]:
    """Makes a function that finds prepared tasks by name, as `check_bundle` needs it.

    Args:
        named: Paths of tasks.
        workspace: The tasks in its cache are found as well.

    Raises:
        TaskError: A path isn't that of a prepared task, now or, in the cache, when it is found.
    """
    loaded = [load_task(path, workspace=workspace, download=False) for path in named]
    by_name = {task.name: task for task in loaded}

    def find(name: str) -> PreparedTask | None:
        workspace.progress.line(f"checking {name}")
        folder = workspace.path("tasks", name)
        if name in by_name or not (folder / METADATA).is_file():
            return by_name.get(name)
        return load_task(folder, workspace=workspace, download=False)

    return find


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
    # With its lines' ends as they are.
    return path.read_bytes().decode("utf-8")


def _checksum_problems(bundle: Path, paths: list[Path]) -> Iterator[str]:
    try:
        lines = _text(bundle / CHECKSUMS).splitlines()
    except (OSError, ValueError) as error:
        yield f"{CHECKSUMS} can't be read: {error}."
        return
    said: dict[str, str] = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            yield f"{CHECKSUMS} has a line that is none of sha256sum: {line[:100]!r}."
            return
        if match[2] in said:
            yield f"{CHECKSUMS} lists {match[2][:100]} twice."
            return
        said[match[2]] = match[1]
    there = {path.relative_to(bundle).as_posix(): path for path in paths if path.is_file()}
    there.pop(CHECKSUMS, None)
    for name in sorted(said.keys() - there.keys()):
        yield f"{name} is missing, which {CHECKSUMS} lists."
    for name in sorted(there.keys() - said.keys()):
        yield f"{name} isn't listed in {CHECKSUMS}."
    for name in sorted(there.keys() & said.keys()):
        if digest_file(there[name]) != said[name]:
            yield f"{name} was changed after the submission was made: its checksum is another."


def _report_problems(report: Report, submission: Submission | None) -> Iterator[str]:
    if report.errors:
        failed = ", ".join(check.name for check in report.errors)
        yield f"{VALIDATION}: the model isn't valid: {failed}."
    if sorted(check.name for check in report.checks) != sorted(CHECKS):
        yield f"{VALIDATION} doesn't hold all checks of the validator, each once."
    skipped = [check.name for check in report.checks if check.verdict == "skipped"]
    without = [name for name in _MUST_RUN if name in skipped]
    if without or 2 * len(skipped) > len(CHECKS):
        yield (
            f"{VALIDATION}: {len(skipped)} of {len(CHECKS)} checks were skipped, "
            f"{', '.join(without or skipped)} among them, so that it says nothing of the model."
        )
    problem = rate_problem(report.model.sample_rate)
    if problem:
        yield f"{VALIDATION}: {problem}"
    if submission is None:
        return
    said, model = submission.model, report.model
    for what, stated, found in (
        ("sample rate", said.sample_rate, model.sample_rate),
        ("scene embedding size", said.scene_embedding_size, model.scene_embedding_size),
        ("timestamp embedding size", said.timestamp_embedding_size, model.timestamp_embedding_size),
        ("hop", said.hop_ms, model.hop_ms),
        ("versions", said.versions, model.versions),
        ("options", _texts(submission.card.options), _texts(model.options)),
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
        # Read already, and computed again.
        results = [Result.read(folder) for folder in folders]
        day = submission.created.isoformat()
        own = own_row(results, card.model, url=card.url, submitted=day)
    except HearError as error:
        yield str(error)
        return
    for refusal in own.refused:
        yield str(refusal)
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
        elif look(old.model) == look(row.model):
            yield f"{row.model} looks like {old.model}, which is on the leaderboard already."


def _letter_notes(submission: Submission) -> Iterator[str]:
    """Notes of texts that mix alphabets, as those of someone who poses as another may."""
    card = submission.card
    host = urlsplit(card.url).hostname or ""
    for what, text in (("model", card.model), ("team", card.team), ("address", host)):
        scripts = mixed_scripts(text)
        if scripts:
            yield f"The {what}, {text}, mixes letters of several alphabets: {', '.join(scripts)}."
        elif what == "address" and not host.isascii():
            yield f"The address, {host!a}, isn't in Latin letters."


def _said_problems(submission: Submission, today: dt.date) -> Iterator[str]:
    """Finds what can't or mustn't be in a submission's record."""
    wrong = date_contradiction(submission.created, today, SUBMISSION)
    if wrong:
        yield wrong
    if submission.card.training_sets is None:
        yield (
            f"{SUBMISSION}: the card doesn't say which known training sets the model has learned "
            'from. Add training_sets, as ["AudioSet"], or [] for none of them.'
        )
    model = submission.model
    sizes = (model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size)
    if min(sizes) < 1 or model.n_weights < 0 or not (model.hop_ms is None or model.hop_ms > 0):
        yield f"{SUBMISSION}: the model has a rate, a size, a hop or weights that can't be."
    for text in _all_texts(submission.model_dump(mode="json")):
        hidden = invisible_letter("".join(c for c in text if c not in "\n\r\t"), joining=True)
        if hidden is not None:
            yield (
                f"{SUBMISSION}: {text[:60]} has a character that can't be seen "
                f"(U+{ord(hidden):04X}), or that hides others."
            )
            return


def _all_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _all_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _all_texts(item)


def _texts(options: Mapping[str, object]) -> dict[str, str]:
    """Options as they are written on a command line."""
    return {key: str(value).lower() for key, value in options.items()}


def _plain(text: str) -> str:
    """A stranger's text on one line, without what would steer a terminal."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if is_invisible(letter) else letter
        for letter in " ".join(text.split())
    )
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]} ..."


def _shown(score: float | None) -> str:
    return "nothing" if score is None else f"{score:g}"
