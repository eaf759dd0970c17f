"""The polyphonic sound detection score (PSDS), exact over all thresholds.

Sources: Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection", ICASSP
2020, which defines it; Ebbers, Serizel and Haeb-Umbach, "Threshold-Independent Evaluation of Sound
Event Detection Scores", ICASSP 2022, which shows that it needs no list of thresholds. It equals
their package sed_scores_eval 0.0.4.

At a threshold, each longest run of a clip's frames whose probability reaches it is a detection of
the label. It lasts from the first frame's beginning to the last one's end, as
`hearbench.metrics.frame_arrays` has them.

- A detection is relevant if events of its label cover at least ``dtc`` of it (detection tolerance
  criterion), otherwise it is a false positive.
- An event is found if relevant detections cover at least ``gtc`` of it (ground truth intersection
  criterion).
- A false positive is a cross trigger of each other label whose events cover at least ``cttc`` of
  it (cross trigger tolerance criterion).

As the threshold falls, the share of a label's events that are found changes, and so does its
effective rate: false positives per hour, plus ``alpha_ct`` times the cross triggers per hour of the
other label's events, averaged over these labels. The label's curve is the largest share that is
reached within a rate. The score is the area under the mean of the curves less ``alpha_st`` times
their standard deviation over labels, but at least 0, from rate 0 to ``max_rate_per_hour``, as a
share of the whole.

Whether a detection is relevant or a cross trigger depends on it alone. So the counts at all
thresholds follow from what changes where each detection begins (`hearbench.metrics.detections`),
and those of several clips are sums, in which a clip can have any weight.

Lengths of time are compared to a microsecond, as sed_scores_eval does. Three cases that it refuses,
or has no use for, are counted so: a label without an event is left out, with its detections; events
of a label that overlap or touch are one event, as its detections can't; an event without a length
is none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.detections import Detections, detections
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.metrics.sound_event import EventScore

__all__ = [
    "PSDS1",
    "PSDS2",
    "PSDS_SCENARIO_1",
    "PSDS_SCENARIO_2",
    "PsdsCounts",
    "PsdsParameters",
    "psds",
    "psds_counts",
]

_MS_PER_S = 1000.0
_S_PER_HOUR = 3600.0
_DECIMALS = 6
# Rounding is only looked at where it can matter.
_NEAR_S = 1e-5
# Frames times labels that are looked at in one go: few enough for a processor's cache.
_CELLS_PER_BLOCK = 1 << 18
# Labels times steps of their curves that are held in one go.
_STEPS_PER_BLOCK = 1 << 22

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PsdsParameters:
    """What a detection must cover, and how errors count.

    Attributes:
        dtc: Least share of a relevant detection that is covered by events of its label.
        gtc: Least share of a found event that is covered by relevant detections.
        cttc: Least share of a cross trigger that is covered by events of the other label.
        alpha_ct: Weight of cross triggers beside false positives, from 0 up.
        alpha_st: Weight of the standard deviation over labels, from 0 up.
        max_rate_per_hour: Effective false positives per hour up to which curves are looked at.
    """

    dtc: float
    gtc: float
    cttc: float = 1.0
    alpha_ct: float = 0.0
    alpha_st: float = 0.0
    max_rate_per_hour: float = 100.0


PSDS_SCENARIO_1 = PsdsParameters(dtc=0.7, gtc=0.7, alpha_ct=0.0, alpha_st=1.0)
"""Events are to be found where they are: scenario 1 of DCASE's task 4 since 2021."""

PSDS_SCENARIO_2 = PsdsParameters(dtc=0.1, gtc=0.1, cttc=0.3, alpha_ct=0.5, alpha_st=1.0)
"""Labels are not to be taken for each other: scenario 2 of DCASE's task 4 since 2021."""


def psds(
    reference: EventArrays,
    frames: FrameArrays,
    labels: Sequence[str],
    *,
    parameters: PsdsParameters,
) -> dict[str, Any]:
    """The score of frames' probabilities, and that of each label's own curve.

    Args:
        reference: The annotated events, whose clips are positions in ``frames``.
        frames: Probabilities, with a column per label.

    Returns:
        ``psds``, from 0 to 1, NaN where there is no event or a probability is NaN; ``Nref``, the
        number of events; and ``per_label`` with both of each label.
    """
    counts = psds_counts(reference, frames, parameters)
    score, of_labels = counts.scores(np.ones(frames.n_clips))
    n_events = counts.n_events.sum(axis=0).tolist()
    return {
        "psds": score,
        "Nref": sum(n_events),
        "per_label": {
            label: {"psds": value, "Nref": n}
            for label, value, n in zip(labels, of_labels.tolist(), n_events, strict=True)
        },
    }


