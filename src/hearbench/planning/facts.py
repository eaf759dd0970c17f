"""What has to be known of a task to say what evaluating it takes.

A prepared task is looked at from outside: its JSON files and the sizes of its audio, which takes
seconds where checking all audio takes minutes. Of a task that isn't here the catalog's numbers
serve.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hearbench.errors import TaskError
from hearbench.files import SYNTAX_ERRORS
from hearbench.tasks.catalog import ModeSpec, TaskSpec, catalog_task
from hearbench.tasks.check import METADATA, VOCABULARY
from hearbench.tasks.locate import TASKS_FOLDER, locate
from hearbench.tasks.spec import TaskMetadata
from hearbench.tasks.splits import TRAIN_VALID_TEST
from hearbench.workspace import Workspace, user_path

__all__ = ["FoldSizes", "TaskFacts", "benchmark_tasks", "n_labels_of", "task_facts"]

_FILES = TypeAdapter(dict[str, Any])
_WAV_HEADER_BYTES = 44
_BYTES_PER_SAMPLE = 2
_PUBLISHED_RATE = 48000
_USUAL_PERCENTAGES: Mapping[str, float] = {"train": 80, "valid": 10, "test": 10}

_LABELS_IF_UNKNOWN = 50
# Events per second of audio where the events aren't here: piano music, and anything else.
_EVENTS_PER_S: Mapping[str, float] = {"maestro": 10.0}
_EVENTS_PER_S_ELSE = 1.0

_N_LABELS: Mapping[str, int] = {
    # By the rule that labels them: the keys of a piano; the microphones that recorded; ten words,
    # any other word, and silence.
    "gunshot_triangulation": 4,
    "maestro": 88,
    "speech_commands": 12,
    "tfds_speech_commands": 12,
    # As in the vocabulary of the corpus or, where it has them all, of the task's small mode.
    "beehive_states_fold0": 2,
    "beehive_states_fold1": 2,
    "beijing_opera": 4,
    "coughvid": 3,
    "dcase2016_task2": 11,
    "fsd50k": 200,
    "mridangam_tonic": 6,
    "spoken_digit": 10,
    "tfds_crema_d": 6,
    "tfds_gtzan_music_speech": 2,
    # As the catalog describes the corpora, not counted in them.
    "esc50": 50,
    "libricount": 11,
    "mridangam_stroke": 10,
    "tfds_gtzan": 10,
    "vocal_imitation": 302,
}


@dataclass(frozen=True)
class FoldSizes:
    """Clips of one training of the protocol."""

    train: int
    valid: int
    test: int


@dataclass(frozen=True)
class TaskFacts:
    """A task as far as its costs depend on it.

    Attributes:
        metadata: As ``task_metadata.json`` says, or would say.
        split_sizes: Clips by split, in the order of the metadata.
        folds: The trainings of the protocol.
        clip_s: Length of a clip in seconds; the mean where they differ.
        events_per_s: Of an event task, events per second of audio.
        source_rate: The highest rate in Hz of the audio that exists here or is published.
        rates_here: The rates in Hz whose audio exists here.
        folder: None if it doesn't exist here.
        ready_made: Whether the benchmark publishes it.
        archive_bytes: Size of the published archive where that is known.
        assumed: Which of these numbers aren't known but assumed, in words.
    """

    metadata: TaskMetadata
    n_labels: int
    split_sizes: Mapping[str, int]
    folds: tuple[FoldSizes, ...]
    clip_s: float
    events_per_s: float
    source_rate: int
    rates_here: tuple[int, ...] = ()
    folder: Path | None = None
    ready_made: bool = False
    archive_bytes: int | None = None
    assumed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``<task>-<version>-<mode>``."""
        return self.metadata.name

    @property
    def kind(self) -> str:
        """``scene`` or ``event``."""
        return self.metadata.embedding_type

    @property
    def n_clips(self) -> int:
        """Clips of all splits."""
        return sum(self.split_sizes.values())

    @property
    def audio_s(self) -> float:
        """Seconds of audio of all clips."""
        return self.n_clips * self.clip_s

    def audio_bytes(self, sample_rate: int) -> int:
        """Of all clips as 16-bit mono WAV at a rate in Hz."""
        samples = self.audio_s * sample_rate * _BYTES_PER_SAMPLE
        return round(samples) + _WAV_HEADER_BYTES * self.n_clips


