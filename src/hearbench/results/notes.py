"""Notes on results for their readers: why scores are undefined, which trainings were short."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from hearbench.files import read_npy
from hearbench.probe.grid import GridPoint, batch_bounds
from hearbench.results.record import FoldResult, Result, ScoreSummary
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, TaskType

__all__ = ["notes_on"]

# A probe that takes fewer steps has hardly left its random weights.
_FEW_STEPS = 100
# Where a protocol allows that many, a short training ended because it had nothing more to learn.
_AMPLE_STEPS = 500
# What leaves scores undefined.
_UNDEFINED = {
    SCENE: "a label that no clip has, or every clip",
    REGRESSION: "a target, or what is predicted of it, that is the same for all clips",
    EVENT: "no event was predicted, or the clips hold none",
}
_UNDEFINED_THERE = {
    SCENE: "some label is that of no clip, or of every clip",
    REGRESSION: "some target, or what is predicted of it, is the same for all clips",
    EVENT: _UNDEFINED[EVENT],
}


def notes_on(results: Sequence[tuple[Path, Result]]) -> list[str]:
    """Writes the notes on results as sentences; on short trainings one for all of them.

    Args:
        results: The path of each ``result.json`` with its content.
    """
    notes = []
    for _, result in results:
        notes += [f"{result.task.name}: {note}" for note in result.notes]
        notes += _undefined(result)
    short = {path: _few_steps(result, path.parent) for path, result in results}
    steps = [number for found in short.values() for number in found]
    if steps:
        tasks = dict.fromkeys(result.task.name for path, result in results if short[path])
        low, high = min(steps), max(steps)
        notes.append(
            f"{', '.join(tasks)}: the probes took {low if low == high else f'{low} to {high}'} "
            "training steps; scores of so short a training say little. Use --protocol linear, knn "
            "or hear2021."
        )
    return notes


def _few_steps(result: Result, folder: Path) -> list[int]:
    """The steps of each fold's training with the chosen grid point, if some took too few.

    Empty otherwise, where nothing was trained, and where it isn't known: in results of earlier
    versions, and for events without their predictions.
    """
    point = result.grid[result.chosen].point
    if not isinstance(point, GridPoint):
        return []
    steps, allowed = [], []
    for number, fold in enumerate(result.folds):
        examples = _n_examples(result, number, folder)
        if examples is None:
            return []
        per_epoch = len(batch_bounds(examples, result.protocol.batch_size))
        steps.append(fold.epochs * per_epoch)
        allowed.append(point.max_epochs * per_epoch)
    return steps if min(steps) < _FEW_STEPS and min(allowed) < _AMPLE_STEPS else []


def _n_examples(result: Result, number: int, folder: Path) -> int | None:
    """What a fold's probe learned from: clips, or frames of an event task (about as many)."""
    fold = result.folds[number]
    epochs = sum(each.epochs for each in result.grid) if number == 0 else fold.epochs
    stages = (each for each in result.resources.stages if each.stage == "probe")
    stage = next((each for each in stages if each.part == fold.test), None)
    if stage is None or stage.throughput is None or not epochs:
        return None
    # By its definition: training clips, as often as they were learned from, per second.
    clips = round(stage.throughput * stage.seconds / epochs)
    rows = _N_ROWS[result.task_type](fold, folder)
    return None if rows is None else round(clips * rows / fold.n_clips)


def _n_clips(fold: FoldResult, folder: Path) -> int:  # noqa: ARG001
    return fold.n_clips


def _n_frames(fold: FoldResult, folder: Path) -> int | None:
    """Frames of the test clips, by the predictions that were made for them."""
    try:
        array = read_npy(folder / "predictions" / f"{fold.test}.npy", mmap=True)
    except (OSError, ValueError):
        return None
    return int(array.shape[0]) if array.ndim else None


# How many rows the predictions of a split have.
_N_ROWS: dict[TaskType, Callable[[FoldResult, Path], int | None]] = {
    SCENE: _n_clips,
    REGRESSION: _n_clips,
    EVENT: _n_frames,
}


def _undefined(result: Result) -> list[str]:
    """Why scores are undefined or infinite, where the result's own notes don't say it."""
    untrained = [fold.test for fold in result.folds if math.isnan(fold.validation_score)]
    blank = [
        fold.test
        for fold in result.folds
        if fold.test not in untrained and math.isnan(fold.test_loss)
    ]
    notes = []
    if untrained:
        notes.append(
            f"{result.task.name}: nothing could be chosen for {', '.join(untrained)}, as "
            f"{result.primary_score} is undefined on the validation clips "
            f"({_UNDEFINED[result.task_type]}); so all scores there are undefined."
        )
    for name, summary in result.scores.items():
        undefined = [split for split, value in summary.per_fold.items() if math.isnan(value)]
        rest = [split for split in undefined if split not in (*untrained, *blank)]
        reasons: dict[str, list[str]] = {}
        for split in rest:
            reasons.setdefault(_reason(result, summary, split), []).append(split)
        notes += [
            f"{result.task.name}: {name} is undefined on {', '.join(splits)}: there, {reason}."
            for reason, splits in reasons.items()
        ]
        infinite = [split for split, value in summary.per_fold.items() if math.isinf(value)]
        if infinite:
            notes.append(
                f"{result.task.name}: {name} is infinite on {', '.join(infinite)}: there, some "
                "label is told apart without an error."
            )
    return notes


def _reason(result: Result, summary: ScoreSummary, split: str) -> str:
    """Why a score is undefined on a test split."""

    def lacks(part: str) -> bool:
        found = summary.parts.get(part)
        return found is not None and math.isnan(found.per_fold.get(split, math.nan))

    if lacks("recall"):
        return "the clips hold no event"
    there = _UNDEFINED_THERE[result.task_type]
    return "no event was predicted" if lacks("precision") else there
