"""Scores of sound events: event-based F-measures, and segment-based F-measure and error rate.

They equal sed_eval 0.2.1 (Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event
Detection", Applied Sciences 6(6), 2016) with ``event_matching_type="optimal"``, of which the
published scores were made, overall and per label:

    event_onset_200ms_fms               onsets within 200 ms
    event_onset_50ms_fms                onsets within 50 ms
    event_onset_offset_50ms_20perc_fms  onsets within 50 ms, offsets within 50 ms or 20 % of the
                                        reference's length, whichever is more
    event_onset_200ms_macro_fms         mean over labels of their F-measures, onsets within 200 ms
    event_onset_50ms_macro_fms          the same, onsets within 50 ms
    segment_1s_fms                      labels per segment of 1 s
    segment_1s_er                       labels per segment of 1 s, in error

Counts are summed over all clips, and without ``macro`` over all labels (micro average). Every clip
of either list counts: an estimate that is missing is an empty one, and so is a reference. Scores of
frames' probabilities are in `hearbench.metrics.psds`.

Undefined values are sed_eval's: the precision is NaN where nothing was estimated, the recall
where nothing was to be found, the F-measure where either is; the F-measure is 0 where both are
0. The error rate's denominator has the smallest double above 0 next to 1 (2.2e-16) added, so
without a reference it is 0 if nothing was estimated either, and otherwise of the order of 1e16.

Means over labels (macro averages) are those of sed_eval's
``empty_system_output_handling="zero_score"``: the precision of a label without an estimate is 0
there. Otherwise it would be left out of the mean, and a model would do best to keep silent about
all labels that are hard. A label without a reference is left out.

Labels are strings that must be in the vocabulary. Here sed_eval isn't consistent: the
error rate fails on other labels, the F-measures count them. It also strips labels and takes
"none" for no label, which is not done here. In the error rate it takes times before a clip's
start for positions from the end; here they are cut off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.errors import TaskError
from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.event_matching import MatchRule, match_events
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.registry import Registry

__all__ = [
    "EVENT_ONSET_50MS",
    "EVENT_ONSET_50MS_MACRO",
    "EVENT_ONSET_200MS",
    "EVENT_ONSET_200MS_MACRO",
    "EVENT_ONSET_OFFSET_50MS",
    "SEGMENT_1S_ER",
    "SEGMENT_1S_F",
    "EventScore",
    "event_f_measure",
    "event_macro_f_measure",
    "event_score_names",
    "event_scores",
    "get_event_score",
    "segment_error_rate",
    "segment_f_measure",
]

_EPSILON = float(np.spacing(1.0))
_Ints = npt.NDArray[np.int64]
# Segments times labels that are held in one go.
_CELLS_PER_BLOCK = 1 << 22


def event_scores(
    reference: Mapping[str, Sequence[Mapping[str, Any]]],
    estimate: Mapping[str, Sequence[Mapping[str, Any]]],
    labels: Sequence[str],
    name: str,
) -> dict[str, Any]:
    """One event score of lists of events, with its parts.

    Args:
        reference: ``{clip: [{"label", "start", "end"}, ...]}``, times in ms.
        estimate: The estimated events. Clips that are in one of the two only count as well.
        name: Name of the score, see `event_score_names`.

    Returns:
        For the F-measures ``f_measure``, ``precision``, ``recall`` and the counts ``Nref`` and
        ``Nsys`` of events, or of labels in segments, and ``Ntp`` of those that match; a mean over
        labels has no counts. For ``segment_1s_er`` ``error_rate``, the sum of
        ``substitution_rate``, ``deletion_rate`` and ``insertion_rate``; the counts
        ``substitutions``, ``deletions`` and ``insertions``; and ``Nref``, ``Nsys`` and ``Ntp``,
        of labels in segments. In all, ``per_label`` holds the same of each label alone; there,
        an error rate knows no substitutions.

    Raises:
        UnknownNameError: There is no such score.
        TaskError: An event lacks a key, has an unknown label, or a time that isn't finite; or the
            score isn't one of lists of events, as ``psds1``.
    """
    score = get_event_score(name)
    if score.reads != "events":
        raise TaskError(
            f"{name} is a score of the probabilities of {score.reads}, and not of lists of events. "
            f"Call hearbench.metrics.get_event_score({name!r}) with probabilities.",
            code="unsuitable",
        )
    clips = list(dict.fromkeys([*reference, *estimate]))
    return score.parts(
        EventArrays.from_mapping(reference, clips, labels, what="reference"),
        EventArrays.from_mapping(estimate, clips, labels, what="estimate"),
        [str(label) for label in labels],
    )


def event_f_measure(
    reference: EventArrays, estimate: EventArrays, labels: Sequence[str], *, rule: MatchRule
) -> dict[str, Any]:
    """Precision, recall and F-measure of events; the keys are those of `event_scores`.

    Args:
        estimate: The events that were found, of the same clips.
        rule: When two of them belong together.
    """
    pairs = match_events(reference, estimate, rule)
    n_labels = len(labels)
    n_reference = np.bincount(reference.label, minlength=n_labels).tolist()
    n_estimated = np.bincount(estimate.label, minlength=n_labels).tolist()
    n_matched = np.bincount(reference.label[pairs[:, 0]], minlength=n_labels).tolist()
    return {
        **_f_parts(len(reference), len(estimate), len(pairs)),
        "per_label": {
            label: _f_parts(*counts)
            for label, *counts in zip(labels, n_reference, n_estimated, n_matched, strict=True)
        },
    }


def event_macro_f_measure(
    reference: EventArrays, estimate: EventArrays, labels: Sequence[str], *, rule: MatchRule
) -> dict[str, Any]:
    """Means over labels of `event_f_measure`; a label without an estimate has the precision 0.

    That of the precisions is over all labels, the others are over those with a reference. Without
    any, they are NaN.
    """
    per_label = event_f_measure(reference, estimate, labels, rule=rule)["per_label"]
    for parts in per_label.values():
        if not parts["Nsys"]:
            parts["precision"] = 0.0
            parts["f_measure"] = 0.0 if parts["Nref"] else float("nan")
    values = {part: [parts[part] for parts in per_label.values()] for part in _F_PARTS}
    return {
        **{part: _mean_of_defined(each) for part, each in values.items()},
        "per_label": per_label,
    }


def _mean_of_defined(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _f_parts(n_reference: int, n_estimated: int, n_matched: int) -> dict[str, float | int]:
    precision = n_matched / n_estimated if n_estimated else float("nan")
    recall = n_matched / n_reference if n_reference else float("nan")
    if precision == 0 and recall == 0:
        f_measure = 0.0
    else:
        f_measure = 2 * precision * recall / (precision + recall)
    return {
        "f_measure": f_measure,
        "precision": precision,
        "recall": recall,
        "Nref": n_reference,
        "Nsys": n_estimated,
        "Ntp": n_matched,
    }


def segment_error_rate(
    reference: EventArrays, estimate: EventArrays, labels: Sequence[str]
) -> dict[str, Any]:
    """Error rate over segments of 1 s; the keys are those of `event_scores`."""
    counts = _count_segments(reference, estimate, len(labels))
    n_reference, n_estimated = int(counts.reference.sum()), int(counts.estimate.sum())
    n_both = int(counts.both.sum())
    errors = (counts.substitutions, counts.deletions, counts.insertions)
    return {
        **_rates(n_reference, *errors),
        "Nref": n_reference,
        "Nsys": n_estimated,
        "Ntp": n_both,
        "per_label": {
            label: {
                **_rates(r, 0, r - b, e - b),
                "Nref": r,
                "Nsys": e,
                "Ntp": b,
            }
            for label, r, e, b in zip(
                labels,
                counts.reference.tolist(),
                counts.estimate.tolist(),
                counts.both.tolist(),
                strict=True,
            )
        },
    }


def segment_f_measure(
    reference: EventArrays, estimate: EventArrays, labels: Sequence[str]
) -> dict[str, Any]:
    """Precision, recall and F-measure of labels in segments of 1 s; keys as in `event_scores`."""
    counts = _count_segments(reference, estimate, len(labels))
    by_label = np.stack([counts.reference, counts.estimate, counts.both], axis=1)
    return {
        **_f_parts(*by_label.sum(axis=0).tolist()),
        "per_label": {
            label: _f_parts(*row) for label, row in zip(labels, by_label.tolist(), strict=True)
        },
    }


def _rates(
    n_reference: int, substitutions: int, deletions: int, insertions: int
) -> dict[str, float | int]:
    substitution_rate, deletion_rate, insertion_rate = (
        count / (n_reference + _EPSILON) for count in (substitutions, deletions, insertions)
    )
    return {
        "error_rate": substitution_rate + deletion_rate + insertion_rate,
        "substitution_rate": substitution_rate,
        "deletion_rate": deletion_rate,
        "insertion_rate": insertion_rate,
        "substitutions": substitutions,
        "deletions": deletions,
        "insertions": insertions,
    }


@dataclass(frozen=True)
class EventScore:
    """A score over events.

    Attributes:
        name: As tasks name it, e.g. ``"event_onset_200ms_fms"``.
        function: Of the reference, the estimate and the vocabulary, to the score's parts by
            name, and ``per_label``. The estimate is what the score reads.
        main: The part that is the score, e.g. ``"f_measure"``.
        parts_in_results: The parts that results list, the main one first.
        title: One line for listings.
        reads: What the estimate is: events that were made from frames by a threshold, or the
            probabilities of the frames.
    """

    name: str
    function: Callable[[EventArrays, Any, Sequence[str]], dict[str, Any]]
    maximise: bool
    main: str
    parts_in_results: tuple[str, ...]
    title: str
    reads: Literal["events", "frames"] = "events"

    def __call__(
        self, reference: EventArrays, estimate: EventArrays | FrameArrays, labels: Sequence[str]
    ) -> float:
        """The score itself; NaN where it is undefined."""
        return float(self.function(reference, estimate, labels)[self.main])

    def parts(
        self, reference: EventArrays, estimate: EventArrays | FrameArrays, labels: Sequence[str]
    ) -> dict[str, Any]:
        """All parts; see `event_scores`."""
        return self.function(reference, estimate, labels)


_F_PARTS = ("f_measure", "precision", "recall")


EVENT_ONSET_200MS = EventScore(
    "event_onset_200ms_fms",
    partial(event_f_measure, rule=MatchRule(0.2)),
    True,
    "f_measure",
    _F_PARTS,
    "F-measure of events, onsets within 200 ms",
)


EVENT_ONSET_50MS = EventScore(
    "event_onset_50ms_fms",
    partial(event_f_measure, rule=MatchRule(0.05)),
    True,
    "f_measure",
    _F_PARTS,
    "F-measure of events, onsets within 50 ms",
)


EVENT_ONSET_OFFSET_50MS = EventScore(
    "event_onset_offset_50ms_20perc_fms",
    partial(event_f_measure, rule=MatchRule(0.05, offset_collar_s=0.05, offset_share=0.2)),
    True,
    "f_measure",
    _F_PARTS,
    "F-measure of events, offsets within 50 ms or 20 % as well",
)


EVENT_ONSET_200MS_MACRO = EventScore(
    "event_onset_200ms_macro_fms",
    partial(event_macro_f_measure, rule=MatchRule(0.2)),
    True,
    "f_measure",
    _F_PARTS,
    "mean over labels of the F-measure of events, onsets within 200 ms",
)


EVENT_ONSET_50MS_MACRO = EventScore(
    "event_onset_50ms_macro_fms",
    partial(event_macro_f_measure, rule=MatchRule(0.05)),
    True,
    "f_measure",
    _F_PARTS,
    "mean over labels of the F-measure of events, onsets within 50 ms",
)


SEGMENT_1S_F = EventScore(
    "segment_1s_fms",
    segment_f_measure,
    True,
    "f_measure",
    _F_PARTS,
    "F-measure of labels per second",
)


SEGMENT_1S_ER = EventScore(
    "segment_1s_er",
    segment_error_rate,
    False,
    "error_rate",
    ("error_rate",),
    "error rate of labels per second",
)


_EVENT: Registry[EventScore] = Registry(
    "event score",
    "hearbench.event_scores",
    {
        "event_onset_200ms_fms": "hearbench.metrics.sound_event:EVENT_ONSET_200MS",
        "event_onset_200ms_macro_fms": "hearbench.metrics.sound_event:EVENT_ONSET_200MS_MACRO",
        "event_onset_50ms_fms": "hearbench.metrics.sound_event:EVENT_ONSET_50MS",
        "event_onset_50ms_macro_fms": "hearbench.metrics.sound_event:EVENT_ONSET_50MS_MACRO",
        "event_onset_offset_50ms_20perc_fms": (
            "hearbench.metrics.sound_event:EVENT_ONSET_OFFSET_50MS"
        ),
        "psds1": "hearbench.metrics.psds:PSDS1",
        "psds2": "hearbench.metrics.psds:PSDS2",
        "segment_1s_er": "hearbench.metrics.sound_event:SEGMENT_1S_ER",
        "segment_1s_fms": "hearbench.metrics.sound_event:SEGMENT_1S_F",
    },
)


def get_event_score(name: str) -> EventScore:
    """The event score of that name.

    Raises:
        UnknownNameError: There is no such score.
    """
    return _EVENT.get(name)


def event_score_names() -> list[str]:
    """The names of all event scores, sorted."""
    return _EVENT.names()


@dataclass(frozen=True)
class _SegmentCounts:
    """Sums over the segments of all clips.

    Attributes:
        reference: (n_labels,) segments in which the label is active in the reference.
        estimate: (n_labels,) the same number in the estimate.
        both: (n_labels,) the same number in both.
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


def _count_segments(reference: EventArrays, estimate: EventArrays, n_labels: int) -> _SegmentCounts:
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
    return _SegmentCounts(totals[0], totals[1], totals[2], *(int(count) for count in errors))


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