def benchmark_tasks() -> tuple[str, ...]:
    """The tasks of the leaderboard, by the names of their folders."""
    from hearbench.tasks.ready_made import ready_made_names

    return ready_made_names()


def task_facts(text: str, workspace: Workspace) -> TaskFacts:
    """What is known of a task that a user names.

    Args:
        text: A folder, an archive (unpacked into the cache if it isn't yet), or a name in the
            cache or the catalog. Nothing is downloaded.

    Raises:
        TaskError: There is nothing, or it can't be read; or the catalog doesn't know how many
            clips it has.
        UnknownNameError: No task has that name.
    """
    named = None if user_path(text).exists() else catalog_task(text)
    if named is not None:
        spec, mode = named
        folder = workspace.path(TASKS_FOLDER, spec.folder_name(mode))
        if not (folder / METADATA).is_file():
            return _of_catalog(spec, mode, workspace)
    return _of_folder(locate(text, workspace).folder)


def _of_folder(folder: Path) -> TaskFacts:
    try:
        metadata = TaskMetadata.model_validate_json((folder / METADATA).read_bytes())
        splits = {
            split: _FILES.validate_python(json.loads((folder / f"{split}.json").read_bytes()))
            for split in metadata.splits
        }
        with (folder / VOCABULARY).open(encoding="utf-8", newline="") as file:
            n_labels = sum(1 for _ in csv.DictReader(file))
        rates = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
        if not rates:
            raise TaskError(f"{folder} has no folder of audio, named by its rate in Hz.")
        sizes = {split: len(files) for split, files in splits.items()}
        clip_s = metadata.sample_duration or _mean_duration_s(folder, rates[-1], splits)
        n_events = _events(splits) if metadata.embedding_type == "event" else 0
    except (OSError, *SYNTAX_ERRORS, TypeError, csv.Error) as error:
        raise TaskError(
            f"The task {folder} can't be read: {error}. Prepare or download it again."
        ) from error
    folds = _folds(sizes, kfold=metadata.split_mode != "trainvaltest")
    if not all(fold.train and fold.valid and fold.test for fold in folds):
        raise TaskError(
            f"The task {folder} has no clips to train, validate or test on. Prepare or download "
            "it again."
        )
    n_clips = sum(sizes.values())
    return TaskFacts(
        metadata=metadata,
        n_labels=n_labels,
        split_sizes=sizes,
        folds=folds,
        clip_s=clip_s,
        events_per_s=n_events / (n_clips * clip_s),
        source_rate=rates[-1],
        rates_here=tuple(rates),
        folder=folder,
    )


def _mean_duration_s(folder: Path, rate: int, splits: Mapping[str, Mapping[str, Any]]) -> float:
    sizes = [
        (folder / str(rate) / split / name).stat().st_size
        for split, files in splits.items()
        for name in files
    ]
    samples = sum(size - _WAV_HEADER_BYTES for size in sizes) / _BYTES_PER_SAMPLE
    return max(1, samples) / (rate * max(1, len(sizes)))


