"""The predictions of one test split, and their files in a result's ``predictions/``.

The values come from a probe, or are read from files when they are first used. Anyone may have
edited those files, so each is checked as it is read: its shape, its type and its values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from hearbench.errors import HearError, ResultError
from hearbench.files import json_safe, write_json, write_npy
from hearbench.metrics import get_event_score, get_regression_score, get_scene_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.probe.events import Postprocessing, events_from_frames
from hearbench.results.differences import content_difference
from hearbench.results.record import FoldResult
from hearbench.results.untrusted import REMEDY, read_array, read_json
from hearbench.stats.clip_scores import (
    ClipScore,
    event_clip_score,
    regression_clip_score,
    scene_clip_score,
)
from hearbench.stats.paired import pooled_event_clip_score, pooled_scene_clip_score
from hearbench.stats.resampling import strata_of
from hearbench.tasks.clips import Event
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, TaskType

if TYPE_CHECKING:
    from typing_extensions import Self

    from hearbench.probe.predictions import EventFoldPrediction, SceneFoldPrediction
    from hearbench.tasks.store import PreparedTask

__all__ = ["SPLIT_OF", "EventSplit", "RegressionSplit", "SceneSplit", "Split"]

_EVENTS = TypeAdapter(dict[str, list[dict[str, Any]]])
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)

_Floats = npt.NDArray[np.floating[Any]]
_Positions = npt.NDArray[np.int64]


class Split(ABC):
    """The predictions of one test split.

    Args:
        clips: File names of its clips, in the order of the predictions.
        is_blank: Whether there is no prediction, so that every score is undefined.
        place: The folder of its files; None if its values are set instead of read.
    """

    endings: ClassVar[tuple[str, ...]]
    """What follows the split's name in the names of its files."""
    annotation: ClassVar[str]
    """What clips are annotated with, for messages."""
    undefined_when: ClassVar[str]
    """What leaves scores undefined."""

    def __init__(
        self,
        name: str,
        clips: Sequence[str],
        labels: Sequence[str],
        *,
        is_blank: bool,
        place: Path | None = None,
    ) -> None:
        self.name = name
        self.clips = tuple(clips)
        self.labels = tuple(labels)
        self.is_blank = is_blank
        self.place = place
        self._parts: dict[str, Mapping[str, Any]] = {}

    @classmethod
    @abstractmethod
    def of(cls, fold: Any, labels: Sequence[str]) -> Self:
        """The split as a probe predicted it.

        Args:
            fold: A prediction for that kind of task from `hearbench.probe.predictions`.
        """

    @classmethod
    def read(
        cls, place: Path, fold: FoldResult, clips: Sequence[str], labels: Sequence[str]
    ) -> Self:
        """The split in the files of a result.

        Args:
            place: The folder of the files.
            fold: The result's record of the split.
            clips: File names of the split's clips.
        """
        return cls(fold.test, clips, labels, is_blank=fold.is_blank, place=place)

    @abstractmethod
    def write(self, place: Path, scores: Sequence[str]) -> None:
        """Writes the split's files.

        Args:
            scores: Names of the scores whose parts are written, too, where there are any.
        """

    @abstractmethod
    def verify(self, scores: Sequence[str], task: PreparedTask | None = None) -> None:
        """Checks that the files agree with each other, and with the task.

        Args:
            scores: Names of the result's scores.
            task: The task, if its labels are to be compared.

        Raises:
            ResultError: A file is missing, isn't what it should be, or contradicts another or
                the task.
        """

    def parts(self, score: str) -> Mapping[str, Any]:
        """The parts of a score by name, as `hearbench.metrics` has them.

        Raises:
            UnknownNameError: There is no such score.
        """
        if score not in self._parts:
            self._parts[score] = self._score(score)
        return self._parts[score]

    @abstractmethod
    def _score(self, name: str) -> Mapping[str, Any]:
        """The parts of a score, computed."""

    @abstractmethod
    def ordered(self, order: npt.NDArray[np.int64]) -> Self:
        """What scores are made of, in memory, with the clips in another order.

        Args:
            order: (n_clips,) positions of the clips.
        """

    @abstractmethod
    def differing_clips(self, other: Self) -> list[str]:
        """The clips whose annotation is another than in a split of the same clips."""

    @abstractmethod
    def clip_score(self, name: str) -> ClipScore:
        """A score as a function of how often each clip counts."""

    @abstractmethod
    def pooled_clip_score(self, name: str, other: Self) -> ClipScore:
        """The score of these predictions and of others of the same clips together."""

    @property
    def strata(self) -> npt.NDArray[np.int64] | None:
        """(n_clips,) as of `hearbench.stats.resampling.strata_of`; None of events."""
        return None

    def file(self, ending: str) -> Path:
        """The path of one of the split's files.

        Raises:
            ValueError: The predictions are in memory.
        """
        if self.place is None:
            raise ValueError(f"the predictions of {self.name} are in memory and have no files")
        return self.place / f"{self.name}.{ending}"

    def _map_probabilities(self, n_rows: int, rows: str) -> _Floats:
        """Probabilities of the right shape, whose values aren't looked at yet."""
        file, shape = self.file("npy"), (n_rows, len(self.labels))
        found = read_array(file)
        if found.shape != shape or not np.issubdtype(found.dtype, np.floating):
            raise ResultError(
                f"{file} has the shape {found.shape} and type {found.dtype}; probabilities of "
                f"{n_rows} {rows} and {len(self.labels)} labels are needed. {REMEDY}"
            )
        return found

    def _checked(self, probabilities: _Floats) -> _Floats:
        # A comparison with NaN is false.
        right = (probabilities >= 0) & (probabilities <= 1)
        if self.is_blank:
            right = np.isnan(probabilities)
        if not right.all():
            raise ResultError(f"{self.file('npy')} has values that are no probabilities. {REMEDY}")
        return probabilities


