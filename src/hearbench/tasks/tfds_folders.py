"""Finding a corpus of TensorFlow Datasets in the user's folders.

These corpora have no archive to download. What counts is, in this order: an export (an archive
per split, or ``<split>_labels.csv`` beside ``audio/``), and the original corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.archives import is_archive
from hearbench.tasks.catalog.schema import TaskSpec

__all__ = ["find_tfds_parts"]

_ENDINGS = (".zip", ".tar.gz")


def find_tfds_parts(
    spec: TaskSpec, mode: str, folders: Sequence[Path]
) -> list[tuple[str | None, Path]]:
    """The archives or folders that hold the corpus, each with its split if it is of one alone.

    Raises:
        TaskError: The folders hold nothing of the kind; the message says what is looked for.
    """
    for folder in folders:
        for parts in (_archives(spec, folder), _export(spec, folder), _original(spec, folder)):
            if parts:
                return parts
    name, splits = _name_and_splits(spec)
    wanted = [
        f"an export with an archive for every split ({name}-{splits[0]}.zip, ...)",
        f"a folder with an export ({splits[0]}_labels.csv beside audio/, ...)",
    ]
    if spec.originals:
        wanted.append(f"the original corpus ({', '.join(spec.originals)})")
    where = ", ".join(map(str, folders)) or "no folder was named"
    raise TaskError(
        f"The corpus of {spec.folder_name(mode)} has no place to be downloaded from. Name a folder "
        f"with --corpus-dir that holds {', '.join(wanted[:-1])} or {wanted[-1]}. Looked in: "
        f"{where}. `hearbench list tasks` tells which tasks are published ready-made."
    )


def _name_and_splits(spec: TaskSpec) -> tuple[str, tuple[str, ...]]:
    if spec.tfds is None:
        raise TaskError(f"The task {spec.name} names neither downloads nor a TFDS corpus.")
    return spec.tfds.name, spec.tfds.splits


def _archives(spec: TaskSpec, folder: Path) -> list[tuple[str | None, Path]]:
    name, splits = _name_and_splits(spec)
    found: list[tuple[str | None, Path]] = []
    for split in splits:
        paths = [folder / f"{name}-{split}{ending}" for ending in _ENDINGS]
        found.extend((split, path) for path in paths if path.is_file())
    return found if len(found) == len(splits) else []


def _export(spec: TaskSpec, folder: Path) -> list[tuple[str | None, Path]]:
    name, splits = _name_and_splits(spec)
    for place in (folder, folder / name, folder / spec.name):
        if all((place / f"{split}_labels.csv").is_file() for split in splits):
            return [(None, place)]
        if all((place / split / f"{split}_labels.csv").is_file() for split in splits):
            return [(split, place / split) for split in splits]
    return []


def _original(spec: TaskSpec, folder: Path) -> list[tuple[str | None, Path]]:
    for path in _matching(spec.originals, folder):
        if path.is_dir() or is_archive(path.name):
            return [(None, path)]
    return []


def _matching(patterns: Sequence[str], folder: Path) -> Iterator[Path]:
    for pattern in patterns:
        if folder.match(pattern):  # the corpus itself was named
            yield folder
        yield from sorted(folder.glob(pattern))
