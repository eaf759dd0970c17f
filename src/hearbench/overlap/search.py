"""Copies of a task's test clips among other audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.errors import AudioError, HearError
from hearbench.overlap.fingerprint import (
    FRAME,
    HOP,
    KEY_FRAMES,
    RATE,
    Floats,
    keys_of,
    read_at_rate,
)
from hearbench.overlap.matching import Agreement, agreement, compared_band
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace

__all__ = ["AUDIO_SUFFIXES", "ClipIndex", "Copy", "Overlap", "audio_files", "find_overlap"]

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav"}
    | {".webm", ".wma"}
)
"""Endings of the files that are looked at, in lower case."""

# Frames below the loudest by more are covered by noise in most copies.
_RANGE_DB = 40.0
_STRIDE = 2
# A key that so many clips have, as those of tones and hum, tells none from the others.
_MOST_ENTRIES = 200
_PIECE = 30 * RATE  # samples whose keys are looked up at once
_BIN = 4  # frames in which places are the same
_FEWEST_HITS = 4
_MOST_CANDIDATES = 16
# Samples by which two places of one clip are the same.
_SAME_PLACE = RATE // 20


@dataclass(frozen=True)
class Copy:
    """A test clip, or a part of it, found in another file.

    Attributes:
        file: The file, relative to the folder that was searched.
        offset_s: Where the copy begins in the file, in seconds.
        clip: Split and name of the test clip, as ``"test/a.wav"``.
        share: Of the clip's sound, by time: in 0 to 1.
        score: Correlation of the waveforms where they agree, in 0.6 to 1.
    """

    file: str
    offset_s: float
    clip: str
    share: float
    score: float


@dataclass(frozen=True)
class Overlap:
    """What a search for test clips found.

    Attributes:
        task: Name of the task.
        n_clips: How many test clips were looked for.
        unfit: Test clips that can't be found: silent, shorter than half a second, or of nothing
            but tones that many have.
        n_files: How many files were searched.
        copies: By file and place.
        unread: Files that couldn't be read, and why.
    """

    task: str
    n_clips: int
    unfit: tuple[str, ...]
    n_files: int
    copies: tuple[Copy, ...]
    unread: dict[str, str]

    @property
    def clips(self) -> tuple[str, ...]:
        """The test clips of which there is a copy, in order."""
        return tuple(sorted({copy.clip for copy in self.copies}))


class ClipIndex:
    """Fingerprints of clips, to look others' up in.

    Args:
        paths: The clips' audio.
        workspace: Shows how far it is.

    Raises:
        AudioError: A clip can't be read.
    """

    def __init__(self, paths: Sequence[Path], workspace: Workspace) -> None:
        self._paths = tuple(paths)
        values, frames, clips = [], [], []
        with workspace.progress.stage("fingerprints of test clips", "clips") as update:
            for i, path in enumerate(self._paths):
                update(i, len(self._paths))
                keys = keys_of(read_at_rate(path), range_db=_RANGE_DB, stride=_STRIDE)
                values.append(keys.values)
                frames.append(keys.frames)
                clips.append(np.full(len(keys.values), i, np.int32))
        all_values = np.concatenate(values) if values else np.empty(0, np.uint32)
        order = np.argsort(all_values, kind="stable")
        self._values = all_values[order]
        self._frames = np.concatenate(frames)[order] if frames else np.empty(0, np.int32)
        self._clips = np.concatenate(clips)[order] if clips else np.empty(0, np.int32)

    @property
    def unfit(self) -> list[int]:
        """Numbers of the clips without a key that could find them."""
        _, which, counts = np.unique(self._values, return_inverse=True, return_counts=True)
        usable = np.bincount(
            self._clips[counts[which] <= _MOST_ENTRIES], minlength=len(self._paths)
        )
        return [int(i) for i in np.flatnonzero(usable < _FEWEST_HITS)]

    def find(self, audio: Floats) -> list[tuple[int, Agreement]]:
        """Finds clips in audio at `RATE`, by the clips' numbers."""
        found: list[tuple[int, Agreement]] = []
        recording: Floats | None = None
        overlap = FRAME + KEY_FRAMES * HOP
        for begin in range(0, max(len(audio) - overlap, 0) + 1, _PIECE):
            piece = audio[begin : begin + _PIECE + overlap]
            for clip, offset, part in self._candidates(piece):
                if recording is None:
                    recording = compared_band(audio)
                one = agreement(
                    compared_band(read_at_rate(self._paths[clip])), recording, begin + offset, part
                )
                if one is not None and not any(
                    other == clip and abs(one.offset - there.offset) < _SAME_PLACE
                    for other, there in found
                ):
                    found.append((clip, one))
        return found

    def _candidates(self, piece: Floats) -> Iterator[tuple[int, int, slice]]:
        """Clips that may be in a piece, where they begin in it, and the part that is there."""
        keys = keys_of(piece, n_doubtful=2)
        first = np.searchsorted(self._values, keys.values, "left")
        n = np.searchsorted(self._values, keys.values, "right") - first
        n[n > _MOST_ENTRIES] = 0
        if not n.any():
            return
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        entries = np.repeat(first, n) + within
        frames = self._frames[entries].astype(np.int64)
        starts = np.repeat(keys.frames, n) - frames
        # One number of clip and place; no clip or piece has so many frames.
        bins = (self._clips[entries].astype(np.int64) << 32) + (starts // _BIN + (1 << 31))
        places, which, counts = np.unique(bins, return_inverse=True, return_counts=True)
        beside = np.zeros_like(counts)
        adjacent = np.flatnonzero(np.diff(places) == 1)
        beside[adjacent] += counts[adjacent + 1]
        beside[adjacent + 1] = np.maximum(beside[adjacent + 1], counts[adjacent])
        hits = counts + beside
        n_given = 0
        given: set[int] = set()
        for i in np.argsort(-hits, kind="stable"):
            if hits[i] < _FEWEST_HITS or n_given == _MOST_CANDIDATES:
                return
            if given & {int(places[i]) + d for d in (-1, 0, 1)}:
                continue
            given.add(int(places[i]))
            n_given += 1
            mine: npt.NDArray[np.bool_] = which == i
            yield (
                int(places[i] >> 32),
                int(np.median(starts[mine])) * HOP,
                slice(
                    int(frames[mine].min()) * HOP,
                    (int(frames[mine].max()) + KEY_FRAMES) * HOP + FRAME,
                ),
            )


def audio_files(folder: Path) -> list[Path]:
    """The audio files of a folder and all below it, by their names' endings.

    Raises:
        HearError: There is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise HearError(f"{folder} is no folder; name one with audio files.", code="not_found")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    )
    if not paths:
        raise HearError(
            f"{folder} has no audio files ({', '.join(sorted(AUDIO_SUFFIXES))}), nor have the "
            "folders in it."
        )
    return paths


def find_overlap(folder: Path, task: PreparedTask, workspace: Workspace) -> Overlap:
    """Finds copies of a task's test clips in a folder of audio, as a training set.

    Copies may be cut to a part, coded, louder or quieter, resampled and somewhat noisy, and within
    longer files. Sounds that are played faster, at another pitch, or recorded again aren't found.
    One file after the other is compared with an index of the test clips; so what it takes of memory
    depends on the task and on the longest file, and not on how many files there are.

    Args:
        folder: Searched with all below it.
        workspace: Shows how far it is.

    Raises:
        HearError: There is no audio in the folder.
        AudioError: A test clip can't be read.
    """
    paths = audio_files(folder)
    rate = min((r for r in task.sample_rates if r >= RATE), default=max(task.sample_rates))
    tests = [(split, path) for split in dict.fromkeys(fold.test for fold in task.folds())
             for path in task.audio_paths(split, rate)]  # fmt: skip
    names = [f"{split}/{path.name}" for split, path in tests]
    index = ClipIndex([path for _, path in tests], workspace)
    copies: list[Copy] = []
    unread: dict[str, str] = {}
    with workspace.progress.stage(f"{task.name}: test clips in {folder.name}", "files") as update:
        for i, path in enumerate(paths):
            update(i, len(paths))
            name = path.relative_to(folder).as_posix()
            try:
                audio = read_at_rate(path)
            except AudioError as error:
                unread[name] = str(error)
                continue
            copies += [
                Copy(
                    name, round(one.begin / RATE, 3), names[clip], round(one.share, 3),
                    round(one.score, 3),
                )
                for clip, one in index.find(audio)
            ]  # fmt: skip
        update(len(paths), len(paths))
    copies.sort(key=lambda copy: (copy.file, copy.offset_s, -copy.score, copy.clip))
    return Overlap(
        task.name, len(tests), tuple(names[i] for i in index.unfit), len(paths), tuple(copies),
        unread,
    )  # fmt: skip
