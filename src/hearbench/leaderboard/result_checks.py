"""Checks whether a result counts for the leaderboard.

A score can be put beside the published ones if the whole of the benchmark's protocol made it: all
folds, the full grid, embeddings in float32; and if it is what the stored predictions give.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

from hearbench.errors import HearError
from hearbench.files import SYNTAX_ERRORS
from hearbench.leaderboard.columns import LeaderboardTask
from hearbench.leaderboard.recompute import has_predictions, recompute
from hearbench.leaderboard.sanity_checks import check_sanity
from hearbench.metrics import get_score
from hearbench.probe.events import postprocessing_grid
from hearbench.probe.objective import Objective
from hearbench.probe.protocol import HEAR2021
from hearbench.results.aggregate import mean_std, same_number
from hearbench.results.differences import score_differences
from hearbench.results.record import RESULT_FILE, PartSummary, Result

__all__ = ["protocol_problems", "result_problems"]

_REFERENCE_FILE = "test.predicted-scores.json"
_MOST_FORM_BYTES = 1 << 20
_DTYPE = "float32"
_AGAIN = "Evaluate the task again by `hearbench evaluate --protocol hear2021`."


def result_problems(result: Result, task: LeaderboardTask, folder: Path | None) -> list[str]:
    """Lists what is wrong with a result, whatever its protocol, in sentences; empty if nothing is.

    Args:
        task: The task that it is of.
        folder: Folder of the result, to compute its scores again from the files beside it; None if
            that isn't known.
    """
    problems = _fold_problems(result, task)
    if not problems:
        problems = _score_problems(result, task) or _choice_problems(result, task)
    if not problems and folder is not None:
        problems = _edited(result, folder)
    return problems


def protocol_problems(result: Result, task: LeaderboardTask) -> list[str]:
    """Lists why a result isn't by the table's protocol, in sentences; empty if it is."""
    wanted = HEAR2021.for_task(task.spec.name, _params(task))
    name = result.protocol.name
    if name.startswith(f"{wanted.name}["):
        return [
            f"it is of a part of the grid, {name}; all {len(wanted.grid)} points are needed. "
            + _AGAIN
        ]
    if name != wanted.name:
        return [f"it is of the protocol {name!r}; the table's is {wanted.name!r}. {_AGAIN}"]
    if result.protocol != wanted:
        return [
            f"its protocol is called {name!r} and has other content, as of another version of "
            f"hearbench, or edited. {_AGAIN}"
        ]
    if result.embeddings.dtype != _DTYPE:
        return [
            f"its embeddings are stored as {result.embeddings.dtype}; the table's are "
            f"{_DTYPE}. {_AGAIN}"
        ]
    return []


def _params(task: LeaderboardTask) -> dict[str, Any]:
    return {str(key): value for key, value in (task.spec.evaluation_params or {}).items()}


def _fold_problems(result: Result, task: LeaderboardTask) -> list[str]:
    wanted, found = task.test_splits, tuple(fold.test for fold in result.folds)
    missing = [split for split in wanted if split not in found]
    if missing:
        return [
            f"it has {len(set(found) & set(wanted))} of {len(wanted)} test splits; "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing. {_AGAIN}"
        ]
    if found != wanted:
        return [f"its test splits are {', '.join(found)} and not {', '.join(wanted)}. {_AGAIN}"]
    for i, fold in enumerate(result.folds):
        if len(wanted) == 1:
            expected: tuple[str, tuple[str, ...]] = ("valid", ("train",))
        else:
            valid = wanted[(i + 1) % len(wanted)]
            expected = (valid, tuple(s for s in wanted if s not in (fold.test, valid)))
        if (fold.valid, fold.train) != expected:
            return [
                f"{fold.test} wasn't trained and validated on the splits it should be. {_AGAIN}"
            ]
    summaries: list[PartSummary] = list(result.scores.values())
    summaries += [part for summary in result.scores.values() for part in summary.parts.values()]
    if any(tuple(summary.per_fold) != wanted for summary in summaries):
        return [f"its scores aren't of the test splits {', '.join(wanted)}. {_AGAIN}"]
    return []


def _choice_problems(result: Result, task: LeaderboardTask) -> list[str]:
    """Checks that the grid point and the postprocessing are those that validation chose."""
    points = tuple(outcome.point for outcome in result.grid)
    if points != result.protocol.grid or not 0 <= result.chosen < len(points):
        return [f"its grid isn't the protocol's. {_AGAIN}"]
    on_loss = not task.spec.use_scoring_for_early_stopping
    # Which way is better is the score's own affair, whatever the file says.
    score = get_score(result.task_type, result.primary_score)
    objective = Objective(score, score.maximise, on_loss)
    merits = [objective.goodness(outcome.validation_score) for outcome in result.grid]
    if math.isnan(result.grid[result.chosen].validation_score):
        return [f"the grid point that it used has no validation. {_AGAIN}"]
    # Of equal ones the first wins.
    if merits.index(max(merits)) != result.chosen:
        return [f"another grid point than the one it used was better in validation. {_AGAIN}"]
    ways = postprocessing_grid(_params(task))
    for fold in result.folds:
        if fold.postprocessing and fold.postprocessing not in ways:
            return [f"{fold.test} was made into events in a way that the task doesn't have."]
    return []


def _score_problems(result: Result, task: LeaderboardTask) -> list[str]:
    wanted = task.spec.scores[0]
    if result.kind != task.spec.embedding_type:
        return [f"it is a result of {result.kind} embeddings, and the task isn't."]
    if result.primary_score != wanted or wanted not in result.scores:
        return [f"its first score is {result.primary_score!r} and not {wanted!r}. {_AGAIN}"]
    score = result.primary.mean
    if math.isnan(score):
        notes = " ".join(result.notes)
        return [f"its {wanted} is undefined, so there is nothing to enter. {notes}".rstrip()]
    if not 0 <= score <= 1:
        return [f"its {wanted} is {score:g}, which isn't in 0 to 1."]
    for name, summary in result.scores.items():
        mean, std = mean_std(list(summary.per_fold.values()))
        if not (same_number(summary.mean, mean) and same_number(summary.std, std)):
            return [
                f"it has been edited: the mean or deviation of {name} isn't that of its folds, "
                f"{mean:.9g}. {_AGAIN}"
            ]
    return []


def _edited(result: Result, folder: Path) -> list[str]:
    problems = []
    form = folder / _REFERENCE_FILE
    if form.is_file():
        problems += _form_differences(result, form)
    if has_predictions(folder):
        try:
            check_sanity(result, folder)
            problems += score_differences(result.scores, recompute(folder))
        except HearError as error:
            problems.append(str(error))
    if not problems:
        return []
    return [f"it, or what lies beside it, has been edited: {'; '.join(problems)}"]


def _form_differences(result: Result, file: Path) -> list[str]:
    try:
        if file.stat().st_size > _MOST_FORM_BYTES:
            return [f"{file.name} is larger than it can be"]
        form: Any = json.loads(file.read_bytes())
    except (OSError, *SYNTAX_ERRORS) as error:
        return [f"{file.name} can't be read ({error})"]
    for fold, name in itertools.product(result.folds, result.scores):
        key = f"test_{name}"
        try:
            stated = form[fold.test][key]
        except (KeyError, TypeError):
            return [f"{file.name} has no {key} of {fold.test}"]
        right = result.scores[name].per_fold[fold.test]
        number = math.nan if stated is None else stated
        if isinstance(number, str):
            number = {"Infinity": math.inf, "-Infinity": -math.inf}.get(number)
        if not _same(number, right):
            return [f"{file.name} has {stated} as {name} of {fold.test}, and {RESULT_FILE} {right}"]
    return []


def _same(value: Any, number: float) -> bool:
    """Whether a value of JSON is a number, and that one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    # An integer may be larger than any float.
    too_large = isinstance(value, int) and abs(value) > sys.float_info.max
    return not too_large and same_number(float(value), number)