class SceneSplit(Split):
    """The predictions of a scene task's test split.

    Raises:
        ResultError: A file is read that is missing or isn't what it should be.
    """

    endings = ("npy", "targets.npy")
    annotation = "labels"
    undefined_when = "some label is that of no clip, or of all"

    @classmethod
    def of(cls, fold: SceneFoldPrediction, labels: Sequence[str]) -> Self:
        """The split as a probe predicted it."""
        split = cls(fold.fold.test, fold.clips, labels, is_blank=fold.is_blank)
        split.probabilities, split.targets = fold.probabilities, fold.targets
        return split

    @cached_property
    def probabilities(self) -> npt.NDArray[np.floating[Any]]:
        """(n_clips, n_labels); all are NaN if there is no prediction.

        Of a regression task they are no probabilities but the predicted numbers.
        """
        return self._checked(self._map_probabilities(len(self.clips), "clips"))

    @cached_property
    def targets(self) -> npt.NDArray[Any]:
        """(n_clips, n_labels) multi-hot labels; numbers of a regression task."""
        file, shape = self.file("targets.npy"), (len(self.clips), len(self.labels))
        targets = read_array(file)
        if (
            targets.shape != shape
            or not np.issubdtype(targets.dtype, np.integer)
            or not np.isin(targets, (0, 1)).all()
        ):
            raise ResultError(
                f"{file} has the shape {targets.shape} instead of {shape}, or values other than 0 "
                f"and 1. {REMEDY}"
            )
        return targets

    def write(self, place: Path, scores: Sequence[str]) -> None:  # noqa: ARG002
        """See `Split.write`."""
        write_npy(place / f"{self.name}.npy", self.probabilities)
        write_npy(place / f"{self.name}.targets.npy", self.targets)

    def verify(self, scores: Sequence[str], task: PreparedTask | None = None) -> None:  # noqa: ARG002
        """See `Split.verify`."""
        _ = self.probabilities  # read, and so checked, even if there is no prediction
        targets = self.targets
        if task is None:
            return
        rows = {name: row for row, name in enumerate(task.splits[self.name])}
        own = task.targets(self.name)[[rows[name] for name in self.clips]]
        wrong = np.flatnonzero((own != targets).any(axis=1))
        if len(wrong):
            raise ResultError(
                f"{self.file('targets.npy')}: the labels of {self.clips[int(wrong[0])]} aren't "
                f"those of {task.name}, nor those of {len(wrong) - 1} other clips. {REMEDY}"
            )

    def _score(self, name: str) -> Mapping[str, Any]:
        return get_scene_score(name).parts(self.probabilities, self.targets)

    def ordered(self, order: npt.NDArray[np.int64]) -> Self:
        """See `Split.ordered`."""
        clips = [self.clips[i] for i in order.tolist()]
        split = type(self)(self.name, clips, self.labels, is_blank=self.is_blank)
        split.probabilities, split.targets = self.probabilities[order], self.targets[order]
        return split

    def differing_clips(self, other: SceneSplit) -> list[str]:
        """See `Split.differing_clips`."""
        differs = (self.targets != other.targets).any(axis=1)
        return [self.clips[i] for i in np.flatnonzero(differs).tolist()]

    def clip_score(self, name: str) -> ClipScore:
        """See `Split.clip_score`."""
        return scene_clip_score(name, self.probabilities, self.targets)

    def pooled_clip_score(self, name: str, other: SceneSplit) -> ClipScore:
        """See `Split.pooled_clip_score`."""
        return pooled_scene_clip_score(name, self.probabilities, other.probabilities, self.targets)

    @property
    def strata(self) -> npt.NDArray[np.int64] | None:
        """See `Split.strata`."""
        return strata_of(self.targets)