def _events(splits: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(len(events) for files in splits.values() for events in files.values())


def _folds(sizes: Mapping[str, int], *, kfold: bool) -> tuple[FoldSizes, ...]:
    """As `hearbench.tasks.store.PreparedTask.folds`, in numbers."""
    if not kfold:
        return (FoldSizes(*(sizes.get(split, 0) for split in TRAIN_VALID_TEST)),)
    counts = list(sizes.values())
    total = sum(counts)
    folds = []
    for i, test in enumerate(counts):
        valid = counts[(i + 1) % len(counts)]
        folds.append(FoldSizes(total - test - valid, valid, test))
    return tuple(folds)


def _of_catalog(spec: TaskSpec, mode: str, workspace: Workspace) -> TaskFacts:
    from hearbench.tasks.ready_made import ready_made_file

    chosen, duration_s, hours = spec.mode(mode), spec.duration_of(mode), spec.hours_of(mode)
    name = spec.folder_name(mode)
    if chosen.clips is None or (duration_s is None and hours is None):
        raise TaskError(
            f"{name} isn't here, and the catalog doesn't say how many clips it has. Download or "
            f"prepare it first: hearbench prepare {spec.name} --mode {mode}"
        )
    clip_s = duration_s if duration_s is not None else 3600 * (hours or 0.0) / chosen.clips
    assumed = []
    n_labels = n_labels_of(spec)
    if n_labels is None:
        n_labels = _LABELS_IF_UNKNOWN
        assumed.append(f"{n_labels} labels")
    kfold = spec.split_mode != "trainvaltest"
    sizes = (
        _equal_sizes(chosen.clips, chosen.nfolds or spec.nfolds or 1)
        if kfold
        else _cut_sizes(chosen.clips, chosen, clip_s)
    )
    if not kfold and chosen.max_duration_s is None:
        assumed.append("the sizes of the splits")
    if spec.embedding_type == "event":
        assumed.append("how many events there are")
    ready_made = name in benchmark_tasks()
    recipe = spec.recipe(mode, (_PUBLISHED_RATE,))
    return TaskFacts(
        metadata=TaskMetadata.model_validate(recipe.metadata(tuple(sizes))),
        n_labels=n_labels,
        split_sizes=sizes,
        folds=_folds(sizes, kfold=kfold),
        clip_s=clip_s,
        events_per_s=_EVENTS_PER_S.get(spec.name, _EVENTS_PER_S_ELSE)
        if spec.embedding_type == "event"
        else 0.0,
        source_rate=_PUBLISHED_RATE,
        ready_made=ready_made,
        archive_bytes=ready_made_file(name, workspace).size_bytes if ready_made else None,
        assumed=tuple(assumed),
    )


def _equal_sizes(n_clips: int, n_folds: int) -> dict[str, int]:
    return {
        f"fold{i:02d}": n_clips * (i + 1) // n_folds - n_clips * i // n_folds
        for i in range(n_folds)
    }


def _cut_sizes(n_clips: int, mode: ModeSpec, clip_s: float) -> dict[str, int]:
    """By the durations that are kept of each split where the mode says, or by percentages."""
    limits: Mapping[Any, float] = (
        mode.max_duration_s if isinstance(mode.max_duration_s, dict) else {}
    )
    if {"train", "valid"} <= set(limits):
        left, sizes = n_clips, {}
        for split in TRAIN_VALID_TEST:
            sizes[split] = int(min(left, limits.get(split, math.inf) / clip_s))
            left -= sizes[split]
        sizes["train"] += left
        return sizes
    percentages: Mapping[Any, float] = mode.split_percentage or _USUAL_PERCENTAGES
    sizes = {split: int(n_clips * percentages[split] / 100) for split in ("valid", "test")}
    return {"train": n_clips - sum(sizes.values()), **sizes}


def n_labels_of(spec: TaskSpec) -> int | None:
    """Size of a task's vocabulary in its full modes; None where it isn't known."""
    lowest, highest = (spec.options.get(name) for name in ("pitch_min", "pitch_max"))
    if isinstance(lowest, int) and isinstance(highest, int):
        return highest - lowest + 1
    languages = spec.options.get("languages")
    return languages if isinstance(languages, int) else _N_LABELS.get(spec.name)
