"""Contents of the cache folder: kinds of entries, their sizes, and removing them."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import HearError, UnknownNameError
from hearbench.files import TEMPORARY_PREFIX
from hearbench.registry import did_you_mean
from hearbench.workspace import Workspace

__all__ = ["KINDS", "LEFTOVERS", "CacheEntry", "CacheKind", "cache_entries", "remove_entry"]


@dataclass(frozen=True)
class CacheKind:
    """A folder of the cache, of entries that are made, used and removed as a whole.

    Attributes:
        depth: Number of folders from the kind's own to an entry.
        entry: Regular expression of an entry's name; nothing else is ever removed.
        spared: Whether entries are removed only if the kind is named, as they aren't made again
            by themselves.
    """

    about: str
    depth: int
    entry: str
    spared: bool = False


@dataclass(frozen=True)
class CacheEntry:
    """A file or folder of the cache.

    Attributes:
        kind: A key of `KINDS`.
        path: The file or folder.
        bytes: Size of all its files.
        written: Latest time at which one of its files was written, in seconds since 1970.
    """

    kind: str
    path: Path
    bytes: int
    written: float


_KEY = r"[0-9a-f]{16}"
LEFTOVERS = "leftovers"
"""The kind of temporary files, which may lie in the folders of all other kinds."""

KINDS = {
    "tasks": CacheKind("tasks that were downloaded or prepared", 1, r".+-.+-.+", spared=True),
    "downloads": CacheKind("files of corpora and of ready-made tasks", 2, r"[^.].*"),
    "corpora": CacheKind("corpora, unpacked", 1, rf".+-{_KEY}"),
    "huggingface": CacheKind("datasets as their library keeps them", 1, r"[^.].*"),
    "unpacked": CacheKind("archives of tasks, unpacked", 1, rf".+-{_KEY}"),
    "resampled": CacheKind("audio of tasks at other rates", 1, rf".+-{_KEY}"),
    "disturbed": CacheKind("audio of tasks, disturbed", 1, rf".+-{_KEY}"),
    "environments": CacheKind("environments of models, made with --env", 1, rf".+-{_KEY}"),
    "sources": CacheKind("models' source trees, fetched from repositories", 1, rf".+-{_KEY}"),
    "weights": CacheKind("weights of models, fetched from their addresses", 1, _KEY),
    "embeddings": CacheKind("embeddings", 3, _KEY),
    "texts": CacheKind("embeddings of texts", 1, _KEY),
    "probes": CacheKind("trained probes, finished and interrupted", 3, _KEY),
    LEFTOVERS: CacheKind("what runs that were killed left behind, a day old", 0, ""),
    "digests": CacheKind(
        "what files' contents were found to be", 1, rf"(wav|file|md5)-{_KEY}\.json"
    ),
}
"""All kinds of entries, by the names of their folders."""

_DAY_S = 86400.0


def cache_entries(
    workspace: Workspace, kind: str | None = None, *, older_than_days: float | None = None
) -> list[CacheEntry]:
    """Lists entries of the cache.

    Args:
        workspace: Says where the cache is.
        kind: A key of `KINDS`; all by default.
        older_than_days: Lists only entries that were last written so long ago.

    Raises:
        UnknownNameError: There is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError(f"The cache holds no {kind!r}. {did_you_mean(kind, sorted(KINDS))}")
    kinds = list(KINDS) if kind is None else [kind]
    entries = [entry for one in kinds for entry in _of_kind(workspace.cache_dir, one)]
    if older_than_days is None:
        return entries
    before = time.time() - _DAY_S * older_than_days
    return [entry for entry in entries if entry.written < before]


def remove_entry(workspace: Workspace, entry: CacheEntry) -> None:
    """Removes an entry, and the folders above it that are then empty.

    Raises:
        HearError: It can't be removed.
    """
    # Out of the way first, so that a half-removed entry is never read.
    doomed = entry.path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        entry.path.rename(doomed)
        if doomed.is_dir():
            shutil.rmtree(doomed)
        else:
            doomed.unlink()
        for parent in entry.path.parents:
            if parent.parent == workspace.cache_dir or any(parent.iterdir()):
                break
            parent.rmdir()
    except OSError as error:
        raise HearError(f"{entry.path} can't be removed: {error.strerror}.", code="io") from error


def _of_kind(root: Path, kind: str) -> Sequence[CacheEntry]:
    if kind == LEFTOVERS:
        return list(_leftovers(root))
    about = KINDS[kind]
    paths = sorted((root / kind).glob("/".join(["*"] * about.depth)))
    return [
        _entry(kind, path)
        for path in paths
        if re.fullmatch(about.entry, path.name) and not path.is_symlink()
    ]


def _leftovers(root: Path) -> Iterator[CacheEntry]:
    """Temporary files and folders that no process has written to for a day."""
    for kind, about in KINDS.items():
        # Beside the entries, and in the folders on the way to them.
        for depth in range(1, about.depth + 1):
            pattern = "/".join([*["*"] * (depth - 1), f"{TEMPORARY_PREFIX}*"])
            for path in sorted((root / kind).glob(pattern)):
                entry = _entry(LEFTOVERS, path)
                if not path.is_symlink() and entry.written < time.time() - _DAY_S:
                    yield entry


def _entry(kind: str, path: Path) -> CacheEntry:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    stats = [file.lstat() for file in files if file.is_file()]
    return CacheEntry(
        kind,
        path,
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime for stat in stats), default=path.lstat().st_mtime),
    )
