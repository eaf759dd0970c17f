"""Kinds of task: `SCENE` for labels of whole clips, `REGRESSION` for numbers, `EVENT` in time.

A kind knows what its tasks' files and corpora hold. What else is done differently for the kinds is
looked up in tables by kind that the layers have: scores in `hearbench.metrics`, embeddings in
`hearbench.embeddings.kinds`, training in `hearbench.probe.kinds`, predictions in
`hearbench.results.splits`.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from hearbench.errors import TaskError, UnknownNameError
from hearbench.registry import did_you_mean
from hearbench.tasks.clips import Clip, Event, Value, label_of
from hearbench.tasks.evaluation_params import PARAM_GRID, POSTPROCESSING_GRID
from hearbench.tasks.problems import Problems
from hearbench.tasks.splits import clip_events

__all__ = [
    "EVENT",
    "REGRESSION",
    "SCENE",
    "TASK_TYPES",
    "EmbeddingType",
    "Items",
    "PredictionType",
    "Targets",
    "TaskType",
    "task_type",
]

EmbeddingType = Literal["scene", "event"]
PredictionType = Literal["multiclass", "multilabel", "regression"]

Items = tuple[str, ...] | tuple[Event, ...] | tuple[Value, ...]
"""Labels of a clip, its events, or its numbers."""

Targets = npt.NDArray[Any]
"""What a probe learns to predict, (n_clips, n_labels): multi-hot uint8, or float64 numbers."""


class TaskType(ABC):
    """A kind of task, and what its files and corpora hold.

    Attributes:
        name: Value of ``embedding_type`` in ``task_metadata.json``.
        noun: Words for one task of the kind, for messages.
        prediction_types: The types that its tasks can have.
        scores: The names of the official scores.
        score_group: Group of entry points for other packages' scores.
        params: The keys of ``evaluation_params`` that mean something.
        answer: What is predicted of a clip or timestamp, in words, by the type of prediction.
        counted: Unit of a label's frequency: ``clips`` or ``events``.
        counted_with_label: Title of an axis of such frequencies.
    """

    name: ClassVar[EmbeddingType]
    noun: ClassVar[str]
    prediction_types: ClassVar[tuple[PredictionType, ...]]
    scores: ClassVar[tuple[str, ...]]
    score_group: ClassVar[str]
    params: ClassVar[tuple[str, ...]]
    answer: ClassVar[Mapping[PredictionType, str]]
    counted: ClassVar[str]
    counted_with_label: ClassVar[str]

    def __repr__(self) -> str:
        return self.name.upper()

    @abstractmethod
    def default_scores(self, prediction: PredictionType) -> tuple[str, ...]:
        """The benchmark's usual scores, the one to optimise first."""

    @abstractmethod
    def needs_every_label(self, prediction: PredictionType) -> bool:
        """Whether every split must hold every label."""

    @abstractmethod
    def read_items(
        self, values: list[Any], prediction: PredictionType, where: str, problems: Problems
    ) -> Items:
        """The labels or events of a clip as a split's file lists them.

        Args:
            values: The values that the file lists.
            prediction: How many labels a clip may have.
            where: Split and clip, for messages.
        """

    def made_up(self, number: int, vocabulary: Sequence[str]) -> Items:  # noqa: ARG002
        """The labels or numbers of a clip that doesn't exist, the nth of a split."""
        return ()

    def check_labels(
        self, items: Items, vocabulary: Sequence[str], where: str, problems: Problems
    ) -> None:
        """Notes what a clip's labels or events have that the vocabulary lacks.

        Args:
            where: Split and clip, for messages.
        """
        for label in sorted({label_of(item) for item in items} - set(vocabulary)):
            problems.add("labels outside the vocabulary", f"{label!r} of {where}")

    @abstractmethod
    def targets(self, files: Mapping[str, Items], vocabulary: Sequence[str]) -> Targets:
        """What a probe of clips learns to predict, of shape (n_clips, n_labels).

        Args:
            files: The clips of a split.

        Raises:
            TaskError: Clips of this kind of task have no labels as a whole.
        """

    @abstractmethod
    def row_problem(self, row: Clip) -> str | None:
        """Says what a labelled row of a corpus lacks, if anything."""

    @abstractmethod
    def sort_keys(self, rows: Sequence[Clip]) -> list[npt.NDArray[np.float64]]:
        """The keys that sort the rows of one file before their labels do, the last key first."""

    @abstractmethod
    def json_item(self, row: Clip, label: str | int, duration_s: float | None) -> Any:
        """A row's label or event as a split's file lists it; None if the clip ends before it.

        Args:
            label: Its label, an integer where all labels of the task are.
            duration_s: Length of every clip; None where lengths vary.
        """

    @abstractmethod
    def moved(
        self, items: Items, move: Callable[[float], float], duration_s: Callable[[], float]
    ) -> Items:
        """The labels or events of a clip whose moments are heard at other times.

        Args:
            move: From a time in ms to the time, in ms, at which the same moment is heard.
            duration_s: Length of the clip, which stays the same.
        """


