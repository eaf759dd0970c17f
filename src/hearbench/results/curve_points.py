"""From the results of a curve's points to the curve, with the check that they belong together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hearbench._version import __version__
from hearbench.errors import ProbeError, ResultError
from hearbench.probe.protocol import Protocol
from hearbench.probe.subset import TrainSubset
from hearbench.results.aggregate import mean_std
from hearbench.results.curve import (
    FEW_LABELS,
    AllClips,
    Area,
    Curve,
    CurvePoint,
    CurveScore,
    Series,
    area_over_clips,
    mean_interval,
)
from hearbench.results.record import RESULT_FILE, Result

__all__ = ["ClipCounts", "build_curve", "curve_differences", "finished_parts", "part_folder"]

ClipCounts = Callable[[TrainSubset | None], float]
"""Training clips of a part (None: of all), the mean over folds."""

_REMEDY = (
    "A curve's results must be alike in all but their part. Evaluate into another --out, or "
    "replace them with --overwrite."
)


def part_folder(folder: Path, part: TrainSubset) -> Path:
    """Where the result of one part and repeat is, within ``MODEL/TASK``."""
    return folder / FEW_LABELS / part.label()


def finished_parts(folder: Path) -> list[TrainSubset]:
    """The parts of which there is a result, shares first, from small to large.

    Args:
        folder: ``MODEL/TASK``.
    """
    places = (folder / FEW_LABELS).glob(f"*/{RESULT_FILE}")
    found = (_part_of(place.parent.name) for place in places)
    return sorted((part for part in found if part), key=_size)


def _part_of(name: str) -> TrainSubset | None:
    try:
        return TrainSubset.from_label(name)
    except ProbeError:
        return None  # somebody else's folder


def _size(part: TrainSubset) -> tuple[bool, float, int]:
    return (part.shots is not None, part.fraction or part.shots or 0, part.repeat)


def build_curve(
    folder: Path,
    clips: ClipCounts,
    *,
    asked: Sequence[TrainSubset] = (),
    level: float = 0.95,
) -> Curve:
    """The curve of all results that are there.

    Args:
        folder: ``MODEL/TASK``.
        clips: Counts training clips.
        asked: Parts and repeats that should be there; those that aren't are named. By default
            every repeat of any point, at every point.
        level: Confidence level of the intervals.

    Raises:
        ResultError: There is no result, one can't be read, or they are of different models,
            tasks, protocols or seeds.
    """
    parts = finished_parts(folder)
    if not parts:
        raise ResultError(
            f"{folder / FEW_LABELS} holds no results of parts of the training clips.",
            code="not_found",
        )
    results = {part: _read(folder, part) for part in parts}
    first, reference = next(iter(results.items()))
    for part, result in results.items():
        different = curve_differences(reference, result)
        if different:
            raise ResultError(
                f"{part_folder(folder, part)} holds a result of {', '.join(different)} than "
                f"{part_folder(folder, first)}. {_REMEDY}"
            )
    notes: list[str] = []
    everything = _all_clips(folder, reference, clips, notes)
    points = tuple(
        _point(size, results, everything, reference, clips, level)
        for size in dict.fromkeys(part.with_repeat(0) for part in parts)
    )
    wanted = asked or _all_repeats(parts)
    missing = tuple(part.label() for part in sorted(set(wanted) - set(parts), key=_size))
    if missing:
        notes.append(
            f"{len(missing)} of {len(set(wanted))} trainings are missing: {', '.join(missing)}. "
            "The same command goes on with them."
        )
    notes += _point_notes(points)
    protocol = _whole_protocol(reference)
    return Curve(
        hearbench_version=__version__,
        model=reference.model,
        task=reference.task,
        protocol=protocol,
        seed=_first_seed(reference),
        precision=reference.precision,
        level=level,
        primary_score=reference.primary_score,
        maximise={name: summary.maximise for name, summary in reference.scores.items()},
        points=points,
        all_clips=everything,
        areas=tuple(_areas(points, list(reference.scores))),
        missing=missing,
        notes=tuple(notes),
    )


def curve_differences(reference: Result, other: Result) -> list[str]:
    """In what a result can't be of the same curve, each as ``another ...``."""
    pairs = {
        "another model": (reference.model.digest, other.model.digest),
        "another task": (
            (reference.task.digest, list(reference.scores)),
            (other.task.digest, list(other.scores)),
        ),
        "other embeddings": (reference.embeddings.digest, other.embeddings.digest),
        "another protocol": (
            _whole_protocol(other).trains_as(_whole_protocol(reference), other.primary_score),
            True,
        ),
        "another seed": (_first_seed(reference), _first_seed(other)),
        "another precision": (reference.precision, other.precision),
    }
    return [what for what, (mine, its) in pairs.items() if mine != its]


