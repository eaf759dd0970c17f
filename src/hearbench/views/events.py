"""Events of an event task's test clips, read from a result's folder and matched.

A clip's predicted events are compared with the annotated ones by the rule of the result's
primary score: which were found, which were missed, and which were made up.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError, UnknownNameError
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.event_matching import MatchRule, match_events
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.metrics.sound_event import event_f_measure, get_event_score
from hearbench.registry import did_you_mean
from hearbench.results.predictions import Predictions
from hearbench.results.record import Result
from hearbench.results.splits import EventSplit

__all__ = [
    "ClipComparison",
    "ClipPredictions",
    "ComparedEvent",
    "EventPredictions",
    "Status",
    "compare_clip",
    "matching_rule",
]

Status = Literal["matched", "missed", "spurious"]

_MOST_LISTED = 10
_ONSET_200MS = MatchRule(0.2)


@dataclass(frozen=True)
class ClipPredictions:
    """Annotated events, predicted events and frame probabilities of one test clip.

    Attributes:
        name: File name, or ``split/file`` where several test splits have the file.
        split: Name of the test split.
        reference: Annotated events. Their ``clip`` is 0, their labels are positions in the
            vocabulary.
        estimate: Predicted events, in the same form.
        timestamps_ms: (n_frames,) float64, from the clip's start.
        probabilities: (n_frames, n_labels) float32; NaN where no probe could be chosen.
    """

    name: str
    split: str
    reference: EventArrays
    estimate: EventArrays
    timestamps_ms: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32]

    @property
    def all_frames(self) -> FrameArrays:
        """The clip's frames, as scores of probabilities read them."""
        bounds = np.array([0, len(self.timestamps_ms)], dtype=np.int64)
        return FrameArrays(self.probabilities, bounds, self.timestamps_ms)

    @property
    def length_ms(self) -> float:
        """Time of the last frame or of the last event's end, whichever is later."""
        ends = (self.timestamps_ms, self.reference.offset_ms, self.estimate.offset_ms)
        return float(max(values.max(initial=0.0) for values in ends))


@dataclass(frozen=True)
class EventPredictions:
    """The test predictions of an event task, clip by clip.

    Attributes:
        result: The result, whose primary score says which events match.
    """

    folder: Path
    result: Result
    labels: tuple[str, ...]
    splits: tuple[EventSplit, ...]

    @classmethod
    def read(cls, result: Path) -> EventPredictions:
        """Reads a result's folder, or the one that a ``result.json`` is in.

        Frames are only read when a clip is asked for.

        Raises:
            ResultError: A file is missing or isn't what it should be, or the result is that of
                a scene task.
        """
        read = Result.read(result)
        folder = result if result.is_dir() else result.parent
        predictions = Predictions.read(folder, read)
        splits = [s for s in predictions.splits.values() if isinstance(s, EventSplit)]
        if len(splits) < len(predictions.splits):
            raise ResultError(
                f"{folder} is the result of a {read.kind} task, {read.task.name}, whose clips have "
                "labels but no events. Name the result of an event task.",
                code="unsuitable",
            )
        return cls(folder, read, predictions.labels, tuple(splits))

    @cached_property
    def places(self) -> dict[str, tuple[EventSplit, int]]:
        """Name of each clip to its test split and its position there.

        A clip goes by its file name, or by ``split/file`` where several splits have it.
        """
        times = Counter(clip for split in self.splits for clip in split.clips)
        return {
            clip if times[clip] == 1 else f"{split.name}/{clip}": (split, i)
            for split in self.splits
            for i, clip in enumerate(split.clips)
        }

    def clip(self, name: str) -> ClipPredictions:
        """Reads the events and frame probabilities of one clip.

        Raises:
            UnknownNameError: No test split has such a clip.
            ResultError: A file is missing or isn't what it should be.
        """
        if name not in self.places:
            raise UnknownNameError(
                f"{self.folder} has no clip named {name!r}. {_proposal(name, list(self.places))}"
            )
        split, i = self.places[name]
        timestamps, probabilities = split.frames(i)
        return ClipPredictions(
            name,
            split.name,
            _of_clip(split.reference, i),
            _of_clip(split.estimate, i),
            np.array(timestamps),
            np.array(probabilities, dtype=np.float32),
        )

    def events(self) -> Iterator[tuple[str, EventArrays, EventArrays]]:
        """Yields name, annotated events and predicted events of each clip.

        Raises:
            ResultError: A file is missing or isn't what it should be.
        """
        for name, (split, i) in self.places.items():
            yield name, _of_clip(split.reference, i), _of_clip(split.estimate, i)