class RegressionSplit(SceneSplit):
    """The predictions of a regression task's test split, in the task's units.

    Raises:
        ResultError: A file is read that is missing or isn't what it should be.
    """

    annotation = "numbers"
    undefined_when = "some target, or what is predicted of it, is the same for all clips"

    @cached_property
    def targets(self) -> npt.NDArray[np.float64]:
        """(n_clips, n_labels) numbers."""
        file, shape = self.file("targets.npy"), (len(self.clips), len(self.labels))
        targets = read_array(file)
        if targets.shape != shape or targets.dtype != np.float64 or not np.isfinite(targets).all():
            raise ResultError(
                f"{file} holds {targets.dtype} {targets.shape} instead of float64 {shape}, or "
                f"numbers that aren't finite. {REMEDY}"
            )
        return targets

    def _checked(self, probabilities: _Floats) -> _Floats:
        right = np.isnan(probabilities) if self.is_blank else np.isfinite(probabilities)
        if not right.all():
            raise ResultError(f"{self.file('npy')} has values that aren't finite. {REMEDY}")
        return probabilities

    def _score(self, name: str) -> Mapping[str, Any]:
        return get_regression_score(name).parts(self.probabilities, self.targets)

    def clip_score(self, name: str) -> ClipScore:
        """See `Split.clip_score`."""
        return regression_clip_score(name, self.probabilities, self.targets)

    def pooled_clip_score(self, name: str, other: SceneSplit) -> ClipScore:
        """See `Split.pooled_clip_score`."""
        both = np.concatenate([self.probabilities, other.probabilities])
        return regression_clip_score(name, both, np.concatenate([self.targets, other.targets]))

    @property
    def strata(self) -> npt.NDArray[np.int64] | None:
        """None: any clips are drawn."""
        return None


