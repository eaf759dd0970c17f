"""Scores of a result once more, from the predictions that lie beside it.

Nothing in ``result.json`` is believed but what can't be known otherwise: how frames were made
into events, and which test splits there should be. Events are found in the frames' probabilities
again, so a list of events that doesn't follow from them is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from hearbench.errors import HearError, ResultError
from hearbench.files import json_safe
from hearbench.metrics import get_event_score, get_scene_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.probe.events import Postprocessing, events_from_frames
from hearbench.results.over_folds import mean_std, same_number
from hearbench.results.record import RESULT_FILE, FoldResult, PartSummary, Result, ScoreSummary
from hearbench.results.stored import (
    REMEDY,
    read_array,
    read_clips,
    read_events,
    read_json,
    read_labels,
    read_probabilities,
    read_targets,
)
from hearbench.tasks.clips import Event
from hearbench.tasks.spec import is_plain_name
from hearbench.tasks.store import PreparedTask

__all__ = ["content_difference", "has_predictions", "recompute", "score_differences"]

_FOLDER = "predictions"
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def has_predictions(folder: Path) -> bool:
    """Whether predictions lie beside a result, from which it can be computed again."""
    return (folder / _FOLDER).is_dir()


def recompute(folder: Path, task: PreparedTask | None = None) -> dict[str, ScoreSummary]:
    """All scores of a result's folder, computed from its stored predictions.

    Args:
        folder: The result's, with ``result.json`` and ``predictions/``.
        task: The task, to take its labels instead of those that are stored with the predictions;
            stored ones that differ are an error.

    Returns:
        By name of the score, in the result's order, what `hearbench.results.score` would give.

    Raises:
        ResultError: A file is missing, isn't what it should be, or contradicts another.
        UnknownNameError: The result has a score that doesn't exist.
    """
    result = Result.read(folder)
    place = folder / _FOLDER
    tests = [fold.test for fold in result.folds]
    strange = [test for test in tests if not is_plain_name(test)]
    if strange:
        raise ResultError(
            f"{folder / RESULT_FILE}: {strange[0]!r} can't be the name of a split. {REMEDY}"
        )
    splits = read_clips(place)
    labels = read_labels(place, result.n_labels)
    if task is not None and list(task.vocabulary) != labels:
        raise ResultError(f"{place / 'labels.json'} isn't the vocabulary of {task.name}. {REMEDY}")
    if sorted(splits) != sorted(tests):
        raise ResultError(
            f"{place / 'clips.json'} has the test splits {', '.join(splits) or 'none'}, and the "
            f"result {', '.join(tests)}. {REMEDY}"
        )
    if task is not None:
        _check_clips(splits, task, place)
    of_fold = _scene_fold if result.kind == "scene" else _event_fold
    per_fold = {
        fold.test: of_fold(result, fold, splits[fold.test], labels, place, task)
        for fold in result.folds
    }
    return {name: _summary(name, result.kind, per_fold) for name in result.scores}


def score_differences(
    said: Mapping[str, ScoreSummary], found: Mapping[str, ScoreSummary]
) -> list[str]:
    """In which numbers two sets of scores differ by more than rounding, one line for each score."""
    problems = []
    for name in said:
        if name not in found:
            problems.append(f"{name} is no score of the predictions")
            continue
        if said[name].maximise != found[name].maximise:
            problems.append(f"{name}: whether higher is better is stated wrongly")
        for what, a, b in _pairs(said[name], found[name]):
            if not same_number(a, b):
                problems.append(f"{name}, {what}: {_text(a)} is stated, {_text(b)} is right")
                break
    return problems


def content_difference(
    stated: Any, right: Any, where: str = "", *, close: float = 1e-9
) -> str | None:
    """The place of the first difference between two values of JSON, rounding aside.

    Args:
        stated: The one.
        right: The other.
        where: Of both, for the answer.
        close: By how much two numbers may differ, as a share of the larger one or, if that is less
            than 1, in all.

    Returns:
        None if there is none.
    """
    if isinstance(right, Mapping) and isinstance(stated, Mapping):
        for key in dict.fromkeys([*right, *stated]):
            place = f"{where}.{key}".lstrip(".")
            if key not in right or key not in stated:
                return place
            found = content_difference(stated[key], right[key], place, close=close)
            if found is not None:
                return found
        return None
    if isinstance(right, list | tuple) and isinstance(stated, list | tuple):
        if len(right) != len(stated):
            return where
        pairs = enumerate(zip(stated, right, strict=True))
        differences = (content_difference(a, b, f"{where}.{i}", close=close) for i, (a, b) in pairs)
        return next((each for each in differences if each is not None), None)
    kinds = {type(value) for value in (stated, right)}
    if kinds <= {int, float}:
        a, b = float(stated), float(right)
        return None if math.isclose(a, b, rel_tol=close, abs_tol=close) else where
    return None if stated == right and len(kinds) == 1 else where


def _pairs(said: ScoreSummary, found: ScoreSummary) -> list[tuple[str, float | None, float | None]]:
    pairs = _numbers("", said, found)
    pairs += [
        (f"{part}, mean", said.parts[part].mean, None) for part in said.parts.keys() - found.parts
    ]
    for part in found.parts:
        if part in said.parts:
            pairs += _numbers(f"{part}, ", said.parts[part], found.parts[part])
        else:
            pairs.append((f"{part}, mean", None, found.parts[part].mean))
    return pairs


def _numbers(
    prefix: str, said: PartSummary, found: PartSummary
) -> list[tuple[str, float | None, float | None]]:
    splits = dict.fromkeys([*found.per_fold, *said.per_fold])
    return [
        *(
            (f"{prefix}{split}", said.per_fold.get(split), found.per_fold.get(split))
            for split in splits
        ),
        (f"{prefix}mean", said.mean, found.mean),
        (f"{prefix}standard deviation", said.std, found.std),
    ]


def _text(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.9g}"


def _summary(
    name: str, kind: str, per_fold: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> ScoreSummary:
    if kind == "scene":
        score = get_scene_score(name)
        return ScoreSummary(
            **_over_folds({test: found[name][name] for test, found in per_fold.items()}),
            maximise=score.maximise,
        )
    metric = get_event_score(name)
    parts = {
        part: PartSummary(
            **_over_folds({test: found[name][part] for test, found in per_fold.items()})
        )
        for part in metric.parts_in_results
    }
    main = parts[metric.main]
    return ScoreSummary(
        mean=main.mean,
        std=main.std,
        per_fold=main.per_fold,
        maximise=metric.maximise,
        parts=parts,
    )


def _over_folds(values: dict[str, float]) -> dict[str, Any]:
    mean, std = mean_std(list(values.values()))
    return {"mean": mean, "std": std, "per_fold": values}


def _scene_fold(
    result: Result,
    fold: FoldResult,
    clips: Sequence[str],
    labels: Sequence[str],
    place: Path,
    task: PreparedTask | None,
) -> dict[str, dict[str, float]]:
    """Each score, under its own name, of one test split."""
    shape = (len(clips), len(labels))
    probabilities = read_probabilities(place / f"{fold.test}.npy", shape, fold, "clips")
    file = place / f"{fold.test}.targets.npy"
    targets = read_targets(file, shape)
    if task is not None:
        rows = {name: row for row, name in enumerate(task.splits[fold.test])}
        own = task.targets(fold.test)[[rows[name] for name in clips]]
        wrong = np.flatnonzero((own != targets).any(axis=1))
        if len(wrong):
            raise ResultError(
                f"{file}: the labels of {clips[int(wrong[0])]} aren't those of {task.name}, nor "
                f"those of {len(wrong) - 1} other clips. {REMEDY}"
            )
    if probabilities is None:
        return {name: {name: math.nan} for name in result.scores}
    return {
        name: {name: float(get_scene_score(name)(probabilities, targets))} for name in result.scores
    }


def _event_fold(
    result: Result,
    fold: FoldResult,
    clips: Sequence[str],
    labels: Sequence[str],
    place: Path,
    task: PreparedTask | None,
) -> dict[str, dict[str, float]]:
    """The parts of each score of one test split."""
    names = {"bounds": f"{fold.test}.bounds.npy", "times": f"{fold.test}.timestamps.npy"}
    bounds, times = (read_array(place / name) for name in names.values())
    if bounds.shape != (len(clips) + 1,) or not np.issubdtype(bounds.dtype, np.integer):
        raise ResultError(
            f"{place / names['bounds']} doesn't say where the frames of {len(clips)} clips begin. "
            f"{REMEDY}"
        )
    if fold.n_clips != len(clips):
        raise ResultError(
            f"{place / 'clips.json'} has {len(clips)} clips of {fold.test}, and the result "
            f"{fold.n_clips}. {REMEDY}"
        )
    shape = (len(times), len(labels))
    probabilities = read_probabilities(place / f"{fold.test}.npy", shape, fold, "frames")
    reference, estimate = (
        read_events(place / f"{fold.test}.{what}.json", clips, labels)
        for what in ("reference", "events")
    )
    if task is not None:
        _check_reference(reference, fold.test, clips, labels, place, task)
    if probabilities is None or fold.postprocessing is None:
        if len(estimate):
            raise ResultError(
                f"{place / f'{fold.test}.events.json'} has events, though there was nothing to "
                f"find them with. {REMEDY}"
            )
        _parts(result, reference, estimate, labels, place / f"{fold.test}.per_label.json")
        return {
            name: dict.fromkeys(get_event_score(name).parts_in_results, math.nan)
            for name in result.scores
        }
    way = Postprocessing(fold.postprocessing.median_filter_ms, fold.postprocessing.min_duration_ms)
    try:
        found = events_from_frames(probabilities, bounds, times, [way])[0]
    except HearError as error:
        raise ResultError(f"{place}, {fold.test}: {error}") from error
    if found.to_mapping(clips, labels) != estimate.to_mapping(clips, labels):
        raise ResultError(
            f"{place / f'{fold.test}.events.json'} has other events than the probabilities in "
            f"{fold.test}.npy give. {REMEDY}"
        )
    parts = _parts(result, reference, found, labels, place / f"{fold.test}.per_label.json")
    return {
        name: {part: float(parts[name][part]) for part in get_event_score(name).parts_in_results}
        for name in result.scores
    }


def _parts(
    result: Result,
    reference: EventArrays,
    estimate: EventArrays,
    labels: Sequence[str],
    file: Path,
) -> dict[str, dict[str, Any]]:
    """All parts of each score; what a file says of them, if there is one, must be the same."""
    found = {
        name: get_event_score(name).parts(reference, estimate, labels) for name in result.scores
    }
    if file.is_file():
        where = content_difference(read_json(file, _ANYTHING), json_safe(found))
        if where is not None:
            raise ResultError(f"{file}: {where} isn't what the events give. {REMEDY}")
    return found


def _check_clips(splits: Mapping[str, Sequence[str]], task: PreparedTask, place: Path) -> None:
    for split, clips in splits.items():
        own = task.splits.get(split)
        if own is None or sorted(own) != sorted(clips):
            raise ResultError(
                f"{place / 'clips.json'}: the clips of {split} aren't those of {task.name}. "
                f"{REMEDY}"
            )


def _check_reference(
    reference: EventArrays,
    split: str,
    clips: Sequence[str],
    labels: Sequence[str],
    place: Path,
    task: PreparedTask,
) -> None:
    events = [
        [item for item in task.splits[split][name] if isinstance(item, Event)] for name in clips
    ]
    own = EventArrays.from_clips(events, labels)
    if own.to_mapping(clips, labels) != reference.to_mapping(clips, labels):
        raise ResultError(
            f"{place / f'{split}.reference.json'} has other events than {task.name}. {REMEDY}"
        )
