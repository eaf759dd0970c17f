"""Contradictions within a result: what can't all be true, or what no evaluation writes.

Nothing here needs the predictions: how long each grid point was trained follows from when it stops,
a validation lies where its score can be, and the first fold is where the grid was tried.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from hearbench.embeddings.kinds import embedding_size
from hearbench.metrics import EventScore, SceneScore, get_score
from hearbench.probe.events import Postprocessing, postprocessing_grid
from hearbench.probe.objective import Objective
from hearbench.probe.protocol import DEFAULT_SEED, GridPoint, NeighbourPoint, Protocol
from hearbench.results.record import FoldResult, GridResult, Result
from hearbench.tasks.task_type import EVENT, TASK_TYPES, PredictionType

__all__ = [
    "TaskFacts",
    "contradictions",
    "date_contradiction",
    "day_of",
    "leaderboard_contradictions",
]

_UNBOUNDED = ("d_prime",)
# Scores that are a number of clips out of all, and by how much rounding moves them.
_SHARES = ("top1_acc", "pitch_acc", "chroma_acc")
_CLOSE = 1e-6
_ENDS = ("patience", "max_epochs", "undefined_score", "raced")
_MOST_SECONDS = 1e10
_LONGEST_NOTE = 20_000
_FIRST_DAY = dt.date(2021, 1, 1)


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task without a result: from the task itself, or from the catalog.

    Attributes:
        params: ``evaluation_params`` of its metadata, empty if it has none; None if the task isn't
            known.
        on_loss: Whether the validation loss chooses; None if that isn't known.
        clip_s: The length of every clip; None where lengths vary, or aren't known.
        n_clips: Clips by split, of the splits that are at hand.
    """

    params: Mapping[str, Any] | None = None
    on_loss: bool | None = None
    clip_s: float | None = None
    n_clips: Mapping[str, int] = field(default_factory=dict)


def contradictions(result: Result, task: TaskFacts, today: dt.date) -> Iterator[str]:
    """Finds what can't be true in a result, in sentences.

    Args:
        task: What is known of its task.
        today: No result is of a later day.
    """
    yield from _facts(result, today)
    possible = (False, True) if task.on_loss is None else (task.on_loss,)
    # Of what isn't known, whatever explains more of what is there.
    yield from min((list(_outcomes(result, task, loss)) for loss in possible), key=len)
    for fold in result.folds:
        if fold.test_loss < 0 or math.isinf(fold.test_loss):
            yield f"{fold.test} has a loss of {fold.test_loss:g}."
        if fold.n_clips < 1:
            yield f"{fold.test} has {fold.n_clips} clips."


def _outcomes(result: Result, task: TaskFacts, on_loss: bool) -> Iterator[str]:
    """Finds what can't be true of the trainings."""
    points = tuple(outcome.point for outcome in result.grid)
    if points != result.protocol.grid:
        yield "its grid isn't that of the protocol that it names."
        return
    if not 0 <= result.chosen < len(points):
        yield f"it chose grid point {result.chosen} of {len(points)}."
        return
    low, high = _range(result, on_loss)
    grid = None if task.params is None else set(postprocessing_grid(task.params))
    first, winner = result.folds[0], result.grid[result.chosen]
    # The test clips of one fold are the validation clips of another.
    n_clips = {fold.test: fold.n_clips for fold in result.folds} | dict(task.n_clips)
    is_share = not on_loss and result.primary_score in _SHARES
    outcomes: list[tuple[FoldResult | GridResult, FoldResult, str]] = [
        *((outcome, first, f"grid point {i}") for i, outcome in enumerate(result.grid)),
        *((fold, fold, fold.test) for fold in result.folds[1:]),
    ]
    for outcome, fold, where in outcomes:
        yield from _training(outcome, result.protocol, winner.point, where)
        yield from _validation(outcome, result, (low, high), where)
        if is_share:
            yield from _share(outcome.validation_score, n_clips.get(fold.valid), where)
        yield from _postprocessing(outcome.postprocessing, result, grid, where)
    if _fared(first) != _fared(winner):
        yield f"{first.test} isn't what became of the grid point that was chosen there."
    yield from _choice(result, on_loss)