class EventSplit(Split):
    """The predictions of an event task's test split, whose frames stand clip after clip.

    Attributes:
        postprocessing: How frames became events; None if there is no prediction.

    Raises:
        ResultError: A file is read that is missing or isn't what it should be.
    """

    endings = (
        *("npy", "bounds.npy", "timestamps.npy"),
        *("events.json", "reference.json", "per_label.json"),
    )
    annotation = "events"
    undefined_when = "no event was predicted"
    postprocessing: Postprocessing | None = None
    _reordered: tuple[EventSplit, _Positions] | None = None

    @classmethod
    def of(cls, fold: EventFoldPrediction, labels: Sequence[str]) -> Self:
        """The split as a probe predicted it."""
        split = cls(fold.fold.test, fold.clips, labels, is_blank=fold.is_blank)
        split.postprocessing = fold.outcome.postprocessing
        split.bounds, split.timestamps_ms = fold.bounds, fold.timestamps_ms
        split.probabilities = fold.probabilities
        split.reference, split.estimate = fold.reference, fold.estimate
        return split

    @classmethod
    def read(
        cls, place: Path, fold: FoldResult, clips: Sequence[str], labels: Sequence[str]
    ) -> Self:
        """See `Split.read`."""
        split = super().read(place, fold, clips, labels)
        split.postprocessing = fold.postprocessing
        return split

    @cached_property
    def timestamps_ms(self) -> npt.NDArray[np.float64]:
        """(n_frames,) times of the frames from the start of their clip."""
        file = self.file("timestamps.npy")
        stored = read_array(file)
        if stored.ndim != 1 or not np.issubdtype(stored.dtype, np.floating):
            raise ResultError(
                f"{file} holds {stored.dtype} {stored.shape}, and not times. {REMEDY}"
            )
        return stored.astype(np.float64, copy=False)

    @cached_property
    def bounds(self) -> npt.NDArray[np.int64]:
        """(n_clips + 1,) first frame of each clip, and the number of frames."""
        file, n_frames = self.file("bounds.npy"), len(self.timestamps_ms)
        stored = read_array(file)
        if (
            stored.shape != (len(self.clips) + 1,)
            or not np.issubdtype(stored.dtype, np.integer)
            or (stored[0], stored[-1]) != (0, n_frames)
            or (stored[1:] < stored[:-1]).any()
        ):
            raise ResultError(
                f"{file} doesn't say where the frames of {len(self.clips)} clips begin, of "
                f"{n_frames} in all. {REMEDY}"
            )
        return stored.astype(np.int64, copy=False)

    @cached_property
    def probabilities(self) -> npt.NDArray[np.floating[Any]]:
        """(n_frames, n_labels); all are NaN if there is no prediction."""
        return self._checked(self._mapped)

    @cached_property
    def _mapped(self) -> _Floats:
        return self._map_probabilities(len(self.timestamps_ms), "frames")

    def frames(
        self, position: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.floating[Any]]]:
        """Times and probabilities of one clip's frames; those of others aren't read.

        Args:
            position: The clip's position in ``clips``.
        """
        own = slice(int(self.bounds[position]), int(self.bounds[position + 1]))
        return self.timestamps_ms[own], self._checked(self._mapped[own])

    @cached_property
    def all_frames(self) -> FrameArrays:
        """Times and probabilities of all clips' frames."""
        if self._reordered is not None:
            split, order = self._reordered
            return split.all_frames.take(order)
        return FrameArrays(self.probabilities, self.bounds, self.timestamps_ms)

    @cached_property
    def reference(self) -> EventArrays:
        """The annotated events."""
        return self._read_events("reference.json")

    @cached_property
    def estimate(self) -> EventArrays:
        """The predicted events."""
        return self._read_events("events.json")

    def _read_events(self, ending: str) -> EventArrays:
        file = self.file(ending)
        listed = read_json(file, _EVENTS)
        strange = sorted(set(listed) - set(self.clips))
        if strange:
            raise ResultError(f"{file} has clips that aren't in clips.json: {strange[0]}. {REMEDY}")
        try:
            return EventArrays.from_mapping(listed, self.clips, self.labels, what=file.name)
        except HearError as error:
            raise ResultError(f"{file}: {error}") from error

    def write(self, place: Path, scores: Sequence[str]) -> None:
        """See `Split.write`."""
        write_npy(place / f"{self.name}.npy", self.probabilities)
        write_npy(place / f"{self.name}.bounds.npy", self.bounds)
        write_npy(place / f"{self.name}.timestamps.npy", self.timestamps_ms)
        write_json(place / f"{self.name}.events.json", self._mapping(self.estimate))
        write_json(place / f"{self.name}.reference.json", self._mapping(self.reference))
        parts = {score: self.parts(score) for score in scores}
        write_json(place / f"{self.name}.per_label.json", parts)

    def _mapping(self, events: EventArrays) -> dict[str, list[dict[str, Any]]]:
        return events.to_mapping(self.clips, self.labels)

    def verify(self, scores: Sequence[str], task: PreparedTask | None = None) -> None:
        """See `Split.verify`."""
        bounds, probabilities = self.bounds, self.probabilities
        stated = self._mapping(self.estimate)
        if task is not None:
            self._compare_reference(task)
        if self.postprocessing is None or self.is_blank:
            if len(self.estimate) or not self.is_blank:
                raise ResultError(
                    f"{self.file('events.json')} has events, or should have, though there was "
                    f"nothing to find them with. {REMEDY}"
                )
        else:
            try:
                (found,) = events_from_frames(
                    probabilities, bounds, self.timestamps_ms, [self.postprocessing]
                )
            except HearError as error:
                raise ResultError(f"{self.file('npy')}: {error}") from error
            if self._mapping(found) != stated:
                raise ResultError(
                    f"{self.file('events.json')} has other events than the probabilities in "
                    f"{self.name}.npy give. {REMEDY}"
                )
        file = self.file("per_label.json")
        if file.is_file():
            right = json_safe({score: self.parts(score) for score in scores})
            where = content_difference(read_json(file, _ANYTHING), right)
            if where is not None:
                raise ResultError(f"{file}: {where} isn't what the predictions give. {REMEDY}")

    def _compare_reference(self, task: PreparedTask) -> None:
        files = task.splits[self.name]
        events = [[item for item in files[clip] if isinstance(item, Event)] for clip in self.clips]
        own = EventArrays.from_clips(events, self.labels)
        if self._mapping(own) != self._mapping(self.reference):
            raise ResultError(
                f"{self.file('reference.json')} has other events than {task.name}. {REMEDY}"
            )

    def _score(self, name: str) -> Mapping[str, Any]:
        return get_event_score(name).parts(self.reference, self._read_by(name), self.labels)

    def _read_by(self, name: str) -> EventArrays | FrameArrays:
        """What a score compares with the annotated events."""
        return self.all_frames if get_event_score(name).reads == "frames" else self.estimate

    def ordered(self, order: npt.NDArray[np.int64]) -> EventSplit:
        """See `Split.ordered`; frames are put into order when a score reads them."""
        clips = [self.clips[i] for i in order.tolist()]
        split = EventSplit(self.name, clips, self.labels, is_blank=self.is_blank)
        split._reordered = self, order
        split.reference = _ordered(self.reference, order)
        # A list of events that no probe has predicted isn't read.
        none = EventArrays.from_rows(())
        split.estimate = none if self.is_blank else _ordered(self.estimate, order)
        return split

    def differing_clips(self, other: EventSplit) -> list[str]:
        """See `Split.differing_clips`."""
        own, theirs = self._mapping(self.reference), self._mapping(other.reference)
        return [clip for clip in self.clips if own[clip] != theirs[clip]]

    def clip_score(self, name: str) -> ClipScore:
        """See `Split.clip_score`."""
        estimate = self._read_by(name)
        return event_clip_score(name, self.reference, estimate, len(self.clips), self.labels)

    def pooled_clip_score(self, name: str, other: EventSplit) -> ClipScore:
        """See `Split.pooled_clip_score`."""
        pair = self._read_by(name), other._read_by(name)
        return pooled_event_clip_score(name, self.reference, *pair, len(self.clips), self.labels)


def _ordered(events: EventArrays, order: _Positions) -> EventArrays:
    """The events of clips that are put into another order, each clip's in their own."""
    place_of = np.empty_like(order)
    place_of[order] = np.arange(len(order))
    clip = place_of[events.clip]
    moved = EventArrays(clip, events.label, events.onset_ms, events.offset_ms)
    return moved.take(np.argsort(clip, kind="stable"))


SPLIT_OF: dict[TaskType, type[Split]] = {
    SCENE: SceneSplit,
    REGRESSION: RegressionSplit,
    EVENT: EventSplit,
}
"""The class of a task's splits by the kind of task."""
