"""Events of many clips as arrays: what the event scores work on.

Conventions: times are kept in milliseconds, as tasks and predictions have them. Scores compare
them in seconds, ``ms / 1000.0`` in float64, because whether two onsets at the very edge of a
collar match depends on that division.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import TaskError
from hearbench.registry import did_you_mean
from hearbench.tasks.clips import Event

__all__ = ["EventArrays", "concatenate_events"]

_MS_PER_S = 1000.0
_LABEL, _START, _END = itemgetter("label"), itemgetter("start"), itemgetter("end")


@dataclass(frozen=True)
class EventArrays:
    """Events, in any order; four arrays of one length.

    Attributes:
        clip: (n_events,) int64, position of the clip among those that are scored.
        label: (n_events,) int64, position of the label in the vocabulary.
        onset_ms: (n_events,) float64, from the clip's start.
        offset_ms: (n_events,) float64.
    """

    clip: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    onset_ms: npt.NDArray[np.float64]
    offset_ms: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def onset_s(self) -> npt.NDArray[np.float64]:
        """Onsets in seconds, the unit in which scores compare them."""
        return self.onset_ms / _MS_PER_S

    @property
    def offset_s(self) -> npt.NDArray[np.float64]:
        """Offsets in seconds, the unit in which scores compare them."""
        return self.offset_ms / _MS_PER_S

    @cached_property
    def order(self) -> npt.NDArray[np.intp]:
        """(n_events,) positions that sort by clip, then by label, then by onset."""
        n_labels = int(self.label.max(initial=-1)) + 1
        return np.lexsort((self.onset_ms, self.clip * n_labels + self.label))

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> EventArrays:
        """The events at those positions, or where a mask is true."""
        return EventArrays(
            self.clip[index], self.label[index], self.onset_ms[index], self.offset_ms[index]
        )

    def shifted(self, n_clips: int) -> EventArrays:
        """The same events, of clips that stand ``n_clips`` further back."""
        return EventArrays(self.clip + n_clips, self.label, self.onset_ms, self.offset_ms)

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[int, int, float, float]]) -> EventArrays:
        """Makes events from the (clip, label, onset_ms, offset_ms) of each."""
        listed = list(rows)
        clip, label, onset, offset = zip(*listed, strict=True) if listed else ((), (), (), ())
        return cls(
            np.array(clip, dtype=np.int64),
            np.array(label, dtype=np.int64),
            np.array(onset, dtype=np.float64),
            np.array(offset, dtype=np.float64),
        )

    @classmethod
    def from_clips(cls, clips: Iterable[Sequence[Event]], labels: Sequence[str]) -> EventArrays:
        """Makes events from those of each clip, in the clips' order.

        Raises:
            TaskError: A label isn't in the vocabulary, or a time isn't finite.
        """
        index = _label_index(labels)
        found = cls.from_rows(
            (i, _position(event.label, index, f"clip {i}"), event.start_ms, event.end_ms)
            for i, events in enumerate(clips)
            for event in events
        )
        return _finite(found, lambda i: f"clip {found.clip[i]}")

    @classmethod
    def from_mapping(
        cls,
        events: Mapping[str, Sequence[Mapping[str, Any]]],
        clips: Sequence[str],
        labels: Sequence[str],
        *,
        what: str = "events",
    ) -> EventArrays:
        """Makes events from ``{clip: [{"label", "start", "end"}, ...]}``, times in ms.

        Args:
            events: The events; a clip that is missing has none.
            clips: Names of all clips, by position.
            what: What the events are, for messages ("reference").

        Raises:
            TaskError: An event lacks one of the three keys, its label isn't in the vocabulary,
                or a time isn't a finite number.
        """
        index = _label_index(labels)
        per_clip = [events.get(clip, ()) for clip in clips]
        try:
            found = concatenate_events(
                [_plain_events(i, listed, index) for i, listed in enumerate(per_clip)]
            )
        except (KeyError, TypeError, ValueError):
            # Labels that aren't strings yet, or something wrong: one by one, to say where.
            found = cls.from_rows(_checked_rows(per_clip, clips, index, what))
        return _finite(found, lambda i: f"{what}, clip {clips[int(found.clip[i])]!r}")

    def to_mapping(
        self, clips: Sequence[str], labels: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Converts the events to ``{clip: [{"label", "start", "end"}, ...]}`` in ms.

        Every clip is there, one without events with an empty list; a clip's events are in the
        order of their onsets, then of the vocabulary.
        """
        mapping: dict[str, list[dict[str, Any]]] = {clip: [] for clip in clips}
        ordered = self.take(np.lexsort((self.offset_ms, self.label, self.onset_ms, self.clip)))
        for clip, label, onset, offset in zip(
            ordered.clip.tolist(),
            ordered.label.tolist(),
            ordered.onset_ms.tolist(),
            ordered.offset_ms.tolist(),
            strict=True,
        ):
            mapping[clips[clip]].append({"label": labels[label], "start": onset, "end": offset})
        return mapping


def concatenate_events(parts: Sequence[EventArrays]) -> EventArrays:
    """Joins several lists; the positions of clips and labels mean the same in all."""
    if not parts:
        return EventArrays.from_rows(())
    return EventArrays(
        np.concatenate([part.clip for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.onset_ms for part in parts]),
        np.concatenate([part.offset_ms for part in parts]),
    )


def _label_index(labels: Sequence[str]) -> dict[str, int]:
    index = {str(label): i for i, label in enumerate(labels)}
    if len(index) < len(labels):
        names = [str(label) for label in labels]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise TaskError(f"The labels have {', '.join(twice)} twice; list every label once.")
    return index


def _plain_events(
    clip: int, events: Sequence[Mapping[str, Any]], index: Mapping[str, int]
) -> EventArrays:
    n = len(events)
    return EventArrays(
        np.full(n, clip, dtype=np.int64),
        np.fromiter(map(index.__getitem__, map(_LABEL, events)), dtype=np.int64, count=n),
        np.fromiter(map(_START, events), dtype=np.float64, count=n),
        np.fromiter(map(_END, events), dtype=np.float64, count=n),
    )


def _checked_rows(
    per_clip: Sequence[Sequence[Mapping[str, Any]]],
    clips: Sequence[str],
    index: Mapping[str, int],
    what: str,
) -> Iterator[tuple[int, int, float, float]]:
    for i, (clip, events) in enumerate(zip(clips, per_clip, strict=True)):
        where = f"{what}, clip {clip!r}"
        for event in events:
            try:
                label, start, end = event["label"], float(event["start"]), float(event["end"])
            except (KeyError, TypeError, ValueError) as error:
                raise TaskError(
                    f"{where}: {event!r} is no event. An event has a 'label', a 'start' and an "
                    "'end', both in milliseconds."
                ) from error
            yield i, _position(str(label), index, where), start, end


def _position(label: str, index: Mapping[str, int], where: str) -> int:
    try:
        return index[label]
    except KeyError as error:
        raise TaskError(
            f"{where}: the label {label!r} is not among the {len(index)} labels. "
            f"{did_you_mean(label, list(index)[:50])}"
        ) from error


def _finite(events: EventArrays, where: Callable[[int], str]) -> EventArrays:
    bad = np.flatnonzero(~(np.isfinite(events.onset_ms) & np.isfinite(events.offset_ms)))
    if len(bad):
        i = int(bad[0])
        raise TaskError(
            f"{where(i)}: an event goes from {events.onset_ms[i]} to {events.offset_ms[i]} ms. "
            "Give finite times."
        )
    return events
