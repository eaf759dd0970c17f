"""Label-efficiency curves: scores by the number of labelled training clips.

The results of a curve lie beside that of all training clips::

    MODEL/TASK/result.json                         all training clips, if there
    MODEL/TASK/few-labels/<part>/result.json       a part in one repeat: shots=5,repeat=0
    MODEL/TASK/few-labels/curve.json               `Curve`

Repeat r draws other training clips than every other repeat and trains with another seed, the
curve's seed + r; test and validation clips are the same throughout. The interval of a mean over
repeats therefore is about the luck of those clips and that training. It holds for these test
clips, and says nothing about others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from hearbench._version import __version__
from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.errors import ProbeError, ResultError
from hearbench.probe.protocol import Protocol
from hearbench.probe.subset import TrainSubset
from hearbench.records import Record, StoredRecord
from hearbench.results.aggregate import mean_std
from hearbench.results.record import RESULT_FILE, Number, Result

__all__ = [
    "CURVE_FILE",
    "FEW_LABELS",
    "AllClips",
    "Area",
    "ClipCounts",
    "Curve",
    "CurvePoint",
    "CurveScore",
    "Series",
    "area_over_clips",
    "build_curve",
    "curve_differences",
    "finished_parts",
    "mean_interval",
    "part_folder",
]

CURVE_FILE = "curve.json"
FEW_LABELS = "few-labels"

Series = Literal["fraction", "shots"]
"""Points that grow in the same way: shares of the clips, or clips per label."""

ClipCounts = Callable[[TrainSubset | None], float]
"""Training clips of a part (None: of all), the mean over folds."""
_REMEDY = (
    "A curve's results must be alike in all but their part. Evaluate into another --out, or "
    "replace them with --overwrite."
)


class CurveScore(Record):
    """One score at one point.

    Attributes:
        mean: Over repeats; undefined if it is in any of them.
        std: Sample standard deviation over repeats (ddof 1); None with one repeat.
        low: Lower end of the interval of the mean, by Student's t over repeats and not cut off
            at the score's bounds; None with one repeat.
        high: Upper end of the interval.
        per_repeat: Mean over folds, by repeat.
        share_of_all: The mean as a share of the score with all training clips; None where that
            isn't known or isn't above 0, and for scores of which less is better.
    """

    mean: Number
    std: Number | None
    low: Number | None
    high: Number | None
    per_repeat: dict[int, Number]
    share_of_all: Number | None


class CurvePoint(Record):
    """One size of the training set.

    Attributes:
        part: The part of the training clips, in its repeat 0.
        n_clips: Labelled training clips, the mean over repeats and folds.
        n_clips_per_repeat: The mean over folds, by repeat.
        scores: All of the task's, in its order.
    """

    part: TrainSubset
    n_clips: float
    n_clips_per_repeat: dict[int, float]
    scores: dict[str, CurveScore]

    @property
    def series(self) -> Series:
        """In which way it grows."""
        return "shots" if self.part.shots is not None else "fraction"


class AllClips(Record):
    """The result with all training clips.

    Attributes:
        n_clips: Training clips, the mean over folds.
        scores: The mean over folds, by score.
    """

    n_clips: float
    scores: dict[str, Number]


class Area(Record):
    """The mean height of a curve: its area over log10(clips), divided by the curve's width.

    The curve is the straight line between neighbouring points. Curves of one task are comparable
    by it where they go from the same point to the same.

    Attributes:
        series: The points that the area is over.
        low_clips: Clips at the smallest point.
        high_clips: Clips at the largest.
        scores: The mean height, by score.
    """

    series: Series
    low_clips: float
    high_clips: float
    scores: dict[str, Number]


class Curve(StoredRecord):
    """How a model's scores on a task grow with the training clips.

    Attributes:
        format_version: Version of this layout.
        hearbench_version: Version of hearbench that made the curve.
        model: The model, with digests of its weights and source.
        task: The task, with the digest of its content at the model's rate.
        protocol: Without the part that each point learns from.
        seed: Seed of repeat 0; repeat r has seed + r.
        precision: Precision of the matrix products during training.
        level: Confidence level of the intervals.
        primary_score: The one that was optimised.
        maximise: Whether higher is better, by score.
        points: Shares first, then shots, each from small to large.
        all_clips: Scores with all training clips; None without that result, or if it is another's.
        areas: Per series of at least two points.
        missing: Labels of trainings that were asked for and aren't there.
        notes: Sentences that a reader should know.
    """

    FILE = CURVE_FILE
    WHAT = "a curve"

    format_version: Literal[1] = 1
    hearbench_version: str
    model: ModelRecord
    task: TaskRecord
    protocol: Protocol
    seed: int
    precision: str
    level: float
    primary_score: str
    maximise: dict[str, bool]
    points: tuple[CurvePoint, ...] = Field(min_length=1)
    all_clips: AllClips | None
    areas: tuple[Area, ...]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def mean_interval(values: Sequence[float], level: float) -> tuple[float, float] | None:
    """The interval of the mean of independent values, by Student's t.

    Args:
        values: At least two, or there is none.
        level: Between 0 and 1.

    Returns:
        Both ends; NaN where a value isn't finite.
    """
    import numpy as np

    from hearbench.stats.distributions import t_quantile

    if len(values) < 2:
        return None
    if not all(math.isfinite(value) for value in values):
        return math.nan, math.nan
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = t_quantile((1 + level) / 2, len(values) - 1) * error
    return mean - half, mean + half


def area_over_clips(points: Sequence[tuple[float, float]]) -> float:
    """Mean height of the lines between points over log10 of their clips.

    Args:
        points: (clips, score), in any order; at least two different numbers of clips.
    """
    import numpy as np

    ordered = sorted(points)
    x = np.log10([clips for clips, _ in ordered])
    y = np.array([score for _, score in ordered])
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))


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
    # Scores below 0, as R2 may be, are no share of anything.
    has_share = goal is not None and 0 < goal < math.inf and not mean < 0
    reached = mean / goal if has_share and goal else None
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
