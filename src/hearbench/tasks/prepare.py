"""Writing a task in the official layout from the rows of a corpus.

The audio comes first, in threads, file by file; ``task_metadata.json`` comes last. So a folder
without it is unfinished and never taken for a task, and the next run with the same inputs resumes
where the last one stopped.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench._version import __version__
from hearbench.amounts import data_size
from hearbench.audio.decode import read_excerpt16, read_mono16, sample_rate_of
from hearbench.audio.encode import MOST_SAMPLES, is_whole_wav16, write_wav16
from hearbench.audio.resample import resample16, resampled_length
from hearbench.audio.shape import pad_or_trim, samples_of
from hearbench.digest import digest_json
from hearbench.errors import AudioError, TaskError
from hearbench.files import SYNTAX_ERRORS, TEMPORARY_PREFIX, flush_disk, write_json, write_text
from hearbench.locks import lock_beside, one_after_another
from hearbench.tasks.arrange import Arrangement, Source, arrange
from hearbench.tasks.check import CAPTIONS, METADATA, VOCABULARY, read_task_folder
from hearbench.tasks.clips import Clip
from hearbench.tasks.event_times import check_event_times
from hearbench.tasks.inventory import content_digests
from hearbench.tasks.locate import TASKS_FOLDER, UNFINISHED
from hearbench.tasks.parallel import in_threads
from hearbench.tasks.problems import Problems
from hearbench.tasks.recipe import Recipe
from hearbench.workspace import Workspace

__all__ = ["Origin", "prepare_task"]

_FORMAT_VERSION = 1
_PROVENANCE = "hearbench"  # the key of task_metadata.json that says what a folder was made from
_SKIPPED = "skipped_corrupt"  # in there, the clips that were left out
_SHOWN_CORRUPT = 50
_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class Origin:
    """The origin of the clips, where it is known better than by their files.

    Attributes:
        digest: Stands for the content of all files, which then need not be read for it; None
            where nothing else does.
        record: What ``task_metadata.json`` is to say about it.
    """

    digest: str | None
    record: Mapping[str, Any] = field(default_factory=dict)


def prepare_task(
    rows: Sequence[Clip],
    recipe: Recipe,
    out: Path,
    *,
    skip_corrupt: bool = False,
    origin: Origin | None = None,
    workspace: Workspace | None = None,
) -> Path:
    """Makes a task folder ``out/tasks/<name>-<version>-<mode>`` and returns it.

    A run that was interrupted is finished by the next one with the same clips and recipe; a
    finished one is left as it is, but for audio that has gone missing and for further rates.

    Args:
        rows: The corpus, a row per label or event.
        out: Folder that takes ``tasks/``.
        skip_corrupt: Leaves out clips that can't be decoded, and names them in the task's
            metadata; by default they are an error that names them all.
        origin: Where the clips come from; by default their files' contents stand for them.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Raises:
        TaskError: The rows or the recipe can't be, clips can't be decoded (all are named), the
            folder holds something else, or can't be written.
    """
    recipe.refuse_bad()
    workspace = workspace or Workspace.from_environment()
    arrangement = arrange(rows, recipe)
    folder = out / TASKS_FOLDER / recipe.folder_name
    try:
        if not recipe.sample_rates:
            rates = (_highest_rate(arrangement.sources, recipe, workspace),)
            recipe = replace(recipe, sample_rates=rates)
            recipe.refuse_bad()
        inputs = _inputs_digest(arrangement, recipe, origin, workspace)
        say = logging.getLogger(__name__).warning
        with one_after_another(lock_beside(folder), f"preparing {folder}", say):
            finished = _begin(folder, inputs, recipe)
            corrupt = _write_audio(folder, arrangement, recipe, finished, skip_corrupt, workspace)
            if not finished:
                record: dict[str, Any] = {"version": __version__, "inputs": inputs}
                if origin is not None:
                    record.update(origin.record)
                kept = _without(arrangement, corrupt, recipe)
                check_event_times(folder, kept, recipe)
                _finish(folder, kept, corrupt, recipe, record, workspace)
            (folder / UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise TaskError(f"The task can't be written to {folder}: {error}.") from error
    return folder


def _inputs_digest(
    arrangement: Arrangement, recipe: Recipe, origin: Origin | None, workspace: Workspace
) -> str:
    """Digest of all that decides the content of the files."""
    sources = arrangement.sources
    if origin is None or origin.digest is None:
        paths = [source.path.absolute() for source in sources.values()]
        root = Path(os.path.commonpath([path.parent for path in paths]))
        names = [path.relative_to(root).as_posix() for path in paths]
        contents = content_digests(root, names, workspace)
    else:
        contents = [origin.digest] * len(sources)
    return digest_json(
        {
            "format_version": _FORMAT_VERSION,
            "metadata": recipe.metadata(tuple(arrangement.splits)),
            "vocabulary": arrangement.vocabulary,
            **({"captions": arrangement.captions} if arrangement.captions else {}),
            "splits": [[split, list(files.items())] for split, files in arrangement.splits.items()],
            "sources": [
                [name, content]
                if source.excerpt is None
                else [name, content, source.excerpt.start, source.excerpt.n_samples]
                for (name, source), content in zip(sources.items(), contents, strict=True)
            ],
        }
    )


def _begin(folder: Path, inputs: str, recipe: Recipe) -> bool:
    """Makes the folder ready to be written; whether it is finished already."""
    metadata, marker = folder / METADATA, folder / UNFINISHED
    if metadata.is_file():
        if _recorded(metadata, _PROVENANCE) == inputs:
            return True
        raise TaskError(
            f"{folder} holds a task that was prepared from other clips or with other settings. "
            "Remove it, or choose another name, version or folder.",
            code="would_overwrite",
        )
    if folder.is_dir() and any(folder.iterdir()):
        if not marker.is_file():
            raise TaskError(
                f"{folder} is not empty, and not a preparation that was interrupted. Remove it, "
                "or choose another name, version or folder."
            )
        if _recorded(marker, None) == inputs:
            for rest in folder.rglob(f"{TEMPORARY_PREFIX}*"):
                rest.unlink(missing_ok=True)
            wanted = {str(rate) for rate in recipe.sample_rates}
            for other in folder.iterdir():
                if other.is_dir() and other.name not in wanted:
                    shutil.rmtree(other)
            return False
        shutil.rmtree(folder)
    write_json(marker, {"format_version": _FORMAT_VERSION, "inputs": inputs})
    return False


def _recorded(path: Path, key: str | None) -> str | None:
    """The digest of inputs that a file records, if it records one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except SYNTAX_ERRORS:
        return None
    if key is not None:
        value = value.get(key) if isinstance(value, Mapping) else None
    found = value.get("inputs") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


