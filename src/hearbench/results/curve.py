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
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.probe.protocol import Protocol
from hearbench.probe.subset import TrainSubset
from hearbench.records import Record, StoredRecord
from hearbench.results.record import Number

__all__ = [
    "CURVE_FILE",
    "FEW_LABELS",
    "AllClips",
    "Area",
    "Curve",
    "CurvePoint",
    "CurveScore",
    "Series",
    "area_over_clips",
    "mean_interval",
]

CURVE_FILE = "curve.json"
FEW_LABELS = "few-labels"

Series = Literal["fraction", "shots"]
"""Points that grow in the same way: shares of the clips, or clips per label."""


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
