"""Durations and overlaps of the events of a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.tasks.clips import Event

__all__ = ["Durations", "EventStats", "Spread", "event_stats"]

Durations = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """The least, the median and the greatest of some durations, in s."""

    shortest_s: float
    median_s: float
    longest_s: float

    @classmethod
    def of(cls, durations_s: Durations) -> Spread:
        """Computes the spread of durations in s, (n,), at least one."""
        return cls(
            float(durations_s.min()), float(np.median(durations_s)), float(durations_s.max())
        )

    def to_json(self) -> dict[str, float]:
        """Converts to values of JSON."""
        return {
            "shortest_s": self.shortest_s,
            "median_s": self.median_s,
            "longest_s": self.longest_s,
        }


@dataclass(frozen=True)
class EventStats:
    """The events of a split.

    Attributes:
        count: Number of events.
        duration: Their durations; None without events.
        most_at_once: Most events that sound at the same time, whatever their labels.
        active: Share of the audio's time with at least one event.
        overlapping: Share of the audio's time with at least two.
        beyond: Events that end after their clip does, by more than 1 ms.
    """

    count: int
    duration: Spread | None
    most_at_once: int
    active: float
    overlapping: float
    beyond: int

    def to_json(self) -> dict[str, Any]:
        """Converts to values of JSON."""
        return {
            "count": self.count,
            "duration": None if self.duration is None else self.duration.to_json(),
            "most_at_once": self.most_at_once,
            "active": self.active,
            "overlapping": self.overlapping,
            "beyond": self.beyond,
        }


def event_stats(
    files: Mapping[str, tuple[str, ...] | tuple[Event, ...]], durations_s: Durations
) -> tuple[EventStats, Durations]:
    """The events of a split, and their durations in s, (n_events,).

    Args:
        files: The events of every clip.
        durations_s: Durations of the clips in s, (n_clips,).
    """
    lengths: list[Durations] = []
    most, active, overlapping, beyond = 0, 0.0, 0.0, 0
    for items, clip_s in zip(files.values(), durations_s, strict=True):
        events = [item for item in items if isinstance(item, Event)]
        if not events:
            continue
        times = np.array([(event.start_ms, event.end_ms) for event in events]) / 1000.0
        lengths.append(times[:, 1] - times[:, 0])
        beyond += int((times[:, 1] > clip_s + 0.001).sum())
        level, seconds = _levels(np.minimum(times, clip_s))
        # Where all events are of no length, one sounds at once nevertheless.
        most = max(most, 1, int(level.max()))
        active += float(seconds[level >= 1].sum())
        overlapping += float(seconds[level >= 2].sum())
    total_s = float(durations_s.sum())
    joined = np.concatenate(lengths) if lengths else np.empty(0)
    return EventStats(
        count=len(joined),
        duration=Spread.of(joined) if len(joined) else None,
        most_at_once=most,
        active=active / total_s,
        overlapping=overlapping / total_s,
        beyond=beyond,
    ), joined


def _levels(times_s: Durations) -> tuple[npt.NDArray[np.int64], Durations]:
    """Numbers of events (n, 2) that sound after each onset and offset, and for how many s."""
    moments = times_s.T.ravel()
    steps = np.repeat(np.array([1, -1]), len(times_s))
    # An event that begins when another ends doesn't overlap with it.
    order = np.lexsort((steps, moments))
    level = np.cumsum(steps[order])
    seconds = np.append(np.diff(moments[order]), 0.0)
    return level, seconds
