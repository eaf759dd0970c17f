"""Gunshot triangulation: 22 shots of seven firearms, recorded by four microphones at once.

Page: https://zenodo.org/record/3997406. Paper: S. Cooper and S. Shaw, "Gunshots Recorded in an
Open Field Using iPod Touch Devices", Dryad 2020.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hearbench.errors import AudioError, TaskError
from hearbench.tasks.clips import Clip, Excerpt
from hearbench.tasks.corpora import RawCorpus
from hearbench.tasks.corpora.files import audio_files
from hearbench.tasks.problems import Problems

__all__ = ["clips", "find_onsets"]

_CUT = re.compile(r"(mic[1-4])_shot\d+_(fid\d+)")
_RAW = re.compile(r"mic([1-4])(?!\d)", re.IGNORECASE)
_SAMPLE_RATE = 48_000
# Where each microphone's recording is one second into the part that all four share.
_OFFSETS = {1: 15_764_451, 2: 13_764_742, 3: 9_334_032, 4: 6_794_611}
_THRESHOLD = 0.8
_LEAST_DISTANCE = 25_000
_FIREARMS = (1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7)
_LENGTH = _SAMPLE_RATE * 3 // 2
_LEAD_IN = _SAMPLE_RATE // 8
_BLOCK = 1 << 18


def clips(corpus: RawCorpus) -> Iterator[Clip]:
    """The shots, labelled by their microphone; those of one firearm belong together.

    Layout: either the clips already cut (``mic1_shot17_fid6.wav``), or one recording per
    microphone, named like ``mic2raw16b.wav``, which begin at different times. Of these the shots
    are found in the first and cut at the same places out of all.

    Raises:
        TaskError: Files have other names, a recording is missing, too short or not at 48 kHz, or
            there are fewer than 22 shots.
        AudioError: A recording can't be read.
    """
    paths = list(dict.fromkeys(path for part in corpus.parts for path in audio_files(part.folder)))
    if any(_CUT.fullmatch(path.stem) for path in paths):
        yield from _already_cut(paths)
    else:
        yield from _cut(_recordings(paths))


def _already_cut(paths: list[Path]) -> Iterator[Clip]:
    problems = Problems()
    for path in paths:
        if match := _CUT.fullmatch(path.stem):
            yield Clip(path, path.stem, label=match[1], split_key=match[2])
        else:
            problems.add("names that say no microphone, shot and firearm", str(path))
    if problems:
        raise problems.error(
            "The corpus can't be read; wrong are:",
            "A name should be like mic1_shot17_fid6.wav. Take out what doesn't belong to it.",
        )


def _recordings(paths: list[Path]) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path in paths:
        if match := _RAW.match(path.stem):
            microphone = int(match[1])
            if microphone in found:
                raise TaskError(
                    f"The corpus has two recordings of microphone {microphone}: "
                    f"{found[microphone]} and {path}. Leave one."
                )
            found[microphone] = path
    if missing := sorted(set(_OFFSETS) - set(found)):
        there = ", ".join(path.name for path in paths) or "none"
        raise TaskError(
            "The corpus should hold either clips like mic1_shot17_fid6.wav, or the recordings of "
            f"the microphones 1 to 4 like mic1raw.wav; missing are those of {missing}, and the WAV "
            f"files that are here: {there}."
        )
    return found


@dataclass(frozen=True)
class _Facts:
    sample_rate: int
    n_samples: int


def _cut(recordings: Mapping[int, Path]) -> Iterator[Clip]:
    skipped = {microphone: offset - _SAMPLE_RATE for microphone, offset in _OFFSETS.items()}
    for microphone, path in recordings.items():
        facts = _facts(path)
        if facts.sample_rate != _SAMPLE_RATE:
            raise TaskError(
                f"{path} should have {_SAMPLE_RATE} Hz, as the shots' places are known at that "
                f"rate, not {facts.sample_rate} Hz. Use the recording as it was published."
            )
        _check_length(path, facts.n_samples, skipped[microphone] + 1)
    onsets = find_onsets(recordings[1], skipped[1], len(_FIREARMS))
    if len(onsets) < len(_FIREARMS):
        raise TaskError(
            f"{recordings[1]} should hold {len(_FIREARMS)} shots, but holds {len(onsets)}: places "
            f"after sample {skipped[1]} that reach {_THRESHOLD} of full scale and are at least "
            f"{_LEAST_DISTANCE} samples apart. Is it the recording as it was published?"
        )
    for microphone, path in sorted(recordings.items()):
        starts = [skipped[microphone] + onset - _LEAD_IN for onset in onsets]
        if starts[0] < 0:
            raise TaskError(f"{path}: its first shot begins before the recording does.")
        _check_length(path, _facts(path).n_samples, starts[-1] + _LENGTH)
        for shot, (start, firearm) in enumerate(zip(starts, _FIREARMS, strict=True)):
            yield Clip(
                path,
                f"mic{microphone}_shot{shot}_fid{firearm}",
                f"mic{microphone}",
                split_key=f"fid{firearm}",
                excerpt=Excerpt(start, _LENGTH),
            )


def find_onsets(path: Path, begin: int, most: int) -> list[int]:
    """Finds the first sample at 0.8 of full scale, and the next one 25,000 samples or more later.

    It is read in blocks, so that its length doesn't matter to the memory.

    Args:
        path: The recording; the mean of its channels counts.
        begin: The sample to begin at.
        most: How many are wanted; what comes after them doesn't count.

    Returns:
        The onsets in samples from ``begin`` on, ascending.

    Raises:
        AudioError: It can't be read.
    """
    import soundfile

    onsets: list[int] = []
    at = earliest = 0
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(begin)
            for block in file.blocks(_BLOCK, dtype="float64", always_2d=True):
                loud = at + np.flatnonzero(np.abs(block.mean(axis=1)) >= _THRESHOLD)
                at += len(block)
                i = int(np.searchsorted(loud, earliest))
                while i < len(loud) and len(onsets) < most:
                    onsets.append(int(loud[i]))
                    earliest = onsets[-1] + _LEAST_DISTANCE
                    i = int(np.searchsorted(loud, earliest))
                if len(onsets) == most:
                    break
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be decoded: {error.error_string}") from error
    return onsets


def _facts(path: Path) -> _Facts:
    import soundfile

    try:
        facts = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be decoded: {error.error_string}") from error
    return _Facts(int(facts.samplerate), int(facts.frames))


def _check_length(path: Path, n_samples: int, needed: int) -> None:
    if n_samples < needed:
        raise TaskError(
            f"{path} is too short: it has {n_samples} samples, and the last that is needed is "
            f"number {needed}. Is it the recording as it was published?"
        )
