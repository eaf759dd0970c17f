"""Scores as functions of how often each clip counts: what every resampling works on.

A clip score has looked at the predictions once. It then answers, for many resamples at a
time, what the score would be if clip i counted ``weights[r, i]`` times in resample r: the
score of `hearbench.metrics` on the clips repeated that often, but without repeating them.

    name                     from                                  per resample
    accuracies               which clips are right                 a weighted mean
    r2, pearson_r, ccc, mae  products of numbers per clip          a formula of weighted sums
    event scores             counts per clip                       a ratio of weighted sums
    psds1, psds2             changes of counts at thresholds       weighted sums, and their curves
    mAP, aucroc, d_prime     the clips' order under each label     `hearbench.stats.ranking`
    any other                predictions                           the score itself, clips repeated

Where the ranking scores differ from those of `hearbench.metrics`: a label that no clip of a
resample has (for aucroc and d_prime also one that all clips of it have) is left out of the
mean over labels, as a resample says nothing of it. A label that isn't among the clips at all
counts as it does in `hearbench.metrics`: 0 in mAP, NaN in aucroc and d_prime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hearbench.metrics import get_event_score, get_regression_score, get_scene_score
from hearbench.metrics.classification import CHROMA_ACC, PITCH_ACC, TOP1_ACC
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.event_matching import MatchRule, match_events
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.metrics.psds import PsdsCounts, psds, psds_counts
from hearbench.metrics.regression import FORMULAS, clip_sums
from hearbench.metrics.sound_event import (
    EventScore,
    event_f_measure,
    event_macro_f_measure,
    segment_error_rate,
    segment_f_measure,
)
from hearbench.metrics.tagging import AUCROC, D_PRIME, MAP
from hearbench.stats.intervals import UNBOUNDED
from hearbench.stats.ranking import RankingClipScore

__all__ = [
    "ClipScore",
    "Weights",
    "count_clips",
    "event_clip_score",
    "ratio_clip_score",
    "regression_clip_score",
    "scene_clip_score",
]

Weights = npt.NDArray[Any]
"""(n_resamples, n_clips) whole numbers at least 0, of any numeric type and memory order.

Scores work on (n_clips, n_resamples) with a clip's resamples next to each other, so the
transpose of such an array is taken without a copy.
"""
_PITCH_CLASSES = 12
_SHARE = (0.0, 1.0)
_RATE = (0.0, np.inf)
_EPSILON = float(np.spacing(1.0))
_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


class ClipScore(Protocol):
    """A score of some clips under weights.

    Attributes:
        bounds: Least and largest value that the score can take; infinite where there is none.
            What `hearbench.stats.intervals.bootstrap_interval` wants to know.
    """

    @property
    def n_clips(self) -> int:
        """The number of clips."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest value that the score can take."""
        ...

    def __call__(self, weights: Weights) -> npt.NDArray[np.float64]:
        """The score of each resample, (n_resamples,); NaN where it is undefined."""
        ...


def scene_clip_score(
    name: str, probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> ClipScore:
    """A scene score as a function of how often each clip counts.

    Args:
        name: See `hearbench.metrics.score_names`.
        probabilities: (n_clips, n_labels).
        targets: (n_clips, n_labels), multi-hot.

    Raises:
        UnknownNameError: There is no such score.
        ValueError: The two shapes differ.
    """
    score = get_scene_score(name)
    if probabilities.shape != targets.shape or probabilities.ndim != 2:
        raise ValueError(f"probabilities {probabilities.shape} and targets {targets.shape} differ")
    if score in (TOP1_ACC, PITCH_ACC, CHROMA_ACC):
        off = probabilities.argmax(axis=1) - targets.argmax(axis=1)
        if score is CHROMA_ACC:
            off %= _PITCH_CLASSES
        return _MeanClipScore((off == 0).astype(np.float64))
    if score in (MAP, AUCROC, D_PRIME):
        return RankingClipScore(score.name, probabilities, targets)

    def of_clips(index: npt.NDArray[np.int64]) -> float:
        return score(probabilities[index], targets[index])

    return _RepeatingClipScore(of_clips, len(probabilities))


# What each score of numbers lies between.
_BOUNDS = {"r2": (-np.inf, 1.0), "pearson_r": (-1.0, 1.0), "ccc": (-1.0, 1.0), "mae": _RATE}


def regression_clip_score(
    name: str, predicted: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]
) -> ClipScore:
    """A score of predicted numbers as a function of how often each clip counts.

    Args:
        name: See `hearbench.metrics.regression_score_names`.
        predicted: (n_clips, n_targets).
        targets: (n_clips, n_targets).

    Raises:
        UnknownNameError: There is no such score.
        ValueError: The two shapes differ.
    """
    score = get_regression_score(name)
    if predicted.shape != targets.shape or predicted.ndim != 2:
        raise ValueError(f"predictions {predicted.shape} and targets {targets.shape} differ")
    if name in FORMULAS:
        columns = clip_sums(predicted, targets)

        def formula(sums: _Floats) -> _Floats:
            return FORMULAS[name](sums.reshape(len(sums), *columns.shape[1:]))

        return _CountsClipScore(columns.reshape(len(columns), -1), formula, _BOUNDS[name])

    def of_clips(index: npt.NDArray[np.int64]) -> float:
        return score(predicted[index], targets[index])

    return _RepeatingClipScore(of_clips, len(predicted))


