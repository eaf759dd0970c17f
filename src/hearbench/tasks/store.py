"""Prepared tasks: finding, loading and resampling them.

A task is loaded from its folder, from its official ``.tar.gz``, or by its name from the cache.
All that is wrong with it is reported in one error.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soundfile

from hearbench.audio.decode import prepared_wav
from hearbench.audio.encode import write_wav16
from hearbench.audio.resample import resample16
from hearbench.digest import digest_json, short
from hearbench.errors import AudioError, TaskError
from hearbench.perturb import PERTURB_FORMAT, ClipSource, Perturbation
from hearbench.sums import SumsLog, read_sums
from hearbench.tasks.check import FolderContent, read_task_folder
from hearbench.tasks.clips import Event, Item, Value
from hearbench.tasks.inventory import changed_files, tell_damaged
from hearbench.tasks.locate import locate
from hearbench.tasks.parallel import in_threads
from hearbench.tasks.spec import TaskMetadata
from hearbench.tasks.task_type import EmbeddingType, Items, Targets, TaskType
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Disturbance",
    "FoldSplit",
    "PreparedTask",
    "disturbed",
    "load_task",
    "resampled_folder",
    "with_rate",
]

_REMEDY = "Mend these, or prepare or download the task again."


@dataclass(frozen=True)
class FoldSplit:
    """One training of the protocol.

    Attributes:
        test: The split that is scored.
        valid: The split that chooses.
        train: The splits that are learned from, in the metadata's order.
    """

    test: str
    valid: str
    train: tuple[str, ...]


@dataclass(frozen=True)
class Disturbance:
    """How the audio of a task's clips is disturbed before a model hears it.

    Attributes:
        task: The task as it came, with clean audio.
        training: Whether all clips are disturbed, and not only those that are scored.
    """

    task: PreparedTask
    perturbation: Perturbation
    training: bool = False

    def digest(self, of_task: str) -> str:
        """Digest of the disturbed content, by that of the task; no audio need be made for it."""
        return digest_json(
            {
                "task": of_task,
                "perturbation": self.perturbation.recipe,
                "format": PERTURB_FORMAT,
                "training": self.training,
            }
        )

    def apply(self, name: str, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """Disturbs a clip at the task's highest rate.

        Args:
            name: ``split/file``.
        """
        rate, clean = self.task.source_rate, self.task.audio_folders[self.task.source_rate]
        split = name.partition("/")[0]
        neighbors = [f"{split}/{other}" for other in self.task.splits[split]]
        neighbors.remove(name)

        def others(random: np.random.RandomState, n: int) -> list[npt.NDArray[np.int16]]:
            drawn = random.permutation(len(neighbors))[:n]
            return [_read_clip(clean / neighbors[i])[0] for i in drawn.tolist()]

        return self.perturbation.apply(samples, rate, ClipSource(self.task.name, name, others))


@dataclass(frozen=True, repr=False)
class PreparedTask:
    """A task on disk that has been checked.

    Attributes:
        folder: Its folder, ``.../<task>-<version>-<mode>``.
        metadata: Contents of ``task_metadata.json``.
        vocabulary: The labels in the order of their index.
        splits: Per split (in the metadata's order) and file name (in the file's order) the
            labels of a scene task, the numbers of a regression task, or the events of an event
            task.
        audio_folders: The folder of each sample rate in Hz, ascending; those that
            :func:`with_rate` made lie in the cache.
        audio_digests: Content digest of the audio per rate that the task came with.
        source_digest: SHA-256 over metadata, vocabulary, splits, captions and the audio of the
            highest rate that the task came with; it doesn't depend on where the task lies.
        captions: Per split and file name, the captions of clips that have some.
        disturbance: How its audio is disturbed; None of a task as it came.
    """

    folder: Path
    metadata: TaskMetadata
    vocabulary: tuple[str, ...]
    splits: Mapping[str, Mapping[str, Items]]
    audio_folders: Mapping[int, Path]
    audio_digests: Mapping[int, str]
    source_digest: str
    captions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    disturbance: Disturbance | None = None

    @property
    def name(self) -> str:
        """``<task_name>-<version>-<mode>``."""
        return self.metadata.name

    @property
    def title(self) -> str:
        """The name, and how the audio is disturbed: for messages."""
        if self.disturbance is None:
            return self.name
        return f"{self.name}, {self.disturbance.perturbation.name}"

    @property
    def clean(self) -> PreparedTask:
        """The task as it came: of a disturbed one that with clean audio, else itself."""
        return self if self.disturbance is None else self.disturbance.task

    @property
    def kind(self) -> EmbeddingType:
        """``"scene"`` or ``"event"``."""
        return self.metadata.embedding_type

    @property
    def task_type(self) -> TaskType:
        """`SCENE`, `REGRESSION` or `EVENT`."""
        return self.metadata.task_type

    @property
    def sample_rates(self) -> tuple[int, ...]:
        """The rates in Hz of its audio, ascending."""
        return tuple(sorted(self.audio_folders))

    @property
    def source_rate(self) -> int:
        """The highest rate in Hz that the task came with; others are resampled from it."""
        return max(self.audio_digests)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their index."""
        return self.vocabulary

    @property
    def n_clips(self) -> int:
        """The number of clips in all splits."""
        return sum(len(files) for files in self.splits.values())

    @functools.cached_property
    def duration_s(self) -> float:
        """Length of all clips together, in seconds."""
        rate = self.source_rate
        paths = [path for split in self.splits for path in self.audio_paths(split, rate)]
        n_samples: int = sum(soundfile.info(str(path)).frames for path in paths)
        return n_samples / rate

    def clips(self) -> pd.DataFrame:
        """All clips: a frame with the columns ``split``, ``clip``, ``labels`` and ``path``.

        ``labels`` holds a tuple per clip: its labels, or its events in an event task. ``path`` is
        the audio at the highest rate.
        """
        import pandas as pd

        rows = [
            (split, name, labels, str(path))
            for split, files in self.splits.items()
            for (name, labels), path in zip(
                files.items(), self.audio_paths(split, self.source_rate), strict=True
            )
        ]
        frame: pd.DataFrame = pd.DataFrame(rows, columns=["split", "clip", "labels", "path"])
        return frame

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {len(files)}" for name, files in self.splits.items())
        n_captioned = sum(len(files) for files in self.captions.values())
        lines = [
            f"Task {self.name}: {self.n_clips} clips, {len(self.vocabulary)} labels, {self.kind}, "
            f"{self.metadata.prediction_type}",
            f"splits: {splits}",
            f"scores: {', '.join(self.metadata.evaluation)}",
            *([f"captions: of {n_captioned} clips"] if n_captioned else []),
            f"audio: {', '.join(f'{rate} Hz' for rate in self.sample_rates)}",
            f"folder: {self.folder}",
        ]
        return "\n".join(line if len(line) <= 100 else f"{line[:97]}..." for line in lines)

    def folds(self) -> tuple[FoldSplit, ...]:
        """The trainings of the protocol.

        With train, valid and test there is one. With k folds there are k: fold i is the test,
        the next one (after the last the first) validates, the rest trains.
        """
        if self.metadata.split_mode == "trainvaltest":
            return (FoldSplit("test", "valid", ("train",)),)
        names = self.metadata.splits
        folds = []
        for i, test in enumerate(names):
            valid = names[(i + 1) % len(names)]
            train = tuple(name for name in names if name not in {test, valid})
            folds.append(FoldSplit(test, valid, train))
        return tuple(folds)

    def audio_paths(self, split: str, sample_rate: int) -> list[Path]:
        """The audio files of a split at a rate in Hz, in the order of the split's file.

        Raises:
            TaskError: There is no such split, or the rate isn't there (see :func:`with_rate`).
        """
        if sample_rate not in self.audio_folders:
            raise TaskError(
                f"{self.name} has no audio at {sample_rate} Hz, only at "
                f"{', '.join(map(str, self.sample_rates))} Hz; make it with with_rate()."
            )
        folder = self.audio_folders[sample_rate] / split
        return [folder / name for name in self._files(split)]

    def targets(self, split: str) -> Targets:
        """What a probe of clips learns to predict of a split, of shape (n_clips, n_labels).

        Labels are multi-hot, uint8; the numbers of a regression task are float64.

        Raises:
            TaskError: It is an event task, or there is no such split.
        """
        return self.task_type.targets(self._files(split), self.vocabulary)

    def digest(self, sample_rate: int) -> str:
        """Digest of the task's content as heard at a rate in Hz, there or yet to be resampled."""
        if self.disturbance is not None:
            return self.disturbance.digest(self.clean.digest(sample_rate))
        native = sample_rate in self.audio_digests
        return digest_json(
            {
                "source": self.source_digest,
                "sample_rate": sample_rate,
                "taken_from": sample_rate if native else self.source_rate,
                "audio": self.audio_digests[sample_rate if native else self.source_rate],
            }
        )

    def _files(self, split: str) -> Mapping[str, Items]:
        if split not in self.splits:
            raise TaskError(
                f"{self.name} has no split {split!r}; there are {', '.join(self.splits)}."
            )
        return self.splits[split]