class _SceneType(TaskType):
    name = "scene"
    noun = "a scene task"
    prediction_types: ClassVar[tuple[PredictionType, ...]] = ("multiclass", "multilabel")
    scores: ClassVar[tuple[str, ...]] = (
        "top1_acc",
        "pitch_acc",
        "chroma_acc",
        "mAP",
        "aucroc",
        "d_prime",
    )
    score_group = "hearbench.scores"
    params = (PARAM_GRID,)
    answer: ClassVar[Mapping[PredictionType, str]] = {
        "multiclass": "exactly one label",
        "multilabel": "any number of labels",
    }
    counted = "clips"
    counted_with_label = "clips with the label"

    def default_scores(self, prediction: PredictionType) -> tuple[str, ...]:
        if prediction == "multiclass":
            return ("top1_acc", "mAP", "d_prime", "aucroc")
        return ("mAP", "d_prime", "aucroc", "top1_acc")

    def needs_every_label(self, prediction: PredictionType) -> bool:  # noqa: ARG002
        return True

    def read_items(
        self, values: list[Any], prediction: PredictionType, where: str, problems: Problems
    ) -> Items:
        for value in values:
            if not _is_label(value):
                problems.add("labels that are neither text nor integer", f"{value!r} of {where}")
        labels = tuple(str(value) for value in values if _is_label(value))
        if prediction == "multiclass":
            if len(values) != 1:
                problems.add(
                    "clips of a multiclass task without exactly one label",
                    f"{where} has {len(values)}",
                )
        elif len(set(labels)) < len(labels):
            problems.add("clips with a label twice", f"{where}: {list(labels)}")
        return labels

    def made_up(self, number: int, vocabulary: Sequence[str]) -> Items:
        return (vocabulary[number % len(vocabulary)],)

    def targets(self, files: Mapping[str, Items], vocabulary: Sequence[str]) -> Targets:
        index = {label: i for i, label in enumerate(vocabulary)}
        targets = np.zeros((len(files), len(vocabulary)), dtype=np.uint8)
        for row, items in enumerate(files.values()):
            for item in items:
                targets[row, index[label_of(item)]] = 1
        return targets

    def row_problem(self, row: Clip) -> str | None:
        return None if row.value is None else "numbers in a task of labels"

    def sort_keys(self, rows: Sequence[Clip]) -> list[npt.NDArray[np.float64]]:  # noqa: ARG002
        return []

    def json_item(self, row: Clip, label: str | int, duration_s: float | None) -> Any:  # noqa: ARG002
        return label

    def moved(
        self,
        items: Items,
        move: Callable[[float], float],  # noqa: ARG002
        duration_s: Callable[[], float],  # noqa: ARG002
    ) -> Items:
        return items


class _RegressionType(_SceneType):
    noun = "a regression task"
    prediction_types: ClassVar[tuple[PredictionType, ...]] = ("regression",)
    scores: ClassVar[tuple[str, ...]] = ("r2", "pearson_r", "ccc", "mae")
    score_group = "hearbench.regression_scores"
    answer: ClassVar[Mapping[PredictionType, str]] = {"regression": "a number of each target"}
    counted_with_label = "clips with the number"

    def default_scores(self, prediction: PredictionType) -> tuple[str, ...]:  # noqa: ARG002
        return self.scores

    def read_items(
        self,
        values: list[Any],
        prediction: PredictionType,  # noqa: ARG002
        where: str,
        problems: Problems,
    ) -> Items:
        found = (_value(value, where, problems) for value in values)
        return tuple(value for value in found if value is not None)

    def check_labels(
        self, items: Items, vocabulary: Sequence[str], where: str, problems: Problems
    ) -> None:
        super().check_labels(items, vocabulary, where, problems)
        labels = [label_of(item) for item in items]
        for label in vocabulary:
            if (count := labels.count(label)) != 1:
                problems.add(
                    "clips without exactly one number of each target",
                    f"{where} has {count} of {label!r}",
                )

    def made_up(self, number: int, vocabulary: Sequence[str]) -> Items:
        return tuple(Value(label, float(number)) for label in vocabulary)

    def targets(self, files: Mapping[str, Items], vocabulary: Sequence[str]) -> Targets:
        index = {label: i for i, label in enumerate(vocabulary)}
        targets = np.full((len(files), len(vocabulary)), np.nan)
        for row, items in enumerate(files.values()):
            for item in items:
                if isinstance(item, Value):
                    targets[row, index[item.label]] = item.value
        return targets

    def row_problem(self, row: Clip) -> str | None:
        if row.value is None or not math.isfinite(row.value):
            return "targets without a finite number"
        return None

    def json_item(self, row: Clip, label: str | int, duration_s: float | None) -> Any:  # noqa: ARG002
        return {"label": label, "value": row.value}


