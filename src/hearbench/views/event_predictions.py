"""What an event task's result folder says about its clips: events, and frames' probabilities."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError, UnknownNameError
from hearbench.metrics.event_lists import EventArrays
from hearbench.registry import did_you_mean
from hearbench.results.predictions import Predictions
from hearbench.results.record import Result
from hearbench.results.splits import EventSplit

__all__ = ["ClipPredictions", "EventPredictions"]

_MOST_LISTED = 10


@dataclass(frozen=True)
class ClipPredictions:
    """One clip of a test split.

    Attributes:
        name: As `EventPredictions.clip` knows it.
        split: The test split.
        reference: Its annotated events; ``clip`` is 0 throughout, labels are positions in the
            vocabulary.
        estimate: Its predicted events, likewise.
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
    def length_ms(self) -> float:
        """The time of the last frame or of the end of the last event, whichever is later."""
        ends = (self.timestamps_ms, self.reference.offset_ms, self.estimate.offset_ms)
        return float(max(values.max(initial=0.0) for values in ends))


@dataclass(frozen=True)
class EventPredictions:
    """The test predictions of an event task, clip by clip.

    Attributes:
        folder: Where the result lies.
        result: What it says; the rule of its primary score says which events match.
        labels: The vocabulary.
        splits: The test splits.
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
                "labels but no events. Name the result of an event task."
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
        """All that is known about one clip.

        Raises:
            UnknownNameError: No test split has it.
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
        """Name, annotated and predicted events of each clip, as `ClipPredictions` has them.

        Raises:
            ResultError: A file is missing or isn't what it should be.
        """
        for name, (split, i) in self.places.items():
            yield name, _of_clip(split.reference, i), _of_clip(split.estimate, i)


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
