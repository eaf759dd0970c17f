"""``hearbench cache``: what the cache holds, and making room."""

from __future__ import annotations

import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hearbench.amounts import data_size
from hearbench.cli import options as o
from hearbench.cli.running import verb
from hearbench.cli.tables import output_console
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError, UnknownNameError
from hearbench.registry import did_you_mean
from hearbench.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@dataclass(frozen=True)
class _Kind:
    """One kind of thing in the cache.

    Attributes:
        about: In words.
        depth: Folders between the kind's own and an entry.
        entry: What an entry's name looks like; nothing else is ever removed.
        spared: Whether it is only cleared by its name, as it isn't made again by itself.
    """

    about: str
    depth: int
    entry: str
    spared: bool = False


_KEY = r"[0-9a-f]{16}"
_LEFTOVERS = "leftovers"
_KINDS = {
    "tasks": _Kind("tasks that were downloaded or prepared", 1, r".+-.+-.+", spared=True),
    "downloads": _Kind("files of corpora and of ready-made tasks", 2, r"[^.].*"),
    "corpora": _Kind("corpora, unpacked", 1, rf".+-{_KEY}"),
    "huggingface": _Kind("datasets as their library keeps them", 1, r"[^.].*"),
    "unpacked": _Kind("archives of tasks, unpacked", 1, rf".+-{_KEY}"),
    "resampled": _Kind("audio of tasks at other rates", 1, rf".+-{_KEY}"),
    "environments": _Kind("environments of models, made with --env", 1, rf".+-{_KEY}"),
    "embeddings": _Kind("embeddings", 3, _KEY),
    "probes": _Kind("trained probes, finished and interrupted", 3, _KEY),
    _LEFTOVERS: _Kind("what runs that were killed left behind, a day old", 0, ""),
    "digests": _Kind("what files' contents were found to be", 1, rf"(wav|file|md5)-{_KEY}\.json"),
}
_DAY_S = 86400.0


@dataclass(frozen=True)
class _Entry:
    kind: str
    path: Path
    bytes: int
    used: float  # the latest time of modification of its files, in seconds since 1970


@app.callback()
@verb(
    "hearbench cache",
    "hearbench cache --json",
    "hearbench cache clear embeddings --older-than 30",
)
def cache_verb(context: typer.Context, cache: o.CacheDir = None, json: o.Json = False) -> None:
    """Shows what the cache holds, and makes room."""
    if context.invoked_subcommand is not None:
        # Given before the subcommand or after it, the folder is the same.
        context.obj = cache
        return
    workspace = Workspace.from_environment(cache_dir=cache)
    entries = list(_entries(workspace.cache_dir, list(_KINDS)))
    rows = [
        {
            "kind": kind,
            "entries": sum(entry.kind == kind for entry in entries),
            "bytes": sum(entry.bytes for entry in entries if entry.kind == kind),
            "about": about.about,
        }
        for kind, about in _KINDS.items()
    ]
    total = sum(entry.bytes for entry in entries)
    if json:
        answer_json({"folder": str(workspace.cache_dir), "bytes": total, "kinds": rows})
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(f"{workspace.cache_dir}: {data_size(total)}")
    table = Table(title=title, title_justify="left")
    table.box = box.SIMPLE_HEAD
    table.add_column("kind")
    table.add_column("entries", justify="right")
    table.add_column("size", justify="right")
    table.add_column("what")
    for row in rows:
        size = data_size(sum(entry.bytes for entry in entries if entry.kind == row["kind"]))
        table.add_row(str(row["kind"]), str(row["entries"]), size, str(row["about"]))
    output_console().print(table)


@app.command("clear")
@verb("hearbench cache clear embeddings --older-than 30", "hearbench cache clear --yes")
def clear(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help="By default all kinds but tasks.", show_default=False
        ),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than", metavar="DAYS", min=0, help="Only what was written longer ago."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Removes entries from the cache, after asking.

    Everything but tasks is made again when it is needed; tasks go only if they are named.
    """
    workspace = Workspace.from_environment(cache_dir=cache or context.obj)
    if kind is not None and kind not in _KINDS:
        raise UnknownNameError(f"The cache holds no {kind!r}. {did_you_mean(kind, sorted(_KINDS))}")
    kinds = [kind] if kind else [name for name, about in _KINDS.items() if not about.spared]
    before = time.time() - _DAY_S * older_than if older_than is not None else None
    entries = [
        entry
        for entry in _entries(workspace.cache_dir, kinds)
        if before is None or entry.used < before
    ]
    total = sum(entry.bytes for entry in entries)
    if entries and not yes:
        _ask(entries, total)
    for entry in entries:
        _remove(workspace.cache_dir, entry)
    if json:
        removed = [{"kind": e.kind, "path": str(e.path), "bytes": e.bytes} for e in entries]
        answer_json({"removed": removed, "bytes": total})
    else:
        answer_line(f"Removed {_counted(len(entries))}, {data_size(total)}.")


def _ask(entries: Sequence[_Entry], total: int) -> None:
    for entry in entries[:20]:
        say(f"  {entry.path} ({data_size(entry.bytes)})")
    if len(entries) > 20:
        say(f"  and {len(entries) - 20} more")
    if not sys.stdin.isatty():
        raise HearError("Nothing was removed: there is nobody to ask. Add --yes.")
    if not typer.confirm(f"Remove {_counted(len(entries))}, {data_size(total)}?", err=True):
        raise HearError("Nothing was removed.")


def _counted(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _entries(root: Path, kinds: Sequence[str]) -> Iterator[_Entry]:
    for kind in kinds:
        if kind == _LEFTOVERS:
            yield from _leftovers(root)
            continue
        about = _KINDS[kind]
        pattern = re.compile(about.entry)
        for path in sorted((root / kind).glob("/".join(["*"] * about.depth))):
            if pattern.fullmatch(path.name) and not path.is_symlink():
                yield _entry(kind, path)


def _leftovers(root: Path) -> Iterator[_Entry]:
    """Temporary files and folders that nobody has written to for a day."""
    from hearbench.files import TEMPORARY_PREFIX

    for kind, about in _KINDS.items():
        # Beside the entries, and in the folders on the way to them.
        for depth in range(1, about.depth + 1):
            pattern = "/".join([*["*"] * (depth - 1), f"{TEMPORARY_PREFIX}*"])
            for path in sorted((root / kind).glob(pattern)):
                entry = _entry(_LEFTOVERS, path)
                if not path.is_symlink() and entry.used < time.time() - _DAY_S:
                    yield entry


def _entry(kind: str, path: Path) -> _Entry:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    stats = [file.lstat() for file in files if file.is_file()]
    return _Entry(
        kind,
        path,
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime for stat in stats), default=path.lstat().st_mtime),
    )


def _remove(root: Path, entry: _Entry) -> None:
    from hearbench.files import TEMPORARY_PREFIX

    # Out of the way first, so that a half-removed entry is never read.
    doomed = entry.path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        entry.path.rename(doomed)
        if doomed.is_dir():
            shutil.rmtree(doomed)
        else:
            doomed.unlink()
        for parent in entry.path.parents:
            if parent.parent == root or any(parent.iterdir()):
                break
            parent.rmdir()
    except OSError as error:
        raise HearError(f"{entry.path} can't be removed: {error.strerror}.") from error
