"""What an event task's result folder says about its clips: events, and frames' probabilities."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, TypeAdapter

from hearbench.errors import ResultError, UnknownNameError
from hearbench.metrics.event_lists import EventArrays
from hearbench.registry import did_you_mean
from hearbench.results.stored import read_array, read_json

__all__ = ["ClipPredictions", "EventPredictions"]

_RESULT = "result.json"
_MOST_LISTED = 10
_REMEDY = "An event task's result folder, as `hearbench evaluate` writes it, is needed."


class _Named(BaseModel):
    name: str


class _Head(BaseModel):
    """What views need of a ``result.json``, whatever else is in it."""

    kind: str
    primary_score: str
    model: _Named
    task: _Named


class _EventRow(BaseModel):
    label: str
    start: float
    end: float


_HEAD = TypeAdapter(_Head)
_SPLITS = TypeAdapter(dict[str, list[str]])
_LABELS = TypeAdapter(list[str])
_EVENTS = TypeAdapter(dict[str, list[_EventRow]])


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
    """The test predictions of an event task.

    Attributes:
        folder: The result's.
        model: Name of the model.
        task: Name of the task.
        primary_score: The score that was optimised; its rule says which events match.
        labels: The vocabulary.
        splits: Clips per test split, in the order of the frames.
    """

    folder: Path
    model: str
    task: str
    primary_score: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, result: Path) -> EventPredictions:
        """Reads a result's folder, or the one that a ``result.json`` is in.

        Frames are only read when a clip is asked for.

        Raises:
            ResultError: A file is missing or isn't what it should be, or the result is that of
                a scene task.
        """
        file = result / _RESULT if result.is_dir() else result
        head = read_json(file, _HEAD, _REMEDY)
        if head.kind != "event":
            raise ResultError(
                f"{file} is the result of a {head.kind} task, {head.task.name}, whose clips have "
                "labels but no events. Name the result of an event task."
            )
        place = file.parent / "predictions"
        splits = read_json(place / "clips.json", _SPLITS, _REMEDY)
        labels = read_json(place / "labels.json", _LABELS, _REMEDY)
        return cls(
            folder=file.parent,
            model=head.model.name,
            task=head.task.name,
            primary_score=head.primary_score,
            labels=tuple(labels),
            splits={split: tuple(clips) for split, clips in splits.items()},
        )

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """Name of each clip to its test split and its position there.

        A clip goes by its file name, or by ``split/file`` where several splits have it.
        """
        times = Counter(clip for clips in self.splits.values() for clip in clips)
        return {
            clip if times[clip] == 1 else f"{split}/{clip}": (split, i)
            for split, clips in self.splits.items()
            for i, clip in enumerate(clips)
        }

    def clip(self, name: str) -> ClipPredictions:
        """All that is known about one clip.

        Raises:
            UnknownNameError: No test split has it.
            ResultError: A file is missing or isn't what it should be.
        """
        places = self.places
        if name not in places:
            raise UnknownNameError(
                f"{self.folder} has no clip named {name!r}. {_proposal(name, list(places))}"
            )
        split, i = places[name]
        timestamps, probabilities = self._frames(split, i)
        reference, estimate = self._lists(split)
        own = [self.splits[split][i]]
        return ClipPredictions(
            name,
            split,
            EventArrays.from_mapping(reference, own, self.labels, what="reference"),
            EventArrays.from_mapping(estimate, own, self.labels, what="estimate"),
            timestamps,
            probabilities,
        )

    def events(self) -> Iterator[tuple[str, EventArrays, EventArrays]]:
        """Name, annotated and predicted events of each clip, as `ClipPredictions` has them.

        Raises:
            ResultError: A file is missing or isn't what it should be.
        """
        names = iter(self.places)
        for split, clips in self.splits.items():
            reference, estimate = self._lists(split)
            for clip in clips:
                yield (
                    next(names),
                    EventArrays.from_mapping(reference, [clip], self.labels, what="reference"),
                    EventArrays.from_mapping(estimate, [clip], self.labels, what="estimate"),
                )

    def _lists(self, split: str) -> tuple[dict[str, list[dict[str, Any]]], ...]:
        place = self.folder / "predictions"
        return tuple(
            {
                clip: [row.model_dump() for row in rows]
                for clip, rows in read_json(
                    place / f"{split}.{what}.json", _EVENTS, _REMEDY
                ).items()
            }
            for what in ("reference", "events")
        )

    def _frames(
        self, split: str, position: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        place = self.folder / "predictions"
        bounds = read_array(place / f"{split}.bounds.npy", _REMEDY)
        timestamps = read_array(place / f"{split}.timestamps.npy", _REMEDY)
        probabilities = read_array(place / f"{split}.npy", _REMEDY)
        n_clips, n_frames = len(self.splits[split]), timestamps.size
        expected = ((n_clips + 1,), (n_frames,), (n_frames, len(self.labels)))
        shapes = (bounds.shape, timestamps.shape, probabilities.shape)
        if shapes != expected or bounds[0] != 0 or bounds[-1] != n_frames:
            raise ResultError(
                f"{place}: the frames of {split} don't fit together: bounds, timestamps and "
                f"probabilities have the shapes {shapes} for {n_clips} clips and "
                f"{len(self.labels)} labels. Evaluate again."
            )
        kinds = [array.dtype.kind for array in (bounds, timestamps, probabilities)]
        if kinds[0] not in "iu" or kinds[1:] != ["f", "f"]:
            raise ResultError(
                f"{place}: the bounds, timestamps and probabilities of {split} are "
                f"{bounds.dtype}, {timestamps.dtype} and {probabilities.dtype}; integers, then "
                f"floating-point numbers are needed. {_REMEDY}"
            )
        own = slice(int(bounds[position]), int(bounds[position + 1]))
        return (
            np.array(timestamps[own], dtype=np.float64),
            np.array(probabilities[own], dtype=np.float32),
        )


def _proposal(name: str, names: list[str]) -> str:
    same = [known for known in names if known.endswith(f"/{name}")]
    near = same or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near or len(names) <= _MOST_LISTED:
        return did_you_mean(name, near or names)
    first = ", ".join(names[:_MOST_LISTED])
    return f"Among its {len(names)} clips are {first}."