def event_clip_score(
    name: str,
    reference: EventArrays,
    estimate: EventArrays | FrameArrays,
    n_clips: int,
    labels: Sequence[str],
) -> ClipScore:
    """An event score as a function of how often each clip counts.

    Args:
        name: See `hearbench.metrics.event_score_names`.
        reference: Events whose clips, as in the estimate, are positions below ``n_clips``.
        estimate: What the score reads.
        n_clips: Clips in all, those without events too.

    Raises:
        UnknownNameError: There is no such score.
        ValueError: An event's clip is not below ``n_clips``, or the estimate has frames of another
            number of clips.
    """
    score = get_event_score(name)
    for events in (reference, estimate):
        if isinstance(events, FrameArrays):
            if events.n_clips != n_clips:
                raise ValueError(f"frames of {events.n_clips} clips, and not of {n_clips}")
        elif len(events) and not 0 <= events.clip.min() <= events.clip.max() < n_clips:
            raise ValueError(f"events of clips outside 0 to {n_clips - 1}")
    if isinstance(estimate, EventArrays):
        counted = count_clips(score, reference, estimate, n_clips, len(labels))
        if counted is not None:
            bounds = _SHARE if score.maximise else _RATE
            return _CountsClipScore(counted.counts, counted.formula, bounds)
    elif isinstance(score.function, partial) and score.function.func is psds:
        parameters = score.function.keywords["parameters"]
        return _PsdsClipScore(psds_counts(reference, estimate, parameters))
    repeat = _repeater(score, reference, estimate, labels)
    return _RepeatingClipScore(repeat, n_clips)


def ratio_clip_score(totals: npt.NDArray[np.floating], counts: npt.NDArray[np.number]) -> ClipScore:
    """A mean of shares, of which each clip has some, as a function of how often each clip counts.

    Args:
        totals: (n_clips,) sums of a clip's shares, which are from 0 to 1.
        counts: (n_clips,) how many shares it has.
    """
    columns = np.stack([totals, counts], axis=1).astype(np.float64)
    return _CountsClipScore(columns, _ratio, _SHARE)


def _ratio(sums: _Floats) -> _Floats:
    total, count = sums.T
    found: _Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return found


@dataclass(frozen=True)
class _MeanClipScore:
    """A mean of one number per clip."""

    values: npt.NDArray[np.float64]
    bounds: tuple[float, float] = _SHARE

    @property
    def n_clips(self) -> int:
        return len(self.values)

    def __call__(self, weights: Weights) -> npt.NDArray[np.float64]:
        columns = np.stack([self.values, np.ones_like(self.values)], axis=1)
        total, weight = _weighted_sums(weights, columns).T
        mean: npt.NDArray[np.float64] = np.divide(
            total, weight, out=np.full(len(total), np.nan), where=weight > 0
        )
        return mean


@dataclass(frozen=True)
class _CountsClipScore:
    """A formula of sums over clips."""

    counts: npt.NDArray[np.float64]
    formula: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    bounds: tuple[float, float]

    @property
    def n_clips(self) -> int:
        return len(self.counts)

    def __call__(self, weights: Weights) -> npt.NDArray[np.float64]:
        return self.formula(_weighted_sums(weights, self.counts))


