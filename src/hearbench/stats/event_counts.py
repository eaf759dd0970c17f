"""What the event scores count in each clip, so that a resample is a weighted sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.event_matching import MatchRule, match_events
from hearbench.metrics.sound_event import EventScore, event_f_measure, segment_error_rate

__all__ = ["ClipCounts", "count_clips"]

_EPSILON = float(np.spacing(1.0))

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClipCounts:
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
) -> ClipCounts | None:
    """The counts that a score is made of; None for a score of which that isn't known.

    Args:
        score: Which.
        reference: Events whose clips are positions below ``n_clips``.
        estimate: Likewise.
        n_clips: Clips in all, those without events too.
        n_labels: Size of the vocabulary.
    """
    function = score.function
    if isinstance(function, partial) and function.func is event_f_measure:
        if score.main != "f_measure":
            return None
        counts = _matches(reference, estimate, n_clips, function.keywords["rule"])
        return ClipCounts(counts, _f_measure)
    if function is segment_error_rate and score.main == "error_rate":
        return ClipCounts(_errors(reference, estimate, n_clips, n_labels), _error_rate)
    return None


def _matches(
    reference: EventArrays, estimate: EventArrays, n_clips: int, rule: MatchRule
) -> _Floats:
    """(n_clips, 3): events of the reference, of the estimate, and matched pairs."""
    pairs = match_events(reference, estimate, rule)
    clips = (reference.clip, estimate.clip, reference.clip[pairs[:, 0]])
    return np.stack([np.bincount(clip, minlength=n_clips) for clip in clips], axis=1).astype(
        np.float64
    )


def _f_measure(sums: _Floats) -> _Floats:
    n_reference, n_estimated, n_matched = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = n_matched / n_estimated, n_matched / n_reference
        f_measure = 2 * precision * recall / (precision + recall)
    found: _Floats = np.where((precision == 0) & (recall == 0), 0.0, f_measure)
    return found


def _errors(reference: EventArrays, estimate: EventArrays, n_clips: int, n_labels: int) -> _Floats:
    """(n_clips, 4): active labels in the reference, substitutions, deletions, insertions.

    Counted per segment of 1 s as `hearbench.metrics.segments` does, but summed over each clip.
    """
    spans = [_spans(events) for events in (reference, estimate)]
    n_segments = max((int(stop.max()) for _, stop in spans if len(stop)), default=0)
    in_reference, in_estimate = (
        _active(events, *span, n_segments, n_labels)
        for events, span in zip((reference, estimate), spans, strict=True)
    )
    in_both = np.intersect1d(in_reference, in_estimate, assume_unique=True)
    segments = [cells // max(1, n_labels) for cells in (in_reference, in_estimate, in_both)]
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
