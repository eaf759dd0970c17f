"""Statistics of a prepared task: clips, durations, labels and events of every split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.audio.decode import read_float32
from hearbench.errors import AudioError, TaskError
from hearbench.tasks.clips import Event, label_of
from hearbench.tasks.parallel import in_threads
from hearbench.tasks.spec import SplitMode
from hearbench.tasks.store import PreparedTask
from hearbench.tasks.task_type import (
    EVENT,
    REGRESSION,
    SCENE,
    EmbeddingType,
    Items,
    PredictionType,
    TaskType,
    task_type,
)
from hearbench.workspace import Workspace

__all__ = [
    "Durations",
    "EventStats",
    "SplitStats",
    "Spread",
    "TaskStats",
    "task_stats",
]

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


def _event_stats(
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


@dataclass(frozen=True)
class SplitStats:
    """One split.

    Attributes:
        hours: Duration of all of them, in h.
        unlabelled: Clips without a label or event.
        labels_per_clip: Mean number of different labels of a clip.
        silent: Names of the clips all of whose samples are 0; None where the audio wasn't read.
        events: None for a scene task.
    """

    name: str
    clips: int
    hours: float
    duration: Spread
    unlabelled: int
    labels_per_clip: float
    silent: tuple[str, ...] | None
    events: EventStats | None

    def to_json(self) -> dict[str, Any]:
        """Converts to values of JSON."""
        return {
            "name": self.name,
            "clips": self.clips,
            "hours": self.hours,
            "duration": self.duration.to_json(),
            "unlabelled": self.unlabelled,
            "labels_per_clip": self.labels_per_clip,
            "silent": None if self.silent is None else list(self.silent),
            "events": None if self.events is None else self.events.to_json(),
        }


@dataclass(frozen=True, eq=False)
class TaskStats:
    """A task.

    Attributes:
        name: ``<task>-<version>-<mode>``.
        scores: Names of its scores, the one to optimise first.
        sample_rates: The rates in Hz of its audio, ascending.
        sample_duration_s: Length in s that the task says all clips have; None where they vary.
        splits: The splits, in the metadata's order.
        labels: The vocabulary, in the order of the index.
        counts: Clips that have a label, or events of that label in an event task, int64 of shape
            (n_splits, n_labels).
        durations_s: Durations in s of the clips of each split, (n_clips,).
        event_durations_s: Durations in s of the events of each split, (n_events,); empty for a
            scene task.
    """

    name: str
    kind: EmbeddingType
    prediction_type: PredictionType
    split_mode: SplitMode
    scores: tuple[str, ...]
    sample_rates: tuple[int, ...]
    sample_duration_s: float | None
    splits: tuple[SplitStats, ...]
    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    durations_s: tuple[Durations, ...]
    event_durations_s: tuple[Durations, ...]

    @property
    def task_type(self) -> TaskType:
        """The kind of task."""
        return task_type(self.kind, self.prediction_type)

    @property
    def noun(self) -> str:
        """What it is: ``multiclass scene task``."""
        noun = self.task_type.noun.split(maxsplit=1)[1]
        return noun if noun.startswith(self.prediction_type) else f"{self.prediction_type} {noun}"

    @property
    def counted(self) -> str:
        """The unit of `counts`: ``"clips"`` or ``"events"``."""
        return self.task_type.counted

    @property
    def clips(self) -> int:
        """The number of clips in all splits."""
        return sum(split.clips for split in self.splits)

    @property
    def hours(self) -> float:
        """Duration of all clips, in h."""
        return sum(split.hours for split in self.splits)

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """Per split that lacks some, the labels that none of its clips has."""
        return {
            split.name: tuple(self.labels[i] for i in np.flatnonzero(row == 0))
            for split, row in zip(self.splits, self.counts, strict=True)
            if (row == 0).any()
        }

    @property
    def imbalance(self) -> float | None:
        """The ratio of the counts of the most frequent and the rarest label.

        None where a label is nowhere at all.
        """
        totals = self.counts.sum(axis=0)
        return None if totals.min() == 0 else float(totals.max() / totals.min())

    def by_frequency(self) -> list[int]:
        """Positions of the labels in the vocabulary, the most frequent of all splits first."""
        return [int(i) for i in np.argsort(-self.counts.sum(axis=0), kind="stable")]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON, but for the durations of single clips and events."""
        names = [split.name for split in self.splits]
        return {
            "name": self.name,
            "kind": self.kind,
            "prediction_type": self.prediction_type,
            "split_mode": self.split_mode,
            "scores": list(self.scores),
            "sample_rates": list(self.sample_rates),
            "sample_duration_s": self.sample_duration_s,
            "clips": self.clips,
            "hours": self.hours,
            "splits": [split.to_json() for split in self.splits],
            "counted": self.counted,
            "labels": {
                label: dict(zip(names, column, strict=True))
                for label, column in zip(self.labels, self.counts.T.tolist(), strict=True)
            },
            "missing": {split: list(labels) for split, labels in self.missing.items()},
            "imbalance": self.imbalance,
        }