def load_task(
    path_or_name: str | Path,
    *,
    workspace: Workspace | None = None,
    sample_rate: int | None = None,
    download: bool = True,
) -> PreparedTask:
    """Loads a prepared task in the official layout and checks all of it.

    Args:
        path_or_name: A task's folder; a folder with exactly one task below it; an official
            ``.tar.gz`` (unpacked once into the cache); the name of a task in the cache; or the
            name of one in the catalog, with ``-<mode>`` for another mode than its usual one.
        workspace: Where the cache is; by default from the environment.
        sample_rate: A rate in Hz that the audio must have, resampled if need be.
        download: Whether a task of the catalog that isn't in the cache is downloaded, if the
            benchmark publishes it.

    Raises:
        TaskError: Nothing there, or something is wrong; the message lists all of it.
        UnknownNameError: No task of that name is in the cache or the catalog.
        DownloadError: The task can't be downloaded.
    """
    workspace = workspace or Workspace.from_environment()
    fetch = partial(_download, workspace=workspace) if download else None
    task = _checked(path_or_name, workspace, fetch)
    return task if sample_rate is None else with_rate(task, sample_rate, workspace=workspace)


def _download(folder_name: str, *, workspace: Workspace) -> Path:
    # Only needed for downloads, which bring the network's libraries along.
    from hearbench.tasks.ready_made import fetch_ready_made

    return fetch_ready_made(folder_name, workspace=workspace)


