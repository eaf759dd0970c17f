"""Which events of a clip were found, which were missed, and which were made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.event_matching import MatchRule, match_events
from hearbench.metrics.sound_event import event_f_measure, get_event_score
from hearbench.views.event_predictions import ClipPredictions

__all__ = ["ClipComparison", "ComparedEvent", "Status", "compare_clip", "matching_rule"]

Status = Literal["matched", "missed", "spurious"]

_ONSET_200MS = MatchRule(0.2)


@dataclass(frozen=True)
class ComparedEvent:
    """A matched pair, or an event without a counterpart.

    Attributes:
        label: Position in the vocabulary.
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
        """Where it starts first."""
        return min(event[0] for event in (self.reference_ms, self.estimate_ms) if event)

    @property
    def end_ms(self) -> float:
        """Where it ends last."""
        return max(event[1] for event in (self.reference_ms, self.estimate_ms) if event)

    def difference_ms(self, side: Literal[0, 1]) -> float | None:
        """Prediction less reference, of the starts (0) or the ends (1); None if unmatched."""
        if self.reference_ms is None or self.estimate_ms is None:
            return None
        return self.estimate_ms[side] - self.reference_ms[side]


@dataclass(frozen=True)
class ClipComparison:
    """The events of a whole clip.

    Attributes:
        events: In the order of their starts, then of the vocabulary.
        rule: By which events match.
        parts: ``f_measure``, ``precision``, ``recall`` and counts of the clip by that rule, as
            `hearbench.metrics.sound_event.event_scores` has them.
        score: Name of the result's primary score.
        value: That score of this clip alone; NaN where it is undefined.
    """

    events: tuple[ComparedEvent, ...]
    rule: MatchRule
    parts: dict[str, Any]
    score: str
    value: float

    def rule_in_words(self) -> str:
        """The rule, as ``onsets within 200 ms``."""
        text = f"onsets within {self.rule.onset_collar_s * 1000:g} ms"
        if self.rule.offset_collar_s is None:
            return text
        share = f" or {self.rule.offset_share:.0%} of the length" if self.rule.offset_share else ""
        return f"{text}, offsets within {self.rule.offset_collar_s * 1000:g} ms{share}"


def matching_rule(score: str) -> MatchRule:
    """When a reference and a predicted event match.

    Scores that don't match events, as ``segment_1s_er``, get onsets within 200 ms.

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

    Args:
        clip: The clip.
        labels: The vocabulary.
        score: Name of the score, as that of a result.

    Raises:
        UnknownNameError: There is no such score.
    """
    rule = matching_rule(score)
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
        value=get_event_score(score)(reference, estimate, labels),
    )


def _times(events: EventArrays, i: int) -> tuple[float, float]:
    return float(events.onset_ms[i]), float(events.offset_ms[i])
