"""Writing a task in the official layout from the rows of a corpus.

The audio comes first, in threads, file by file; ``task_metadata.json`` comes last. So a folder
without it is unfinished and never taken for a task, and the next run with the same inputs goes on
where the last one stopped.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hearkit._version import __version__
from hearkit.audio.decode import read_mono16
from hearkit.audio.encode import write_wav16
from hearkit.audio.resample import resample16
from hearkit.audio.shape import pad_or_trim, samples_of
from hearkit.digest import digest_json
from hearkit.errors import AudioError, TaskError
from hearkit.files import TEMPORARY_PREFIX, write_json, write_text
from hearkit.settings import Settings
from hearkit.tasks.arrange import Arrangement, arrange
from hearkit.tasks.check import METADATA, VOCABULARY
from hearkit.tasks.clips import Clip
from hearkit.tasks.inventory import content_digests
from hearkit.tasks.locate import TASKS_FOLDER, UNFINISHED
from hearkit.tasks.parallel import Progress, in_threads
from hearkit.tasks.problems import Problems
from hearkit.tasks.recipe import Recipe

__all__ = ["prepare_task"]

_FORMAT_VERSION = 1
_PROVENANCE = "hearkit"  # the key of task_metadata.json that says what a folder was made from
_SHOWN_CORRUPT = 50


def prepare_task(
    rows: Sequence[Clip],
    recipe: Recipe,
    out: Path,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Path:
    """Makes a task folder ``out/tasks/<name>-<version>-<mode>`` and returns it.

    A run that was interrupted is finished by the next one with the same clips and recipe; a
    finished one is left as it is, but for audio that has gone missing.

    Args:
        rows: The corpus, a row per label or event.
        recipe: How it becomes a task.
        out: Folder that takes ``tasks/``.
        settings: Where the cache is, and how many threads; by default from the environment.
        progress: Called as ``progress(done, total)`` with numbers of clips.

    Raises:
        TaskError: The rows or the recipe can't be, clips can't be decoded (all are named), the
            folder holds something else, or can't be written.
    """
    problems = Problems()
    recipe.check(problems)
    if problems:
        raise problems.error(f"The task {recipe.name!r} can't be prepared; wrong are:", "Mend it.")
    settings = settings or Settings.from_environment()
    arrangement = arrange(rows, recipe)
    folder = out / TASKS_FOLDER / recipe.folder_name
    try:
        inputs = _inputs_digest(arrangement, recipe, settings)
        finished = _begin(folder, inputs)
        _write_audio(folder, arrangement.sources, recipe, settings, progress)
        if not finished:
            _write_labels(folder, arrangement)
            metadata = recipe.metadata(tuple(arrangement.splits))
            provenance = {"version": __version__, "inputs": inputs}
            write_json(folder / METADATA, {**metadata, _PROVENANCE: provenance})
        (folder / UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise TaskError(f"The task can't be written to {folder}: {error}.") from error
    return folder


def _inputs_digest(arrangement: Arrangement, recipe: Recipe, settings: Settings) -> str:
    """Digest of all that decides the content of the files."""
    paths = list(arrangement.sources.values())
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    names = [path.absolute().relative_to(root).as_posix() for path in paths]
    digests = content_digests(root, names, settings)
    return digest_json(
        {
            "format_version": _FORMAT_VERSION,
            "metadata": recipe.metadata(tuple(arrangement.splits)),
            "vocabulary": arrangement.vocabulary,
            "splits": [[split, list(files.items())] for split, files in arrangement.splits.items()],
            "sample_rates": sorted(recipe.sample_rates),
            "sources": list(zip(arrangement.sources, digests, strict=True)),
        }
    )


def _begin(folder: Path, inputs: str) -> bool:
    """Makes the folder ready to be written; whether it is finished already."""
    metadata, marker = folder / METADATA, folder / UNFINISHED
    if metadata.is_file():
        if _recorded(metadata, _PROVENANCE) == inputs:
            return True
        raise TaskError(
            f"{folder} holds a task that was prepared from other clips or with other settings. "
            "Remove it, or choose another name, version or folder."
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
            return False
        shutil.rmtree(folder)
    write_json(marker, {"format_version": _FORMAT_VERSION, "inputs": inputs})
    return False


def _recorded(path: Path, key: str | None) -> str | None:
    """The digest of inputs that a file records, if it records one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if key is not None:
        value = value.get(key) if isinstance(value, Mapping) else None
    found = value.get("inputs") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


def _write_audio(
    folder: Path,
    sources: Mapping[str, Path],
    recipe: Recipe,
    settings: Settings,
    progress: Progress | None,
) -> None:
    """Decodes, cuts and resamples every clip whose files aren't all there."""

    def write(item: tuple[str, Path]) -> str | None:
        name, path = item
        targets = {rate: folder / str(rate) / name for rate in recipe.sample_rates}
        wanted = {rate: target for rate, target in targets.items() if not target.is_file()}
        if not wanted:
            return None
        try:
            x, rate_in = read_mono16(path)
        except AudioError as error:
            return str(error)
        if recipe.sample_duration_s is not None:
            x = pad_or_trim(x, samples_of(recipe.sample_duration_s, rate_in))
        for rate, target in wanted.items():
            write_wav16(target, resample16(x, rate_in, rate), rate)
        return None

    results = in_threads(write, sources.items(), workers=settings.workers, progress=progress)
    corrupt = sorted(result for result in results if result is not None)
    if corrupt:
        problems = Problems(examples=_SHOWN_CORRUPT)
        for message in corrupt:
            problems.add("clips that can't be decoded", f"\n  {message}")
        raise problems.error(
            f"{recipe.folder_name} isn't finished:",
            "Replace these files or drop their rows, and run the same again; the other clips "
            "are done.",
        )


def _write_labels(folder: Path, arrangement: Arrangement) -> None:
    for split, files in arrangement.splits.items():
        write_json(folder / f"{split}.json", files)
    write_text(folder / VOCABULARY, _csv([("idx", "label"), *enumerate(arrangement.vocabulary)]))


def _csv(rows: Iterable[tuple[object, object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