def leaderboard_contradictions(result: Result) -> Iterator[str]:
    """Finds what isn't as in the published results, in a result for the leaderboard."""
    if result.seed != DEFAULT_SEED:
        yield (
            f"it was trained with seed {result.seed}; the leaderboard's results are of seed "
            f"{DEFAULT_SEED}, so that no one can look for a lucky one."
        )
    if result.precision != "float32":
        yield f"its probe was trained in {result.precision}; the leaderboard's are in float32."


def date_contradiction(day: dt.date, today: dt.date, what: str) -> str | None:
    """Says so if something can't be of a day."""
    if day > today + dt.timedelta(days=1):
        return f"{what} is of {day.isoformat()}, and today is {today.isoformat()}."
    if day < _FIRST_DAY:
        return f"{what} is of {day.isoformat()}, before the benchmark began."
    return None


def day_of(result: Result) -> dt.date | None:
    """The day on which a result was written; None if what it says is no time."""
    try:
        return dt.datetime.fromisoformat(result.resources.created).date()
    except ValueError:
        return None


def _facts(result: Result, today: dt.date) -> Iterator[str]:
    if result.prediction_type not in get_args(PredictionType):
        yield f"its predictions are {result.prediction_type!r}, which there isn't."
    if result.embeddings.kind != result.kind:
        yield f"it is of {result.kind} embeddings, and those that it names are of another kind."
    model = result.model
    size = embedding_size(model, result.protocol.what(result.task_type))
    if result.embeddings.size != size:
        yield f"its embeddings have {result.embeddings.size} dimensions, and the model's {size}."
    if result.embeddings.dtype not in ("float32", "float16"):
        yield f"its embeddings are stored as {result.embeddings.dtype!r}, which there isn't."
    if model.sample_rate < 1 or size < 1:
        yield f"its model has a rate of {model.sample_rate} Hz and embeddings of {size} dimensions."
    if result.precision not in ("float32", "bfloat16"):
        yield f"its precision is {result.precision!r}, which there isn't."
    if any(len(note) > _LONGEST_NOTE or not note.isprintable() for note in result.notes):
        yield f"its notes hold letters that aren't shown, or more than {_LONGEST_NOTE} of them."
    if result.seed < 0:
        yield f"its seed is {result.seed}."
    took = result.resources
    if set(took.fold_s) != {fold.test for fold in result.folds}:
        yield "its times aren't those of its test splits."
    spans = (took.embed_s, took.probe_s, took.audio_s, *took.fold_s.values())
    for seconds in (*spans, *(stage.seconds for stage in took.stages)):
        if not 0 <= seconds <= _MOST_SECONDS:
            yield f"it says that something took {seconds:g} s."
            break
    day = day_of(result)
    wrong = None if day is None else date_contradiction(day, today, "it")
    if day is None:
        yield f"it was written at {took.created!r}, which is no time."
    elif wrong:
        yield wrong


def _fared(one: FoldResult | GridResult) -> tuple[Any, ...]:
    score = None if math.isnan(one.validation_score) else one.validation_score
    return score, one.best_epoch, one.epochs, one.postprocessing


