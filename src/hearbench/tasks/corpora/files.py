"""Finding a corpus's files below the folder that its archive was unpacked to.

Whether an archive has a folder of its own at the top doesn't matter, nor do hidden files and
what macOS adds to archives. Everything that comes from the file system is sorted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from hearbench.errors import TaskError
from hearbench.tasks.clips import Clip
from hearbench.tasks.problems import Problems

__all__ = [
    "WAV",
    "FilesByName",
    "audio_files",
    "clips_by_name",
    "files_below",
    "find_file",
    "is_plain_path",
    "label_folder",
]

# Endings that audio has in most corpora, in lower case.
WAV = (".wav",)

_JUNK_FOLDERS = frozenset({"__MACOSX"})
_SHOWN = 5


def files_below(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones, sorted by their paths.

    Raises:
        TaskError: The folder, or one below it, can't be read.
    """
    found: list[Path] = []
    try:
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not _is_junk(name)]
            found += [Path(parent, name) for name in names if not _is_junk(name)]
    except OSError as error:
        raise TaskError(f"The corpus's folder {folder} can't be read: {error}.") from error
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _raise(error: OSError) -> None:
    raise error


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK_FOLDERS


def audio_files(folder: Path, suffixes: Collection[str] = WAV) -> list[Path]:
    """All files below a folder with one of some suffixes, upper or lower case, sorted.

    Raises:
        TaskError: The folder can't be read.
    """
    return [path for path in files_below(folder) if path.suffix.lower() in suffixes]


def find_file(folder: Path, pattern: str) -> Path:
    """The file of a name below a folder; the one nearest the top if there are several.

    Args:
        pattern: The name, in which ``*`` stands for anything.

    Raises:
        TaskError: There is none, or several are equally near the top.
    """
    found = [path for path in files_below(folder) if fnmatchcase(path.name, pattern)]
    if not found:
        raise TaskError(
            f"The corpus has no file {pattern!r} below {folder}; is the archive whole, and the "
            "right one?",
            code="not_found",
        )
    depth = min(len(path.parts) for path in found)
    nearest = [path for path in found if len(path.parts) == depth]
    if len(nearest) > 1:
        raise TaskError(
            f"The corpus has {len(nearest)} files {pattern!r} below {folder}: "
            f"{_shown(map(str, nearest))}. Leave the one that belongs to it."
        )
    return nearest[0]


class FilesByName:
    """The files below a folder by their names, for metadata that name no folders.

    Args:
        suffixes: The suffixes of the files that are meant.
    """

    def __init__(self, folder: Path, suffixes: Collection[str] = WAV) -> None:
        self._paths: dict[str, list[Path]] = {}
        for path in audio_files(folder, suffixes):
            self._paths.setdefault(path.name, []).append(path)

    def get(self, place: Path) -> Path:
        """The file at a path if it exists, else one of its name elsewhere, else the path.

        Args:
            place: Where the corpus's layout has the file.

        Raises:
            TaskError: It isn't there, and several elsewhere have its name.
        """
        found = self._paths.get(place.name, [place])
        if place in found:
            return place
        if len(found) > 1:
            raise TaskError(
                f"The corpus has {len(found)} files {place.name!r}: {_shown(map(str, found))}. "
                f"Leave one, or put it where it belongs: {place}."
            )
        return found[0]


def clips_by_name(
    paths: Iterable[Path], label_of: Callable[[str], str | None], expected: str
) -> Iterator[Clip]:
    """A clip per file, with the label that its name says.

    Args:
        label_of: The label of a file's stem; None if the stem isn't as it should be.
        expected: What a name should look like, for messages.

    Raises:
        TaskError: Some names aren't as they should be; the message lists them.
    """
    problems = Problems()
    for path in paths:
        label = label_of(path.stem)
        if label:
            yield Clip(path, path.stem, label)
        else:
            problems.add("names that say no label", str(path))
    if problems:
        raise problems.error(
            "The corpus can't be read; wrong are:",
            f"A name should be like {expected}. Take out what doesn't belong to the corpus.",
        )


def label_folder(path: Path, top: Path) -> str:
    """The name of the folder that a file lies in, where folders are labels.

    Raises:
        TaskError: The file lies in ``top`` itself.
    """
    if path.parent == top:
        raise TaskError(
            f"{path} lies in no folder that is named by its label, as every file of this corpus "
            "should."
        )
    return path.parent.name


def is_plain_path(text: str) -> bool:
    """Whether a metadata file's path leads to some place below a folder."""
    parts = text.replace("\\", "/").split("/")
    return "\0" not in text and all(part not in {"", ".", ".."} for part in parts)


def _shown(items: Iterable[str]) -> str:
    listed = list(items)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