def _read(folder: Path, part: TrainSubset) -> Result:
    place = part_folder(folder, part)
    result = Result.read(place)
    have = result.protocol.subset
    if have != part:
        learned = have.label() if have else "all training clips"
        raise ResultError(f"{place} holds a result of {learned}. Move it to where it belongs.")
    return result


def _whole_protocol(result: Result) -> Protocol:
    """The protocol without its part, under its own name."""
    protocol = result.protocol
    if protocol.subset is None:
        return protocol
    label = protocol.subset.label()
    name = protocol.name.removesuffix(f"[{label}]")
    if name.endswith(f",{label}]"):
        name = name.removesuffix(f",{label}]") + "]"
    return protocol.model_copy(update={"name": name, "subset": None})


def _first_seed(result: Result) -> int:
    subset = result.protocol.subset
    return result.seed - (subset.repeat if subset else 0)


def _all_repeats(parts: Sequence[TrainSubset]) -> list[TrainSubset]:
    return [part.with_repeat(other.repeat) for part in parts for other in parts]


def _all_clips(
    folder: Path, reference: Result, clips: ClipCounts, notes: list[str]
) -> AllClips | None:
    if not (folder / RESULT_FILE).exists():
        notes.append(
            "There is no result with all training clips to compare with; `hearbench evaluate` "
            "without --shots and --train-fraction makes it."
        )
        return None
    result = Result.read(folder)
    different = curve_differences(reference, result)
    if different:
        notes.append(
            f"The result with all training clips beside this curve is of {', '.join(different)}, "
            "and is left out."
        )
        return None
    scores = {name: summary.mean for name, summary in result.scores.items()}
    return AllClips(n_clips=clips(None), scores=scores)


def _point(
    size: TrainSubset,
    results: Mapping[TrainSubset, Result],
    everything: AllClips | None,
    reference: Result,
    clips: ClipCounts,
    level: float,
) -> CurvePoint:
    own = {part: result for part, result in results.items() if part.point == size.point}
    counts = {part.repeat: clips(part) for part in own}
    scores = {}
    for name, summary in reference.scores.items():
        values = {part.repeat: result.scores[name].mean for part, result in own.items()}
        goal = everything.scores[name] if everything and summary.maximise else None
        scores[name] = _score(values, goal, level)
    return CurvePoint(
        part=size,
        n_clips=sum(counts.values()) / len(counts),
        n_clips_per_repeat=counts,
        scores=scores,
    )


def _score(values: Mapping[int, float], goal: float | None, level: float) -> CurveScore:
    mean, std = mean_std(list(values.values()))
    # Unlike folds: that a repeat has no score says something of that many clips.
    if std is not None and any(map(math.isnan, values.values())):
        mean = std = math.nan
    interval = mean_interval(list(values.values()), level)
    low, high = interval or (None, None)
    reached = mean / goal if goal is not None and goal > 0 and math.isfinite(goal) else None
    return CurveScore(
        mean=mean, std=std, low=low, high=high, per_repeat=dict(values), share_of_all=reached
    )


def _point_notes(points: Sequence[CurvePoint]) -> list[str]:
    notes = []
    single = [point.part.point for point in points if len(point.n_clips_per_repeat) == 1]
    if single:
        notes.append(f"One repeat has no interval: {', '.join(single)}.")
    for point in points:
        for name, score in point.scores.items():
            undefined = sum(1 for value in score.per_repeat.values() if math.isnan(value))
            if undefined:
                notes.append(
                    f"{point.part.point}: {name} is undefined in {undefined} of "
                    f"{len(score.per_repeat)} repeats, and so is its mean."
                )
    return notes


def _areas(points: Sequence[CurvePoint], names: Sequence[str]) -> list[Area]:
    areas = []
    kinds: tuple[Series, ...] = ("fraction", "shots")
    for series in kinds:
        own = [point for point in points if point.series == series]
        clips = [point.n_clips for point in own]
        if len(set(clips)) < 2:
            continue
        heights = {
            name: area_over_clips([(point.n_clips, point.scores[name].mean) for point in own])
            for name in names
        }
        areas.append(
            Area(series=series, low_clips=min(clips), high_clips=max(clips), scores=heights)
        )
    return areas