def _training(
    one: FoldResult | GridResult,
    protocol: Protocol,
    winner: GridPoint | NeighbourPoint,
    where: str,
) -> Iterator[str]:
    """Whether a training can have ended after so many epochs, the best so long before."""
    point, ended = (one.point, one.ended) if isinstance(one, GridResult) else (winner, None)
    epochs, best = one.epochs, one.best_epoch
    shown = f"{where} was trained for {epochs} epochs, the best after {best}"
    if not isinstance(point, GridPoint):
        if (epochs, best) != (0, 0) or ended not in ("asked", None):
            yield f"{shown}, and neighbours aren't trained."
        return
    possible = _ENDS if ended is None else (ended,)
    if not any(_can_end(epochs, best, point, protocol, end) for end in possible):
        yield (
            f"{shown}, and ended by {ended or 'any rule'}: that can't be with at most "
            f"{point.max_epochs} epochs, a validation every {point.check_every} and a patience of "
            f"{protocol.patience(point)}."
        )
    elif (best == 0) != math.isnan(one.validation_score):
        yield f"{shown}, with a validation of {one.validation_score:g}."


def _can_end(epochs: int, best: int, point: GridPoint, protocol: Protocol, ended: str) -> bool:
    every, waited = point.check_every, epochs - best
    if not 0 <= best <= epochs <= point.max_epochs or best % every:
        return False
    if ended == "max_epochs":
        # Trained until no other validation is to come.
        last = max(1, point.max_epochs // every * every)
        return epochs == last and waited <= point.patience * every
    if epochs < 1 or epochs % every:
        return False
    if ended == "patience":
        return waited == protocol.patience(point) * every
    if ended == "undefined_score":
        return protocol.nan_ends_point and waited <= point.patience * every
    return ended == "raced" and protocol.racing is not None and waited < point.patience * every


def _range(result: Result, on_loss: bool) -> tuple[float, float]:
    """The range in which a validation can be."""
    name = result.primary_score
    if on_loss:
        return 0.0, math.inf
    if name in [score for kind in TASK_TYPES for score in kind.scores] and name not in _UNBOUNDED:
        return 0.0, 1.0 if _score(result).maximise else math.inf
    return -math.inf, math.inf


def _score(result: Result) -> SceneScore | EventScore:
    return get_score(result.task_type, result.primary_score)


def _validation(
    one: FoldResult | GridResult, result: Result, between: tuple[float, float], where: str
) -> Iterator[str]:
    score, (low, high) = one.validation_score, between
    if math.isnan(score):
        return
    if math.isinf(score) and math.isfinite(low):
        # Where the very first validation was undefined, the worst that there is.
        worst = -math.inf if math.isfinite(high) else math.inf
        every = {point.check_every for point in result.protocol.networks}
        first = one.best_epoch == one.epochs and one.epochs in every
        if score == worst and first and result.protocol.nan_ends_point:
            return
    elif low <= score <= high:
        return
    yield f"{where} has a validation of {score:g}, which isn't in {low:g} to {high:g}."


def _share(accuracy: float, n_clips: int | None, where: str) -> Iterator[str]:
    """Whether an accuracy is that of a whole number of clips, which may not be known."""
    if n_clips is None or not math.isfinite(accuracy):
        return
    right = accuracy * n_clips
    if abs(right - round(right)) > _CLOSE * n_clips:
        yield (
            f"{where} has a validation of {accuracy:.9g}, which isn't a whole number of "
            f"{n_clips} clips."
        )


def _postprocessing(
    found: Postprocessing | None,
    result: Result,
    grid: set[Postprocessing] | None,
    where: str,
) -> Iterator[str]:
    if found is None:
        return
    if result.task_type is not EVENT:
        yield f"{where} was made into events, and the task has none."
    elif grid is not None and found not in grid:
        yield (
            f"{where} was made into events by a filter of {found.median_filter_ms:g} ms and a "
            f"duration of {found.min_duration_ms:g} ms, which the task doesn't have."
        )


def _choice(result: Result, on_loss: bool) -> Iterator[str]:
    """Whether the first of the best validations was chosen."""
    score = _score(result)
    objective = Objective(score, score.maximise, on_loss)
    merits = [objective.goodness(outcome.validation_score) for outcome in result.grid]
    if merits.index(max(merits)) != result.chosen:
        yield (
            f"it used grid point {result.chosen}, and another one was the first of those that were "
            "best in validation."
        )