@dataclass(frozen=True)
class ComparedEvent:
    """A matched pair of events, or an event without a counterpart.

    Attributes:
        label: Position of the label in the vocabulary.
        reference_ms: Start and end in the reference; None if spurious.
        estimate_ms: Start and end in the prediction; None if missed.
    """

    label: int
    reference_ms: tuple[float, float] | None
    estimate_ms: tuple[float, float] | None

    @property
    def status(self) -> Status:
        """``matched``, ``missed`` (reference only) or ``spurious`` (prediction only)."""
        if self.reference_ms is None:
            return "spurious"
        return "missed" if self.estimate_ms is None else "matched"

    @property
    def start_ms(self) -> float:
        """Start of the event, or of the earlier one of a pair."""
        return min(event[0] for event in (self.reference_ms, self.estimate_ms) if event)

    @property
    def end_ms(self) -> float:
        """End of the event, or of the later one of a pair."""
        return max(event[1] for event in (self.reference_ms, self.estimate_ms) if event)

    def difference_ms(self, side: Literal[0, 1]) -> float | None:
        """Prediction less reference, of the starts (0) or the ends (1); None if unmatched."""
        if self.reference_ms is None or self.estimate_ms is None:
            return None
        return self.estimate_ms[side] - self.reference_ms[side]


@dataclass(frozen=True)
class ClipComparison:
    """All events of a clip, matched, and the scores of this clip alone.

    Attributes:
        events: Events in the order of their starts, then of the vocabulary.
        rule: The rule by which events match.
        parts: ``f_measure``, ``precision``, ``recall`` and counts by that rule, as
            `hearbench.metrics.sound_event.event_scores` has them.
        score: Name of the result's primary score.
        value: The primary score; NaN where it is undefined.
        is_in_parts: Whether the primary score is the F-measure in ``parts``.
    """

    events: tuple[ComparedEvent, ...]
    rule: MatchRule
    parts: dict[str, Any]
    score: str
    value: float
    is_in_parts: bool

    def rule_in_words(self) -> str:
        """Says when events match, as ``onsets within 200 ms``."""
        text = f"onsets within {self.rule.onset_collar_s * 1000:g} ms"
        if self.rule.offset_collar_s is None:
            return text
        share = f" or {self.rule.offset_share:.0%} of the length" if self.rule.offset_share else ""
        return f"{text}, offsets within {self.rule.offset_collar_s * 1000:g} ms{share}"


def matching_rule(score: str) -> MatchRule:
    """Finds the rule by which a score matches annotated with predicted events.

    For scores that don't match events, as ``segment_1s_er``, it is onsets within 200 ms.

    Raises:
        UnknownNameError: There is no such score.
    """
    function = get_event_score(score).function
    rule = function.keywords.get("rule") if isinstance(function, partial) else None
    return rule if isinstance(rule, MatchRule) else _ONSET_200MS


def compare_clip(clip: ClipPredictions, labels: Sequence[str], score: str) -> ClipComparison:
    """Tells matched, missed and spurious events of a clip apart by the rule of a score.

    Where several largest sets of matches exist one of them is shown; their number, and with it
    every score, is the same.

    Raises:
        UnknownNameError: There is no such score.
    """
    rule, primary = matching_rule(score), get_event_score(score)
    reference, estimate = clip.reference, clip.estimate
    pairs = match_events(reference, estimate, rule).tolist()
    matched_reference = {i for i, _ in pairs}
    matched_estimate = {j for _, j in pairs}
    events = [
        ComparedEvent(int(reference.label[i]), _times(reference, i), _times(estimate, j))
        for i, j in pairs
    ]
    events += [
        ComparedEvent(int(reference.label[i]), _times(reference, i), None)
        for i in range(len(reference))
        if i not in matched_reference
    ]
    events += [
        ComparedEvent(int(estimate.label[j]), None, _times(estimate, j))
        for j in range(len(estimate))
        if j not in matched_estimate
    ]
    return ClipComparison(
        events=tuple(sorted(events, key=lambda event: (event.start_ms, event.label))),
        rule=rule,
        parts=event_f_measure(reference, estimate, labels, rule=rule),
        score=score,
        value=primary(
            reference, clip.all_frames if primary.reads == "frames" else estimate, labels
        ),
        is_in_parts=isinstance(primary.function, partial)
        and primary.function.func is event_f_measure,
    )


def _times(events: EventArrays, i: int) -> tuple[float, float]:
    return float(events.onset_ms[i]), float(events.offset_ms[i])


def _of_clip(events: EventArrays, position: int) -> EventArrays:
    # Events that were read stand clip after clip.
    first, end = np.searchsorted(events.clip, (position, position + 1))
    own = events.take(np.arange(first, end))
    return EventArrays(np.zeros_like(own.clip), own.label, own.onset_ms, own.offset_ms)


def _proposal(name: str, names: list[str]) -> str:
    same = [known for known in names if known.endswith(f"/{name}")]
    near = same or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near or len(names) <= _MOST_LISTED:
        return did_you_mean(name, near or names)
    first = ", ".join(names[:_MOST_LISTED])
    return f"Among its {len(names)} clips are {first}."