def _left_out(folder: Path) -> frozenset[str]:
    """The clips that a finished folder does without, as ``<split>/<file>``."""
    metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    return frozenset(metadata[_PROVENANCE].get(_SKIPPED, ()))


def _places(folder: Path, recipe: Recipe, finished: bool) -> dict[int, Path]:
    """The folder that each rate is written to.

    A rate that a finished task gets later has another name until all of its audio is there, so
    that the task can be used all the while.
    """
    places = {rate: folder / str(rate) for rate in recipe.sample_rates}
    if not finished:
        return places
    return {
        rate: place if place.is_dir() else folder / f"{TEMPORARY_PREFIX}{rate}"
        for rate, place in places.items()
    }


def _write_audio(
    folder: Path,
    arrangement: Arrangement,
    recipe: Recipe,
    finished: bool,
    skip_corrupt: bool,
    workspace: Workspace,
) -> dict[str, str]:
    """Writes whatever audio isn't there.

    Returns:
        For every clip (``<split>/<file>``) that can't be decoded, what is wrong with it.

    Raises:
        TaskError: There are such clips and they aren't to be left out, or the disk has no room.
    """
    left_out = _left_out(folder) if finished else frozenset[str]()
    sources = {name: source for name, source in arrangement.sources.items() if name not in left_out}
    places = _places(folder, recipe, finished)
    _check_room(folder, places, sources, recipe)
    corrupt = _write_clips(places, sources, recipe, workspace)
    if corrupt and (finished or not skip_corrupt):
        raise _corrupt_error(corrupt, recipe)
    for rate, place in places.items():
        if place.name != str(rate):
            place.rename(folder / str(rate))
    return corrupt