@dataclass(frozen=True)
class _PsdsClipScore:
    """A polyphonic sound detection score, one resample after the other."""

    counts: PsdsCounts
    bounds: tuple[float, float] = _SHARE

    @property
    def n_clips(self) -> int:
        return self.counts.n_clips

    def __call__(self, weights: Weights) -> npt.NDArray[np.float64]:
        return np.array([self.counts.scores(row)[0] for row in weights], dtype=np.float64)


@dataclass(frozen=True)
class _RepeatingClipScore:
    """Any score, one resample after the other, on clips that are really repeated."""

    of_clips: Callable[[npt.NDArray[np.int64]], float]
    n_clips: int
    bounds: tuple[float, float] = UNBOUNDED

    def __call__(self, weights: Weights) -> npt.NDArray[np.float64]:
        clips = np.arange(self.n_clips)
        found = [
            self.of_clips(np.repeat(clips, np.asarray(row).astype(np.int64))) for row in weights
        ]
        return np.array(found, dtype=np.float64)


def _weighted_sums(weights: Weights, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n_resamples, n_columns) sums of the columns over clips, exact for counts."""
    sums: npt.NDArray[np.float64] = weights.astype(np.float64, copy=False) @ columns
    return sums


def _repeater(
    score: EventScore,
    reference: EventArrays,
    estimate: EventArrays | FrameArrays,
    labels: Sequence[str],
) -> Callable[[npt.NDArray[np.int64]], float]:
    def of_clips(index: npt.NDArray[np.int64]) -> float:
        own = (
            estimate.take(index)
            if isinstance(estimate, FrameArrays)
            else _events_of(estimate, index)
        )
        return score(_events_of(reference, index), own, labels)

    return of_clips


def _events_of(events: EventArrays, index: npt.NDArray[np.int64]) -> EventArrays:
    """The events of clips that may be there several times, each time as a clip of its own."""
    by_clip = np.argsort(events.clip, kind="stable")
    n_before = np.searchsorted(events.clip[by_clip], index, side="left")
    n_events = np.searchsorted(events.clip[by_clip], index, side="right") - n_before
    first = np.cumsum(n_events) - n_events
    at = np.repeat(n_before - first, n_events) + np.arange(int(n_events.sum()))
    found = events.take(by_clip[at])
    return EventArrays(
        np.repeat(np.arange(len(index), dtype=np.int64), n_events),
        found.label,
        found.onset_ms,
        found.offset_ms,
    )


@dataclass(frozen=True)
class _ClipCounts:
    """Counts per clip, and the score of their sums.

    Attributes:
        counts: (n_clips, n_counts).
        formula: Of (n_resamples, n_counts) sums to (n_resamples,) scores.
    """

    counts: _Floats
    formula: Callable[[_Floats], _Floats]


def count_clips(
    score: EventScore,
    reference: EventArrays,
    estimate: EventArrays,
    n_clips: int,
    n_labels: int,
) -> _ClipCounts | None:
    """The counts that a score is made of; None for a score of which that isn't known.

    Args:
        reference: Events whose clips, as in the estimate, are positions below ``n_clips``.
        n_clips: Clips in all, those without events too.
    """
    function = score.function
    if isinstance(function, partial) and function.func is event_f_measure:
        if score.main != "f_measure":
            return None
        counts = _matches(reference, estimate, n_clips, 1, function.keywords["rule"])
        return _ClipCounts(counts, _f_measure)
    if isinstance(function, partial) and function.func is event_macro_f_measure:
        if score.main != "f_measure":
            return None
        counts = _matches(reference, estimate, n_clips, n_labels, function.keywords["rule"])
        return _ClipCounts(counts, _macro_f_measure)
    if function is segment_f_measure and score.main == "f_measure":
        return _ClipCounts(_segments(reference, estimate, n_clips, n_labels), _f_measure)
    if function is segment_error_rate and score.main == "error_rate":
        return _ClipCounts(_errors(reference, estimate, n_clips, n_labels), _error_rate)
    return None


def _matches(
    reference: EventArrays, estimate: EventArrays, n_clips: int, n_labels: int, rule: MatchRule
) -> _Floats:
    """(n_clips, 3 * n_labels): events of the reference, of the estimate, and matched pairs.

    Args:
        n_labels: Labels that are counted each for itself; 1 for all together.
    """
    pairs = match_events(reference, estimate, rule)
    counts = []
    for events in (reference, estimate, reference.take(pairs[:, 0])):
        cells = events.clip * n_labels + (events.label if n_labels > 1 else 0)
        counts.append(np.bincount(cells, minlength=n_clips * n_labels).reshape(n_clips, n_labels))
    return np.concatenate(counts, axis=1).astype(np.float64)


def _f_measure(sums: _Floats) -> _Floats:
    n_reference, n_estimated, n_matched = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = n_matched / n_estimated, n_matched / n_reference
        f_measure = 2 * precision * recall / (precision + recall)
    found: _Floats = np.where((precision == 0) & (recall == 0), 0.0, f_measure)
    return found


def _macro_f_measure(sums: _Floats) -> _Floats:
    n_reference, n_estimated, n_matched = np.split(sums, 3, axis=1)
    there = n_reference > 0
    # The harmonic mean of precision and recall; 0 for a label of which nothing was estimated.
    f_measures = 2 * n_matched / np.maximum(n_reference + n_estimated, 1)
    n_there = there.sum(axis=1)
    found: _Floats = np.divide(
        np.where(there, f_measures, 0.0).sum(axis=1),
        n_there,
        out=np.full(len(sums), np.nan),
        where=n_there > 0,
    )
    return found


def _segments(
    reference: EventArrays, estimate: EventArrays, n_clips: int, n_labels: int
) -> _Floats:
    """(n_clips, 3): labels in segments of 1 s, in the reference, in the estimate, and in both."""
    *listed, n_segments = _active_segments(reference, estimate, n_labels)
    per_clip = max(1, n_segments * n_labels)
    counts = [np.bincount(cells // per_clip, minlength=n_clips) for cells in listed]
    return np.stack(counts, axis=1).astype(np.float64)


def _active_segments(
    reference: EventArrays, estimate: EventArrays, n_labels: int
) -> tuple[_Ints, _Ints, _Ints, int]:
    """Active cells of the reference, of the estimate, and of both; and segments per clip.

    A cell is clip, segment and label as one number, as `_active` has it.
    """
    spans = [_spans(events) for events in (reference, estimate)]
    n_segments = max((int(stop.max()) for _, stop in spans if len(stop)), default=0)
    in_reference, in_estimate = (
        _active(events, *span, n_segments, n_labels)
        for events, span in zip((reference, estimate), spans, strict=True)
    )
    in_both = np.intersect1d(in_reference, in_estimate, assume_unique=True)
    return in_reference, in_estimate, in_both, n_segments


def _errors(reference: EventArrays, estimate: EventArrays, n_clips: int, n_labels: int) -> _Floats:
    """(n_clips, 4): active labels in the reference, substitutions, deletions, insertions.

    Counted per segment of 1 s as `hearbench.metrics.sound_event` does, but summed over each clip.
    """
    *listed, n_segments = _active_segments(reference, estimate, n_labels)
    segments = [cells // max(1, n_labels) for cells in listed]
    # Only segments in which something is active.
    named, place = np.unique(np.concatenate(segments), return_inverse=True)
    ends = np.cumsum([len(segment) for segment in segments])
    r, e, b = (np.bincount(part, minlength=len(named)) for part in np.split(place, ends[:-1]))
    per_segment = (r, np.minimum(r, e) - b, np.maximum(0, r - e), np.maximum(0, e - r))
    clip = named // max(1, n_segments)
    counts = [np.bincount(clip, weights=values, minlength=n_clips) for values in per_segment]
    found: _Floats = np.stack(counts, axis=1)
    return found


def _spans(events: EventArrays) -> tuple[_Ints, _Ints]:
    """First segment of each event and the one after its last."""
    stop = np.maximum(np.ceil(events.offset_s), 0).astype(np.int64)
    start = np.maximum(np.floor(events.onset_s), 0).astype(np.int64)
    return np.minimum(start, stop), stop


def _active(
    events: EventArrays, start: _Ints, stop: _Ints, n_segments: int, n_labels: int
) -> _Ints:
    """(clip, segment, label) of all active cells as one number each, sorted."""
    sizes = stop - start
    step = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    segment = np.repeat(events.clip * n_segments + start, sizes) + step
    return np.unique(segment * n_labels + np.repeat(events.label, sizes))


def _error_rate(sums: _Floats) -> _Floats:
    n_reference, *errors = sums.T
    rates = [count / (n_reference + _EPSILON) for count in errors]
    found: _Floats = rates[0] + rates[1] + rates[2]
    return found