def task_stats(
    task: PreparedTask,
    *,
    listen: bool = False,
    workspace: Workspace | None = None,
) -> TaskStats:
    """Counts what a task is made of.

    Durations are read out of the headers of the audio at the rate that the task came with.

    Args:
        listen: Reads all audio as well, at the lowest rate, to find silent clips.
        workspace: How many threads, and who shows progress; by default from the environment.

    Raises:
        TaskError: Some audio can't be read any more.
    """
    workspace = workspace or Workspace.from_environment()
    rate = task.source_rate
    paths = [path for split in task.splits for path in task.audio_paths(split, rate)]
    quickest = min(task.sample_rates)
    heard = [path for split in task.splits for path in task.audio_paths(split, quickest)]

    def look(item: tuple[Path, Path]) -> tuple[float, bool]:
        path, to_hear = item
        return _duration_s(path), listen and not read_float32(to_hear).any()

    pairs = list(zip(paths, heard, strict=True))
    try:
        with workspace.progress.stage(f"{task.name}: looking at the clips", "clips") as update:
            facts = in_threads(look, pairs, workers=workspace.workers, update=update)
    except AudioError as error:
        raise TaskError(f"{task.name} can't be counted: {error}") from error
    index = {label: i for i, label in enumerate(task.vocabulary)}
    splits: list[SplitStats] = []
    durations: list[Durations] = []
    event_durations: list[Durations] = []
    counts = np.zeros((len(task.splits), len(task.vocabulary)), dtype=np.int64)
    begin = 0
    for row, (name, files) in enumerate(task.splits.items()):
        part = facts[begin : begin + len(files)]
        begin += len(files)
        durations_s = np.array([duration_s for duration_s, _ in part])
        silent = tuple(name for name, (_, quiet) in zip(files, part, strict=True) if quiet)
        for items in files.values():
            for item in items:
                counts[row, index[label_of(item)]] += 1
        events, lengths = _EVENT_STATS[task.task_type](files, durations_s)
        durations.append(durations_s)
        event_durations.append(lengths)
        splits.append(
            SplitStats(
                name=name,
                clips=len(files),
                hours=float(durations_s.sum()) / 3600,
                duration=Spread.of(durations_s),
                unlabelled=sum(not items for items in files.values()),
                labels_per_clip=sum(map(_different, files.values())) / len(files),
                silent=silent if listen else None,
                events=events,
            )
        )
    metadata = task.metadata
    return TaskStats(
        name=task.name,
        kind=task.kind,
        prediction_type=metadata.prediction_type,
        split_mode=metadata.split_mode,
        scores=metadata.evaluation,
        sample_rates=task.sample_rates,
        sample_duration_s=metadata.sample_duration,
        splits=tuple(splits),
        labels=task.vocabulary,
        counts=counts,
        durations_s=tuple(durations),
        event_durations_s=tuple(event_durations),
    )


_EVENT_STATS: dict[TaskType, Callable[..., tuple[EventStats | None, Durations]]] = {
    SCENE: lambda *_: (None, np.empty(0)),
    REGRESSION: lambda *_: (None, np.empty(0)),
    EVENT: _event_stats,
}


def _duration_s(path: Path) -> float:
    import soundfile

    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be read: {error.error_string}") from error
    return float(info.frames / info.samplerate)


def _different(items: Items) -> int:
    return len({label_of(item) for item in items})