def _checked(
    path_or_name: str | Path, workspace: Workspace, fetch: Callable[[str], Path] | None
) -> PreparedTask:
    place = locate(path_or_name, workspace, fetch)
    content = read_task_folder(place.folder, workspace)
    content.problems.merge(place.problems)
    if content.problems or content.metadata is None:
        raise content.problems.error(f"The task {place.shown} can't be used; wrong are:", _REMEDY)
    digests = {
        rate: digest_json([[name, fact.digest] for name, fact in sorted(files.items())])
        for rate, files in content.audio.items()
    }
    return PreparedTask(
        folder=place.folder,
        metadata=content.metadata,
        vocabulary=content.vocabulary,
        splits=content.splits,
        audio_folders={rate: place.folder / str(rate) for rate in sorted(digests)},
        audio_digests=digests,
        source_digest=_source_digest(content, content.metadata, digests),
        captions=content.captions,
    )


def _source_digest(content: FolderContent, metadata: TaskMetadata, audio: Mapping[int, str]) -> str:
    rate = max(audio)
    # Left out where there are none, so that other tasks keep their digest.
    captions = {"captions": content.captions} if content.captions else {}
    return digest_json(
        {
            **captions,
            "metadata": metadata.model_dump(mode="json"),
            "vocabulary": content.vocabulary,
            "splits": [
                [
                    split,
                    [[name, [_item_json(item) for item in items]] for name, items in files.items()],
                ]
                for split, files in content.splits.items()
            ],
            "sample_rate": rate,
            "audio": audio[rate],
        }
    )