PSDS1 = EventScore(
    "psds1",
    partial(psds, parameters=PSDS_SCENARIO_1),
    True,
    "psds",
    ("psds",),
    "PSDS over all thresholds, events to be found where they are",
    reads="frames",
)


PSDS2 = EventScore(
    "psds2",
    partial(psds, parameters=PSDS_SCENARIO_2),
    True,
    "psds",
    ("psds",),
    "PSDS over all thresholds, labels not to be taken for each other",
    reads="frames",
)


@dataclass(frozen=True)
class PsdsCounts:
    """How the counts of each label change as its threshold falls, clip by clip.

    Changes stand label by label, and within a label from the highest threshold to the lowest.

    Attributes:
        durations_s: (n_clips,) what the frames of each clip cover.
        n_events: (n_clips, n_labels) annotated events.
        event_s: (n_clips, n_labels) their lengths together.
        starts: (n_labels + 1,) first change of each label, and the number of changes.
        clip: (n_changes,) the clip in which something changes.
        false_positives: (n_changes,) by how much the number of false positives changes.
        found: (n_changes,) by how much the number of found events changes.
        is_last: (n_changes,) whether the next change, if any, is at another threshold.
        crossed: (3, n_crossed) change, other label, and by how much its cross triggers change.
        is_defined: Whether no probability is NaN.
    """

    parameters: PsdsParameters
    durations_s: _Floats
    n_events: _Ints
    event_s: _Floats
    starts: _Ints
    clip: npt.NDArray[np.int32]
    false_positives: npt.NDArray[np.int32]
    found: npt.NDArray[np.int32]
    is_last: npt.NDArray[np.bool_]
    crossed: npt.NDArray[np.int32]
    is_defined: bool

    @property
    def n_clips(self) -> int:
        """The number of clips."""
        return len(self.durations_s)

    def scores(self, weights: npt.NDArray[np.floating[Any]]) -> tuple[float, _Floats]:
        """The score if clip i counted ``weights[i]`` times, and that of each label's own curve.

        Args:
            weights: (n_clips,) whole numbers at least 0.

        Returns:
            The score, and (n_labels,) those of the labels, NaN for a label without events.
        """
        of_clips = np.asarray(weights, dtype=np.float64)
        n_events = of_clips @ self.n_events
        there = np.flatnonzero(n_events)
        of_labels = np.full(len(n_events), np.nan)
        if not len(there) or not self.is_defined:
            return float("nan"), of_labels
        label, rate, n_found = self._points(of_clips)
        order = np.lexsort((-n_found, rate, label))
        label, rate, n_found = label[order], rate[order], n_found[order]
        # Numbers that rise from label to label, so that one running maximum serves all.
        reached = n_found + label * (n_found.max(initial=0.0) + 1)
        rises = np.diff(np.maximum.accumulate(reached), prepend=-1.0) > 0
        label, rate, n_found = label[rises], rate[rises], n_found[rises]
        share = n_found / n_events[label]
        limit = self.parameters.max_rate_per_hour
        widths = np.diff(rate, append=limit)
        ends = np.flatnonzero(np.diff(label, append=-1))
        widths[ends] = limit - rate[ends]
        areas = np.bincount(label, share * widths, minlength=len(n_events)) / limit
        of_labels[there] = areas[there]
        by_rate = np.argsort(rate, kind="stable")
        row = np.searchsorted(there, label)
        return self._area(row[by_rate], rate[by_rate], share[by_rate], len(there)), of_labels

    @cached_property
    def runs(self) -> _Ints:
        """(n_runs,) first change of each run in which no event is found or lost."""
        begins = self.found != 0
        begins[self.starts[:-1][np.diff(self.starts) > 0]] = True
        return np.flatnonzero(begins).astype(np.int64)

    def _points(self, of_clips: _Floats) -> tuple[_Ints, _Floats, _Floats]:
        """Label, effective rate per hour and found events of the thresholds that find any.

        Of thresholds that find the same events in a row, the one with the least rate is enough.
        """
        hours = max(float(of_clips @ self.durations_s), 1e-12) / _S_PER_HOUR
        errors = self.false_positives.astype(np.float64)
        if self.parameters.alpha_ct:
            errors += self.parameters.alpha_ct * hours * self._crossings(of_clips)
        errors *= of_clips[self.clip]
        total = np.cumsum(errors)
        before = np.concatenate([[0.0], total])[self.starts[:-1]]
        least = np.minimum.reduceat(np.where(self.is_last, total, np.inf), self.runs)
        label = np.searchsorted(self.starts, self.runs, side="right").astype(np.int64) - 1
        rate = (least - before[label]) / hours
        n_found = _running(
            of_clips[self.clip[self.runs]] * self.found[self.runs],
            np.searchsorted(self.runs, self.starts),
        )
        # Labels without an event have found none.
        kept = (n_found > 0) & (rate <= self.parameters.max_rate_per_hour)
        return label[kept], rate[kept], n_found[kept]

    def _crossings(self, of_clips: _Floats) -> _Floats:
        """(n_changes,) cross triggers per hour of the other label's events, their mean."""
        event_s = of_clips @ self.event_s
        there = event_s > 0
        per_hour = np.zeros(len(event_s))
        per_hour[there] = _S_PER_HOUR / event_s[there] / max(1, there.sum() - 1)
        change, other, steps = self.crossed
        sums = np.bincount(change, steps * per_hour[other], minlength=len(self.clip))
        return sums.astype(np.float64)

    def _area(self, row: _Ints, rate: _Floats, share: _Floats, n_rows: int) -> float:
        """The area under the labels' curves together, of their steps in the order of the rates."""
        limit = self.parameters.max_rate_per_hour
        widths = np.diff(rate, append=limit)
        so_far, area = np.zeros(n_rows), 0.0
        step = max(1, _STEPS_PER_BLOCK // n_rows)
        for start in range(0, len(rate), step):
            some = slice(start, start + step)
            curves = np.zeros((n_rows, len(rate[some])))
            curves[row[some], np.arange(curves.shape[1])] = share[some]
            curves[:, 0] = np.maximum(curves[:, 0], so_far)
            np.maximum.accumulate(curves, axis=1, out=curves)
            so_far = curves[:, -1]
            height = curves.mean(axis=0) - self.parameters.alpha_st * curves.std(axis=0)
            area += float((np.maximum(height, 0.0) * widths[some]).sum())
        return area / limit


def psds_counts(
    reference: EventArrays, frames: FrameArrays, parameters: PsdsParameters
) -> PsdsCounts:
    """Looks at all detections once.

    Args:
        reference: The annotated events, whose clips are positions in ``frames``.
    """
    n_clips, n_labels = frames.n_clips, frames.probabilities.shape[1]
    events = _merged(reference)
    shape = (n_clips, n_labels)
    cell = events.clip * n_labels + events.label
    lengths_s = events.offset_s - events.onset_s
    n_events = np.bincount(cell, minlength=n_clips * n_labels).reshape(shape)
    event_s = np.bincount(cell, lengths_s, minlength=n_clips * n_labels).reshape(shape)
    first_edge = frames.bounds + np.arange(n_clips + 1)
    edges_s = frames.edges_ms / _MS_PER_S
    first_event = np.searchsorted(events.clip, np.arange(n_clips + 1))
    durations_s = np.zeros(n_clips)
    with_frames = np.flatnonzero(np.diff(frames.bounds))
    durations_s[with_frames] = (
        edges_s[first_edge[with_frames + 1] - 1] - edges_s[first_edge[with_frames]]
    )
    is_defined = True
    parts = []
    for clips in blocks_of(np.diff(first_edge) * n_labels, _CELLS_PER_BLOCK):
        rows = slice(int(frames.bounds[clips.start]), int(frames.bounds[clips.stop]))
        probabilities = frames.probabilities[rows]
        if np.isnan(probabilities).any():
            is_defined = False
            continue
        own = slice(int(first_event[clips.start]), int(first_event[clips.stop]))
        block = _Block.of(
            probabilities,
            frames.bounds[clips.start : clips.stop + 1] - rows.start,
            edges_s[first_edge[clips.start] : first_edge[clips.stop]],
            events.take(np.arange(own.start, own.stop)).shifted(-clips.start),
        )
        parts.append(block.changes(parameters, clips.start))
    changes = _Changes.joined(parts)
    order, starts = changes.order(n_labels)
    label, clip, false_positives, found = changes.counts[:, order]
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    level = changes.level[order]
    is_last = np.ones(len(order), dtype=bool)
    is_last[:-1] = (level[1:] != level[:-1]) | (label[1:] != label[:-1])
    crossed = changes.crossed
    return PsdsCounts(
        parameters=parameters,
        durations_s=durations_s,
        n_events=n_events,
        event_s=event_s.astype(np.float64),
        starts=starts,
        clip=clip,
        false_positives=false_positives,
        found=found,
        is_last=is_last,
        crossed=np.stack([place[crossed[0]], crossed[1], crossed[2]]),
        is_defined=is_defined,
    )


def _merged(events: EventArrays) -> EventArrays:
    """Events by clip, label and onset; those that overlap or touch as one, empty ones left out."""
    events = events.take(events.offset_ms > events.onset_ms)
    events = events.take(events.order)
    n = len(events)
    if not n:
        return events
    same = (np.diff(events.clip) == 0) & (np.diff(events.label) == 0)
    group = np.concatenate([[0], np.cumsum(~same)])
    # The latest end so far, by its rank, to which the group is added.
    by_end = np.argsort(events.offset_ms, kind="stable")
    rank = np.empty(n, dtype=np.int64)
    rank[by_end] = np.arange(n)
    latest = events.offset_ms[by_end[np.maximum.accumulate(rank + group * n) - group * n]]
    begins = np.concatenate([[True], ~same | (events.onset_ms[1:] > latest[:-1])])
    ends = np.concatenate([begins[1:], [True]])
    return EventArrays(
        events.clip[begins], events.label[begins], events.onset_ms[begins], latest[ends]
    )


@dataclass(frozen=True)
class _Changes:
    """Changes of counts in some clips, in any order; see `PsdsCounts`.

    Attributes:
        level: (n_changes,) the threshold at which something changes.
        counts: (4, n_changes) label, clip, change of false positives and of found events.
        crossed: (3, n_crossed).
    """

    level: npt.NDArray[np.floating[Any]]
    counts: npt.NDArray[np.int32]
    crossed: npt.NDArray[np.int32]

    @classmethod
    def joined(cls, parts: Sequence[_Changes]) -> _Changes:
        """Those of several runs of clips."""
        none = cls(np.zeros(0), np.zeros((4, 0), np.int32), np.zeros((3, 0), np.int32))
        parts = parts or [none]
        before = np.cumsum([0, *(len(part.level) for part in parts)]).tolist()
        crossed = [
            np.stack([part.crossed[0] + n, *part.crossed[1:]])
            for part, n in zip(parts, before, strict=False)
        ]
        return cls(
            np.concatenate([part.level for part in parts]),
            np.concatenate([part.counts for part in parts], axis=1),
            np.concatenate(crossed, axis=1),
        )

    def order(self, n_labels: int) -> tuple[_Ints, _Ints]:
        """Positions by label, then by falling level; and the first position of each label."""
        label = self.counts[0].astype(np.min_scalar_type(n_labels))  # 16 bits are sorted fast
        order = np.argsort(label, kind="stable").astype(np.int64)
        starts = np.searchsorted(label[order], np.arange(n_labels + 1)).astype(np.int64)
        for start, stop in itertools.pairwise(starts.tolist()):
            own = order[start:stop]
            order[start:stop] = own[np.argsort(-self.level[own])]
        return order, starts


@dataclass(frozen=True)
class _Block:
    """Some clips, whose frames stand in columns with an empty one before each clip and at the end.

    Attributes:
        scores: (n_labels, n_columns) probabilities; minus infinity in the empty columns.
        clip: (n_columns,) position of each column's clip; the last column's is that of none.
        ends_s: (n_columns,) end of each column's frame; of an empty column, the clip's start.
        events: Events by label, clip and onset.
        begun: (n_labels, n_columns) position of the first event that begins at the column's end or
            later.
        longest: Most frames of a clip.
    """

    scores: npt.NDArray[np.floating[Any]]
    clip: _Ints
    ends_s: _Floats
    events: EventArrays
    begun: _Ints
    longest: int

    @classmethod
    def of(
        cls,
        probabilities: npt.NDArray[np.floating[Any]],
        bounds: _Ints,
        edges_s: _Floats,
        events: EventArrays,
    ) -> _Block:
        """The block of some clips' frames.

        Args:
            probabilities: (n_frames, n_labels).
            bounds: (n_clips + 1,).
            edges_s: (n_frames + n_clips,), see `FrameArrays.edges_ms`.
            events: By clip, label and onset.
        """
        n_clips, n_labels = len(bounds) - 1, probabilities.shape[1]
        lengths = np.diff(bounds)
        n_columns = len(edges_s) + 1
        clip = np.repeat(np.arange(n_clips + 1), [*(lengths + 1), 1])
        ends_s = np.concatenate([edges_s, [0.0]])
        scores = np.full((n_labels, n_columns), -np.inf, dtype=probabilities.dtype)
        # Column of a frame: one further for each clip up to its own.
        columns = np.arange(len(probabilities)) + np.repeat(np.arange(1, n_clips + 1), lengths)
        has_length = ends_s[columns] > ends_s[columns - 1]
        scores[:, columns[has_length]] = probabilities[has_length].T
        first_column = bounds + np.arange(n_clips + 1)
        onset_s = events.onset_s
        bounds_of_events = np.searchsorted(events.clip, np.arange(n_clips + 1))
        # The first column that ends after an event's onset; else the next clip's empty one.
        column = np.empty(len(events), dtype=np.int64)
        for i in np.flatnonzero(np.diff(bounds_of_events)).tolist():
            own = slice(bounds_of_events[i], bounds_of_events[i + 1])
            span = edges_s[first_column[i] : first_column[i + 1]]
            column[own] = first_column[i] + np.searchsorted(span, onset_s[own], side="right")
        cells = np.bincount(events.label * n_columns + column, minlength=scores.size)
        return cls(
            scores=scores,
            clip=clip,
            ends_s=ends_s,
            events=events.take(np.argsort(events.label, kind="stable")),
            # Events of all labels before this one have begun, in the order of labels.
            begun=np.cumsum(cells).reshape(scores.shape),
            longest=int(lengths.max(initial=0)),
        )

    def changes(self, parameters: PsdsParameters, first_clip: int) -> _Changes:
        """What changes in the clips.

        Args:
            first_clip: Position of the first clip among all.
        """
        tree = detections(self.scores, self.longest)
        before, last = tree.start - 1, tree.stop - 1
        onset_s, offset_s = self._end_s(before), self._end_s(last)
        lengths_s = offset_s - onset_s
        covered_s = self.covered_s.ravel()
        relevant = _reaches(covered_s[last] - covered_s[before], parameters.dtc * lengths_s)
        false_positives = tree.net(~relevant)
        crossed = np.zeros((3, 0), dtype=np.int32)
        if parameters.alpha_ct:
            crossed = self._crossed(tree, ~relevant, parameters.cttc * lengths_s)
        kept = false_positives != 0
        kept[crossed[0]] = True
        crossed[0] = (np.cumsum(kept) - 1)[crossed[0]]
        label, column = np.divmod(last[kept], len(self.clip))
        none = np.zeros_like(label)
        counts = [label, self.clip[column] + first_clip, false_positives[kept], none]
        return _Changes.joined(
            [
                _Changes(tree.level[kept], np.stack(counts).astype(np.int32), crossed),
                self._found(tree, np.flatnonzero(relevant), parameters.gtc, first_clip),
            ]
        )

    def _end_s(self, cells: _Ints) -> _Floats:
        """The end of the frame in each of some cells of flattened (n_labels, n_columns)."""
        ends_s: _Floats = self.ends_s[cells % len(self.clip)]
        return ends_s

    @cached_property
    def rest_s(self) -> _Floats:
        """(n_labels, n_columns) how long an event goes on after the column's end."""
        if not len(self.events):
            return np.zeros(self.scores.shape)
        latest = np.maximum(self.begun - 1, 0)
        rest_s = self.events.offset_s[latest] - self.ends_s
        goes_on = (rest_s > 0) & (self.begun > 0) & (self.events.clip[latest] == self.clip)
        goes_on &= self.events.label[latest] == np.arange(len(self.scores))[:, None]
        return np.where(goes_on, rest_s, 0.0)

    @cached_property
    def covered_s(self) -> _Floats:
        """(n_labels, n_columns) what events cover until the column's end, but for a constant."""
        before_s = np.concatenate([[0.0], np.cumsum(self.events.offset_s - self.events.onset_s)])
        covered_s: _Floats = before_s[self.begun] - self.rest_s
        return covered_s

    def _crossed(
        self, tree: Detections, candidates: npt.NDArray[np.bool_], needed_s: _Floats
    ) -> npt.NDArray[np.int32]:
        """Detection, other label, and by how much its cross triggers change where it begins.

        Args:
            candidates: (n_detections,) whether each can be a cross trigger.
            needed_s: (n_detections,) how much of each the other label must cover.
        """
        label, last = np.divmod(tree.stop - 1, len(self.clip))
        before = (tree.start - 1) % len(self.clip)
        parts = [np.zeros((3, 0), dtype=np.int32)]
        for other in np.unique(self.events.label).tolist():
            covered_s = self.covered_s[other]
            common_s = covered_s[last] - covered_s[before]
            near = np.flatnonzero((common_s > needed_s - _NEAR_S) & candidates & (label != other))
            crosses = np.zeros(len(label), dtype=bool)
            crosses[near] = _reaches(common_s[near], needed_s[near])
            steps = tree.net(crosses)
            at = np.flatnonzero(steps)
            parts.append(np.stack([at, np.full(len(at), other), steps[at]]).astype(np.int32))
        return np.concatenate(parts, axis=1)

    def _found(self, tree: Detections, relevant: _Ints, gtc: float, first_clip: int) -> _Changes:
        """Where events are found, or lost again.

        Args:
            relevant: Positions of the relevant detections.
        """
        before, last = tree.start[relevant] - 1, tree.stop[relevant] - 1
        # Events that a detection overlaps: one that goes on where it begins, and those that begin
        # within.
        first = self.begun.ravel()[before] - (self.rest_s.ravel()[before] > 0)
        n = self.begun.ravel()[last] - first
        event = np.repeat(first - np.cumsum(n) + n, n) + np.arange(int(n.sum()))
        pair = np.repeat(np.arange(len(relevant)), n)
        common_s = np.minimum(self._end_s(last)[pair], self.events.offset_s[event])
        common_s -= np.maximum(self._end_s(before)[pair], self.events.onset_s[event])
        level, until = tree.level[relevant][pair], tree.until[relevant][pair]
        ends = np.flatnonzero(until > -np.inf)
        event = np.concatenate([event, event[ends]])
        level = np.concatenate([level, until[ends]])
        order = np.lexsort((-level, event))
        event, level = event[order], level[order]
        covered_s = _running(
            np.concatenate([common_s, -common_s[ends]])[order],
            np.searchsorted(event, np.arange(len(self.events) + 1)),
        )
        # All that changes at one threshold changes at once.
        at = np.flatnonzero((event[1:] != event[:-1]) | (level[1:] != level[:-1]))
        at = np.append(at, len(event) - 1)[: len(event)]
        event, level = event[at], level[at]
        lengths_s = self.events.offset_s - self.events.onset_s
        is_found = _reaches(covered_s[at], gtc * lengths_s[event]).astype(np.int32)
        was_found = np.roll(is_found, 1)
        was_found[np.diff(event, prepend=-1) != 0] = 0
        change = is_found - was_found
        at = np.flatnonzero(change)
        own = self.events.take(event[at])
        counts = [own.label, own.clip + first_clip, np.zeros_like(at), change[at]]
        none = np.zeros((3, 0), dtype=np.int32)
        return _Changes(level[at], np.stack(counts).astype(np.int32), none)


def _running(changes: _Floats, starts: _Ints) -> _Floats:
    """Sums of changes up to each, by groups that stand one after the other.

    Args:
        starts: (n_groups + 1,) first change of each, and the number of changes.
    """
    total = np.cumsum(changes)
    before = np.concatenate([[0.0], total])[starts[:-1]]
    total -= np.repeat(before, np.diff(starts))
    return total


def _reaches(seconds: _Floats, needed_s: _Floats) -> npt.NDArray[np.bool_]:
    reaches: npt.NDArray[np.bool_] = np.round(seconds, _DECIMALS) >= np.round(needed_s, _DECIMALS)
    return reaches