def _corrupt_error(corrupt: Mapping[str, str], recipe: Recipe) -> TaskError:
    problems = Problems(examples=_SHOWN_CORRUPT)
    for message in sorted(corrupt.values()):
        problems.add("clips that can't be decoded", f"\n  {message}")
    return problems.error(
        f"{recipe.folder_name} isn't finished:",
        "Replace these files or drop their rows, and run the same again; the other clips are "
        "done. Or leave them out with --skip-corrupt, which the task's metadata then says.",
    )


def _without(arrangement: Arrangement, corrupt: Mapping[str, str], recipe: Recipe) -> Arrangement:
    """The arrangement less some clips; splits and vocabulary stay what they were."""
    if not corrupt:
        return arrangement
    splits = {
        split: {name: items for name, items in files.items() if f"{split}/{name}" not in corrupt}
        for split, files in arrangement.splits.items()
    }
    if empty := [split for split, files in splits.items() if not files]:
        raise TaskError(
            f"{recipe.folder_name} can't be prepared: without the clips that can't be decoded, "
            f"{', '.join(empty)} would be empty. One of them: {min(corrupt.values())}"
        )
    captions = {
        split: {name: texts for name, texts in files.items() if f"{split}/{name}" not in corrupt}
        for split, files in arrangement.captions.items()
    }
    return replace(arrangement, splits=splits, captions=captions)


def _finish(
    folder: Path,
    kept: Arrangement,
    corrupt: Mapping[str, str],
    recipe: Recipe,
    record: Mapping[str, Any],
    workspace: Workspace,
) -> None:
    """Writes the labels, and at last the metadata, once all was read and checked as in loading.

    Raises:
        TaskError: The task couldn't be loaded.
    """
    _write_labels(folder, kept)
    flush_disk()  # the audio, which wasn't waited for: the metadata says that all of it is there
    provenance = dict(record)
    if corrupt:
        provenance[_SKIPPED] = sorted(corrupt)
    metadata = recipe.metadata(tuple(kept.splits))
    unchecked = folder / f"{TEMPORARY_PREFIX}{METADATA}"
    write_json(unchecked, {**metadata, _PROVENANCE: provenance})
    problems = read_task_folder(folder, workspace, metadata=unchecked.name).problems
    if problems:
        raise problems.error(
            f"{recipe.folder_name} isn't finished, as it couldn't be loaded; wrong are:",
            "Mend these in the corpus and run the same again.",
        )
    unchecked.rename(folder / METADATA)


def _write_labels(folder: Path, arrangement: Arrangement) -> None:
    for split, files in arrangement.splits.items():
        write_json(folder / f"{split}.json", files)
    if arrangement.captions:
        write_json(folder / CAPTIONS, arrangement.captions)
    write_text(folder / VOCABULARY, _csv([("idx", "label"), *enumerate(arrangement.vocabulary)]))


def _csv(rows: Iterable[tuple[object, object]]) -> str:
    lines = []
    for row in rows:
        text = io.StringIO()
        # Fields are quoted that hold a character of the line's end; both must be.
        csv.writer(text, lineterminator="\r\n").writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def _highest_rate(sources: Mapping[str, Source], recipe: Recipe, workspace: Workspace) -> int:
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


def _check_room(
    folder: Path, places: Mapping[int, Path], sources: Mapping[str, Source], recipe: Recipe
) -> None:
    """Refuses a disk that is too small before it is full; clips of any length aren't known yet.

    Args:
        places: The folder that each rate is written to.
        sources: Sources of the clips by ``<split>/<file>``.

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


def _write_clips(
    places: Mapping[int, Path],
    sources: Mapping[str, Source],
    recipe: Recipe,
    workspace: Workspace,
) -> dict[str, str]:
    """Decodes, cuts and resamples every clip whose files aren't all there.

    Args:
        places: The folder that each rate is written to.
        sources: Sources of the clips by ``<split>/<file>``.
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