def _item_json(item: Item) -> str | list[str | float]:
    if isinstance(item, Event):
        return [item.label, item.start_ms, item.end_ms]
    return [item.label, item.value] if isinstance(item, Value) else item


def resampled_folder(task: PreparedTask, sample_rate: int, workspace: Workspace) -> Path:
    """The folder in the cache for a task's audio at a rate in Hz that it came without."""
    digest = short(task.source_digest)
    kind = "resampled" if task.disturbance is None else "disturbed"
    return workspace.path(kind, f"{task.name}-{digest}", str(sample_rate))


def disturbed(
    task: PreparedTask, perturbation: Perturbation, *, training: bool = False
) -> PreparedTask:
    """The same task with its audio disturbed; the audio is made when a rate is asked for.

    Clips are disturbed at the highest rate that the task came with, and then resampled: every
    model hears the same disturbed recording. They keep their length. Events move along where a
    perturbation moves them.

    Args:
        training: Whether all clips are disturbed. By default it has the clips that are scored
            alone.

    Raises:
        AudioError: A clip can't be read, whose length is needed to move its events.
    """
    tests = {fold.test for fold in task.folds()}
    disturbance = Disturbance(task, perturbation, training)
    splits = {
        split: {
            name: task.task_type.moved(items, perturbation.moved_ms, partial(_length_s, path))
            for (name, items), path in zip(
                files.items(), task.audio_paths(split, task.source_rate), strict=True
            )
        }
        for split, files in task.splits.items()
        if training or split in tests
    }
    return dataclasses.replace(
        task,
        splits=splits,
        audio_folders={},
        source_digest=disturbance.digest(task.source_digest),
        disturbance=disturbance,
    )


def _length_s(path: Path) -> float:
    return float(soundfile.info(str(path)).duration)


def _read_clip(path: Path) -> tuple[npt.NDArray[np.int16], int]:
    try:
        return prepared_wav(path, path.read_bytes())
    except OSError as error:
        raise AudioError(f"{path} can't be read: {error.strerror}.", code="io") from error


def with_rate(
    task: PreparedTask,
    sample_rate: int,
    *,
    workspace: Workspace | None = None,
) -> PreparedTask:
    """The same task with audio at a rate: itself if it has that, else resampled.

    The audio is resampled from the highest rate that the task came with, into the cache, in
    threads. A list beside it has the content digest of every file; those that are there and have
    it stay, so an interrupted call is finished by the next, and what is damaged is made again.

    Args:
        sample_rate: The rate wanted, in Hz.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Raises:
        TaskError: The rate is not positive, or some audio can't be read any more.
    """
    if sample_rate in task.audio_folders:
        return task
    if sample_rate <= 0:
        raise TaskError(f"A sample rate is a positive number of Hz, got {sample_rate}.")
    workspace = workspace or Workspace.from_environment()
    source = task.clean.audio_folders[task.source_rate]
    target = resampled_folder(task, sample_rate, workspace)
    names = [f"{split}/{name}" for split, files in task.splits.items() for name in files]

    def resample(name: str) -> None:
        x, rate = _read_clip(source / name)
        if task.disturbance is not None:
            x = task.disturbance.apply(name, x)
        x = resample16(x, rate, sample_rate)
        log.add(name, write_wav16(target / name, x, sample_rate, durable=False))

    listed = read_sums(target)
    expected = {name: listed[name] for name in names if name in listed}
    damaged = changed_files(target, expected, workspace)
    tell_damaged([target / name for name in damaged if (target / name).exists()], "made again")
    missing = [*damaged, *(name for name in names if name not in expected)]
    try:
        if missing:
            what = "resampling to" if task.disturbance is None else "disturbing at"
            title = f"{task.title}: {what} {sample_rate} Hz"
            with SumsLog(target) as log, workspace.progress.stage(title, "files") as update:
                in_threads(resample, missing, workers=workspace.workers, update=update)
    except AudioError as error:
        raise TaskError(f"{task.title} can't be had at {sample_rate} Hz: {error}") from error
    folders = {**task.audio_folders, sample_rate: target}
    return dataclasses.replace(
        task, audio_folders={rate: folders[rate] for rate in sorted(folders)}
    )
