"""Which labels are active in which second: what the segment-based error rate counts.

An event covers the segments from ``floor(onset)`` to ``ceil(offset)``, in segments of 1 s; a
clip has segments up to the last offset of either list. As sed_eval's ``SegmentBasedMetrics``
with ``time_resolution=1.0`` (Mesaros et al., "Metrics for Polyphonic Sound Event Detection",
Applied Sciences 6(6), 2016), but for times before a clip's start: they are cut off here, while
sed_eval takes them for positions from the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays

__all__ = ["SegmentCounts", "count_segments"]

_Ints = npt.NDArray[np.int64]

# Segments times labels that are held in one go.
_CELLS_PER_BLOCK = 1 << 22


@dataclass(frozen=True)
class SegmentCounts:
    """Sums over the segments of all clips.

    Attributes:
        reference: (n_labels,) segments in which the label is active in the reference.
        estimate: (n_labels,) likewise in the estimate.
        both: (n_labels,) likewise in both.
        substitutions: Labels that stand for another, summed over segments.
        deletions: Labels that are missing, beyond those.
        insertions: Labels that are too many, beyond those.
    """

    reference: _Ints
    estimate: _Ints
    both: _Ints
    substitutions: int
    deletions: int
    insertions: int


def count_segments(reference: EventArrays, estimate: EventArrays, n_labels: int) -> SegmentCounts:
    """Compares the two lists second by second.

    Per segment with R active labels in the reference, E in the estimate and B in both,
    substitutions are ``min(R, E) - B``, deletions ``max(0, R - E)``, insertions
    ``max(0, E - R)``.
    """
    n_clips = 1 + max(
        (int(events.clip.max()) for events in (reference, estimate) if len(events)), default=-1
    )
    lists = [_by_clip(reference, n_clips), _by_clip(estimate, n_clips)]
    lengths = np.zeros(n_clips, dtype=np.int64)
    for spans in lists:
        np.maximum.at(lengths, spans.clip, spans.stop)
    totals = np.zeros((3, n_labels), dtype=np.int64)
    errors = np.zeros(3, dtype=np.int64)
    for clips in blocks_of(lengths * n_labels, _CELLS_PER_BLOCK):
        in_reference, in_estimate = (_activity(spans, clips, lengths, n_labels) for spans in lists)
        n_segments = len(in_reference) // max(1, n_labels)
        per_segment = []
        for i, active in enumerate((in_reference, in_estimate, in_reference & in_estimate)):
            segment, label = np.divmod(np.flatnonzero(active), max(1, n_labels))
            totals[i] += np.bincount(label, minlength=n_labels)
            per_segment.append(np.bincount(segment, minlength=n_segments))
        r, e, b = per_segment
        errors += [
            int((np.minimum(r, e) - b).sum()),
            int(np.maximum(0, r - e).sum()),
            int(np.maximum(0, e - r).sum()),
        ]
    return SegmentCounts(totals[0], totals[1], totals[2], *(int(count) for count in errors))


@dataclass(frozen=True)
class _Spans:
    """Events as runs of segments, sorted by clip; those of clip i are at bounds[i:i + 2]."""

    clip: _Ints
    label: _Ints
    start: _Ints
    stop: _Ints
    bounds: _Ints


def _by_clip(events: EventArrays, n_clips: int) -> _Spans:
    if (np.diff(events.clip) < 0).any():
        events = events.take(events.order)
    stop = np.maximum(np.ceil(events.offset_s), 0).astype(np.int64)
    start = np.maximum(np.floor(events.onset_s), 0).astype(np.int64)
    # An offset before the onset, or both on one boundary: no segment, but the clip's length
    # still counts.
    start = np.minimum(start, stop)
    bounds = np.searchsorted(events.clip, np.arange(n_clips + 1)).astype(np.int64)
    return _Spans(events.clip, events.label, start, stop, bounds)


def _activity(spans: _Spans, clips: slice, lengths: _Ints, n_labels: int) -> npt.NDArray[np.bool_]:
    """(n_segments * n_labels,) of some clips, one after the other, segment by segment."""
    ends = np.cumsum(lengths[clips])
    first_row = ends - lengths[clips]
    active = np.zeros(int(ends[-1]) * n_labels, dtype=bool)
    events = slice(int(spans.bounds[clips.start]), int(spans.bounds[clips.stop]))
    start = spans.start[events]
    sizes = spans.stop[events] - start
    first = (first_row[spans.clip[events] - clips.start] + start) * n_labels + spans.label[events]
    for some in blocks_of(sizes, _CELLS_PER_BLOCK):
        n = sizes[some]
        step = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
        active[np.repeat(first[some], n) + step * n_labels] = True
    return active
