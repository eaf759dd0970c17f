"""Checks one result of a submission: against itself, its task and the rest of the submission."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hearbench.errors import HearError
from hearbench.files import json_safe
from hearbench.leaderboard.bundle import FORM, appended_problems, result_files
from hearbench.leaderboard.columns import leaderboard_tasks
from hearbench.leaderboard.contradictions import (
    TaskFacts,
    contradictions,
    day_of,
    leaderboard_contradictions,
)
from hearbench.leaderboard.recompute import recompute
from hearbench.leaderboard.sanity_checks import check_sanity
from hearbench.leaderboard.submission import Submission
from hearbench.results.differences import content_difference, score_differences
from hearbench.results.files import reference_form
from hearbench.results.finding import seed_folders
from hearbench.results.record import Result
from hearbench.results.uncertainty import UNCERTAINTY_FILE, Uncertainty, uncertainty
from hearbench.results.untrusted import read_json
from hearbench.tasks.catalog import catalog_task
from hearbench.tasks.store import PreparedTask
from hearbench.validate.report import Report

__all__ = ["CheckedResult", "check_result"]

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
# With more it would take too long to be computed again.
_MOST_RESAMPLES = 2000
_CLOSE = 1e-5
_MODE = "score_mode"


@dataclass(frozen=True)
class CheckedResult:
    """What a check of a result found.

    Attributes:
        problems: Reasons why it can't be taken.
        files: Files that belong to it, as paths within its folder; all files where that can't be
            told.
        is_labelled: Whether its labels were compared with the task's own.
    """

    problems: tuple[str, ...]
    files: tuple[str, ...]
    is_labelled: bool


def check_result(
    folder: Path,
    submission: Submission | None,
    report: Report | None,
    task_of: Callable[[str], PreparedTask | None],
    today: dt.date,
) -> CheckedResult:
    """Checks a result and those of further seeds below it.

    Args:
        folder: Folder of the result, which has the task's name.
        submission: The submission that it belongs to; None if it can't be read.
        report: The validator's report of the submission's model; None if it can't be read.
        task_of: Finds a prepared task by its name; None where it isn't at hand.
        today: Nothing is of a later day.
    """
    everything = tuple(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    try:
        files = tuple(result_files(folder))
        read = seed_folders(folder)
    except HearError as error:
        return CheckedResult((str(error),), everything, False)
    problems = []
    task = None
    for place, result in read:
        where = "" if place == folder else f"seeds/{place.name}: "
        try:
            if result.task.name != folder.name:
                problems.append(f"{where}its result is of {result.task.name}.")
                break
            task = task_of(result.task.name)
            if place != folder and place.name != str(result.seed):
                problems.append(f"{where}it is of seed {result.seed}.")
            found = [
                *_submission_differences(result, submission),
                *_report_differences(result, report),
                *_problems(result, place, task, today),
            ]
            problems += [f"{where}{problem}" for problem in found]
        except HearError as error:
            problems.append(f"{where}{error}")
    if not problems:
        try:
            problems += appended_problems(folder, list(files))
            problems += _uncertainty_differences(folder)
        except HearError as error:
            problems.append(str(error))
    if folder.name in leaderboard_tasks():
        problems += leaderboard_contradictions(read[0][1])
    return CheckedResult(tuple(problems), files, task is not None and not problems)


def _submission_differences(result: Result, submission: Submission | None) -> Iterator[str]:
    if submission is None:
        return
    own, said = result.model, submission.model
    if own.digest != said.digest:
        yield "its result is of another model or checkpoint than the submission."
    for what, found, stated in (
        ("weights", own.weights_digest, said.weights_digest),
        ("sample rate", own.sample_rate, said.sample_rate),
        ("scene embedding size", own.scene_embedding_size, said.scene_embedding_size),
        ("timestamp embedding size", own.timestamp_embedding_size, said.timestamp_embedding_size),
    ):
        if found != stated:
            yield f"its model's {what} is {found}, and the submission's {stated}."
    written = day_of(result)
    if written is not None and written > submission.created + dt.timedelta(days=1):
        yield f"it was written on {written.isoformat()}, after the submission."


def _report_differences(result: Result, report: Report | None) -> Iterator[str]:
    if report is not None and result.model.name != report.model.name:
        yield (
            f"its model is called {result.model.name}, and the one that was validated "
            f"{report.model.name}."
        )


def _problems(
    result: Result, folder: Path, task: PreparedTask | None, today: dt.date
) -> Iterator[str]:
    known = _known(result.task.name, task)
    wrong = list(contradictions(result, known, today))
    yield from wrong
    if task is not None:
        rate = result.model.sample_rate
        if rate in task.sample_rates and task.digest(rate) != result.task.digest:
            yield f"it was made from another version of {task.name} than the one here."
            return
        yield from _task_differences(result, task)
    check_sanity(result, folder, known.clip_s)
    differences = score_differences(result.scores, recompute(folder, task))
    yield from differences
    if not wrong and not differences:
        yield from _form_differences(result, folder)


def _known(name: str, task: PreparedTask | None) -> TaskFacts:
    if task is not None:
        said = task.metadata
        return TaskFacts(
            said.evaluation_params or {},
            not said.use_scoring_for_early_stopping,
            said.sample_duration,
            {split: len(clips) for split, clips in task.splits.items()},
        )
    found = catalog_task(name)
    if found is None:
        return TaskFacts()
    spec, mode = found
    params = {str(key): value for key, value in (spec.evaluation_params or {}).items()}
    return TaskFacts(params, not spec.use_scoring_for_early_stopping, spec.duration_of(mode))


def _task_differences(result: Result, task: PreparedTask) -> Iterator[str]:
    """Finds where a result contradicts the task itself."""
    tests = sorted(fold.test for fold in task.folds())
    if sorted(fold.test for fold in result.folds) != tests:
        yield f"its test splits aren't the task's: {', '.join(tests)}."
    splits = {fold.test: (fold.valid, fold.train) for fold in task.folds()}
    for fold in result.folds:
        if splits.get(fold.test, (fold.valid, fold.train)) != (fold.valid, fold.train):
            yield f"{fold.test} wasn't trained and validated on the splits that it should be."
    if list(result.scores) != list(task.metadata.evaluation):
        yield f"its scores aren't the task's: {', '.join(task.metadata.evaluation)}."
    if result.primary_score != task.metadata.evaluation[0]:
        yield f"its first score isn't the task's: {task.metadata.evaluation[0]}."
    if result.kind != task.kind:
        yield f"it is of another kind than the task: {task.kind}."
    if result.prediction_type != task.metadata.prediction_type:
        yield f"its predictions aren't {task.metadata.prediction_type}, as the task's."


def _form_differences(result: Result, folder: Path) -> Iterator[str]:
    """Finds where the published evaluation's own form contradicts the result."""
    stated, right = read_json(folder / FORM, _ANYTHING), json_safe(reference_form(result))
    # Whether the score or the loss chose isn't in a result.
    if isinstance(stated, dict) and stated.get(_MODE) in ("max", "min"):
        right[_MODE] = stated[_MODE]
    where = content_difference(stated, right)
    if where is not None:
        yield f"{FORM}: {where} isn't what the result says."


def _uncertainty_differences(folder: Path) -> Iterator[str]:
    if not (folder / UNCERTAINTY_FILE).is_file():
        return
    said = Uncertainty.read(folder)
    if not 2 <= said.n_resamples <= _MOST_RESAMPLES or not 0.5 <= said.level < 1:
        yield (
            f"{UNCERTAINTY_FILE} is of {said.n_resamples} resamples and the level {said.level:g}; "
            f"hearbench makes {_MOST_RESAMPLES}."
        )
        return
    found = uncertainty(
        folder, n_resamples=said.n_resamples, level=said.level, seed=said.resampling_seed
    )
    # Sums over resamples are in float32, and rounded otherwise on other processors.
    stated, right = (record.model_dump(mode="json") for record in (said, found))
    where = content_difference(stated, right, close=_CLOSE)
    if where is not None:
        yield f"{UNCERTAINTY_FILE}: {where} isn't what the predictions give."
