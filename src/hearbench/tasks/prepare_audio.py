"""The audio of a task that is being prepared: decoded, cut, resampled, written, in threads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.amounts import data_size
from hearbench.audio.decode import read_excerpt16, read_mono16, sample_rate_of
from hearbench.audio.encode import MOST_SAMPLES, is_whole_wav16, write_wav16
from hearbench.audio.resample import resample16, resampled_length
from hearbench.audio.shape import pad_or_trim, samples_of
from hearbench.errors import AudioError, TaskError
from hearbench.tasks.arrange import Source
from hearbench.tasks.parallel import in_threads
from hearbench.tasks.recipe import Recipe
from hearbench.workspace import Workspace

__all__ = ["check_room", "highest_rate", "write_clips"]

_BYTES_PER_SAMPLE = 2


def highest_rate(sources: Mapping[str, Source], recipe: Recipe, workspace: Workspace) -> int:
    """The highest rate in Hz among the files that a task is made from.

    Raises:
        TaskError: None of them has a rate.
    """

    def rate(path: Path) -> int | None:
        try:
            return sample_rate_of(path)
        except AudioError:
            return None  # decoding it will fail as well, and says so for all such clips at once

    paths = {source.path for source in sources.values()}
    found = [value for value in in_threads(rate, paths, workers=workspace.workers) if value]
    if not found:
        raise TaskError(
            f"{recipe.folder_name} can't be prepared: none of its {len(paths)} files holds audio "
            f"with a sample rate; the first is {min(paths)}."
        )
    return max(found)


def check_room(
    folder: Path, places: Mapping[int, Path], sources: Mapping[str, Source], recipe: Recipe
) -> None:
    """Refuses a disk that is too small before it is full; clips of any length aren't known yet.

    Args:
        folder: Of the task.
        places: The folder that each rate is written to.
        sources: Of the clips, by ``<split>/<file>``.
        recipe: How they become a task.

    Raises:
        TaskError: The disk has no room.
    """
    duration_s = recipe.sample_duration_s
    if duration_s is None:
        return
    needed = 0
    for rate, place in places.items():
        there = sum(1 for _ in place.rglob("*.wav"))
        left = max(0, len(sources) - there)
        needed += left * samples_of(duration_s, rate) * _BYTES_PER_SAMPLE
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TaskError(
            f"There is no room for {recipe.folder_name}: {data_size(needed)} of audio are still "
            f"to be written to {folder}, and {data_size(free)} are free. Make room, choose "
            "another folder or fewer sample rates."
        )


def write_clips(
    places: Mapping[int, Path],
    sources: Mapping[str, Source],
    recipe: Recipe,
    workspace: Workspace,
) -> dict[str, str]:
    """Decodes, cuts and resamples every clip whose files aren't all there.

    Args:
        places: The folder that each rate is written to.
        sources: Of the clips, by ``<split>/<file>``.
        recipe: How they become a task.
        workspace: How many threads, and who shows progress.

    Returns:
        For every clip that can't be decoded, what is wrong with it.
    """

    def write(item: tuple[str, Source]) -> tuple[str, str] | None:
        name, source = item
        targets = {rate: place / name for rate, place in places.items()}
        # Files aren't waited for until they are on the disk, which would take most of the time.
        wanted = {rate: path for rate, path in targets.items() if not is_whole_wav16(path)}
        if not wanted:
            return None
        try:
            x, rate_in = _read(source)
            n = len(x)
            if recipe.sample_duration_s is not None:
                n = samples_of(recipe.sample_duration_s, rate_in)
            _check_lengths(source.path, n, rate_in, wanted)
            x = pad_or_trim(x, n)
            for rate, target in wanted.items():
                write_wav16(target, resample16(x, rate_in, rate), rate, durable=False)
        except AudioError as error:
            return name, str(error)
        return None

    title = f"{recipe.name}: decoding and resampling"
    with workspace.progress.stage(title, "clips") as update:
        results = in_threads(write, sources.items(), workers=workspace.workers, update=update)
    return dict(result for result in results if result is not None)


def _read(source: Source) -> tuple[npt.NDArray[np.int16], int]:
    if source.excerpt is None:
        return read_mono16(source.path)
    return read_excerpt16(source.path, source.excerpt.start, source.excerpt.n_samples)


def _check_lengths(path: Path, n: int, rate_in: int, rates: Iterable[int]) -> None:
    """Refuses a clip shorter than a sample at a low rate, or of a rate that can't be."""
    for rate in (rate_in, *rates):
        length = resampled_length(n, rate_in, rate)
        if not 1 <= length <= MOST_SAMPLES:
            raise AudioError(
                f"{path} gives {n} samples of {rate_in} Hz, which are {length} at {rate} Hz; a "
                f"clip of a task has 1 to {MOST_SAMPLES}."
            )