class _EventType(TaskType):
    name = "event"
    noun = "an event task"
    prediction_types = ("multilabel",)
    scores = (
        "event_onset_200ms_fms",
        "event_onset_50ms_fms",
        "event_onset_offset_50ms_20perc_fms",
        "event_onset_200ms_macro_fms",
        "event_onset_50ms_macro_fms",
        "psds1",
        "psds2",
        "segment_1s_er",
        "segment_1s_fms",
    )
    score_group = "hearbench.event_scores"
    params = (PARAM_GRID, POSTPROCESSING_GRID)
    answer: ClassVar[Mapping[PredictionType, str]] = {"multilabel": "any number of labels"}
    counted = "events"
    counted_with_label = "events"

    def default_scores(self, prediction: PredictionType) -> tuple[str, ...]:  # noqa: ARG002
        return ("event_onset_200ms_fms", "segment_1s_er")

    def needs_every_label(self, prediction: PredictionType) -> bool:
        return prediction != "multilabel"

    def read_items(
        self,
        values: list[Any],
        prediction: PredictionType,  # noqa: ARG002
        where: str,
        problems: Problems,
    ) -> Items:
        events = (_event(value, where, problems) for value in values)
        return tuple(event for event in events if event is not None)

    def targets(
        self,
        files: Mapping[str, Items],  # noqa: ARG002
        vocabulary: Sequence[str],  # noqa: ARG002
    ) -> Targets:
        raise TaskError("The clips of an event task have no labels as a whole.")

    def row_problem(self, row: Clip) -> str | None:
        if row.start_ms is None or row.end_ms is None:
            return "events without start and end"
        return None

    def sort_keys(self, rows: Sequence[Clip]) -> list[npt.NDArray[np.float64]]:
        return [
            np.array([row.end_ms for row in rows], dtype=np.float64),
            np.array([row.start_ms for row in rows], dtype=np.float64),
        ]

    def json_item(self, row: Clip, label: str | int, duration_s: float | None) -> Any:
        if row.label is None or row.start_ms is None or row.end_ms is None:
            return None
        events = [Event(row.label, row.start_ms, row.end_ms)]
        if duration_s is not None:
            events = clip_events(events, duration_s)
        return next(({"label": label, "start": e.start_ms, "end": e.end_ms} for e in events), None)

    def moved(
        self, items: Items, move: Callable[[float], float], duration_s: Callable[[], float]
    ) -> Items:
        events = [event for event in items if isinstance(event, Event)]
        times = [(move(event.start_ms), move(event.end_ms)) for event in events]
        if times == [(event.start_ms, event.end_ms) for event in events]:
            return items
        moved = [
            Event(event.label, max(0.0, start), end)
            for event, (start, end) in zip(events, times, strict=True)
            if end > 0
        ]
        return tuple(clip_events(moved, duration_s()))


SCENE: TaskType = _SceneType()
"""Clips have labels as a whole."""

REGRESSION: TaskType = _RegressionType()
"""Clips have one or several numbers as a whole; the vocabulary names what they are of."""

EVENT: TaskType = _EventType()
"""Labels have a start and an end within their clip."""

TASK_TYPES = (SCENE, REGRESSION, EVENT)
"""All kinds of task."""


def task_type(name: str, prediction: str | None = None) -> TaskType:
    """Looks up a kind of task by its name and by what is predicted.

    Args:
        prediction: A type of prediction. Without it, and for one that no kind of that name has,
            the first kind of that name is meant.

    Raises:
        UnknownNameError: There is no such kind of task.
    """
    named = [kind for kind in TASK_TYPES if kind.name == name]
    if named:
        return next((kind for kind in named if prediction in kind.prediction_types), named[0])
    known: list[str] = list(dict.fromkeys(kind.name for kind in TASK_TYPES))
    raise UnknownNameError(f"There is no kind of task named {name!r}. {did_you_mean(name, known)}")


def _is_label(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def _event(value: Any, where: str, problems: Problems) -> Event | None:
    if not isinstance(value, dict) or not {"label", "start", "end"} <= set(value):
        problems.add("events without label, start and end", f"{value!r} of {where}")
        return None
    label, start, end = value["label"], value["start"], value["end"]
    if not _is_label(label):
        problems.add("labels that are neither text nor integer", f"{label!r} of {where}")
        return None
    if not (_is_time(start) and _is_time(end)):
        problems.add(
            "events whose times are no milliseconds from 0 on", f"{start!r} to {end!r} of {where}"
        )
        return None
    if end < start:
        problems.add("events that end before they start", f"{start} to {end} ms of {where}")
    return Event(str(label), float(start), float(end))


def _value(value: Any, where: str, problems: Problems) -> Value | None:
    if not isinstance(value, dict) or not {"label", "value"} <= set(value):
        problems.add("targets without label and value", f"{value!r} of {where}")
        return None
    label, number = value["label"], value["value"]
    if not _is_label(label):
        problems.add("labels that are neither text nor integer", f"{label!r} of {where}")
        return None
    if (
        isinstance(number, bool)
        or not isinstance(number, (int, float))
        # An integer may be larger than any float.
        or not abs(number) <= sys.float_info.max
    ):
        problems.add("targets that are no finite number", f"{label} {number!r} of {where}")
        return None
    return Value(str(label), float(number))


def _is_time(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        # An integer may be larger than any float, which isfinite can't be asked about.
        and 0 <= value <= sys.float_info.max
    )
