"""``hearbench cache``: contents of the cache, and making room."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import data_size
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import HearError
from hearbench.table import Column, Table
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.cache import CacheEntry

__all__ = ["app"]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, add_completion=False)

# So many entries are listed before the question whether to remove them.
_LISTED = 20


@app.callback()
@verb(
    "hearbench cache",
    "hearbench cache --json",
    "hearbench cache clear embeddings --older-than 30",
)
def cache_verb(context: typer.Context, cache: o.CacheDir = None, json: o.Json = False) -> None:
    """Shows what the cache holds, and makes room."""
    from hearbench.cache import KINDS, cache_entries

    if context.invoked_subcommand is not None:
        # Given before the subcommand or after it, the folder is the same.
        context.obj = cache
        return
    workspace = Workspace.from_environment(cache_dir=cache)
    entries = cache_entries(workspace)
    total = sum(entry.bytes for entry in entries)
    table = Table(
        [
            Column("kind"),
            Column("entries", align="right"),
            Column("bytes", data_size, align="right"),
            Column("about", wrap="between words"),
        ],
        f"{workspace.cache_dir}: {data_size(total)}",
    )
    for kind, about in KINDS.items():
        sizes = [entry.bytes for entry in entries if entry.kind == kind]
        table.add(kind, len(sizes), sum(sizes), about.about)
    if json:
        folder = str(workspace.cache_dir)
        answer_json({"folder": folder, "bytes": total, "kinds": table.to_json()})
    else:
        show(table)


@app.command("clear")
@verb("hearbench cache clear embeddings --older-than 30", "hearbench cache clear --yes")
def clear(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help="Kind of entries; by default all but tasks.", show_default=False
        ),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than", metavar="DAYS", min=0, help="Remove only what was written longer ago."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Removes entries from the cache, after asking.

    Everything but tasks is made again when it is needed; tasks go only if they are named.
    """
    from hearbench.cache import KINDS, cache_entries, remove_entry

    workspace = Workspace.from_environment(cache_dir=cache or context.obj)
    entries = [
        entry
        for entry in cache_entries(workspace, kind, older_than_days=older_than)
        if kind or not KINDS[entry.kind].spared
    ]
    total = sum(entry.bytes for entry in entries)
    if entries and not yes:
        _ask(entries, total)
    for entry in entries:
        remove_entry(workspace, entry)
    if json:
        removed = [{"kind": e.kind, "path": str(e.path), "bytes": e.bytes} for e in entries]
        answer_json({"removed": removed, "bytes": total})
    else:
        answer_line(f"Removed {_counted(len(entries))}, {data_size(total)}.")


def _ask(entries: Sequence[CacheEntry], total: int) -> None:
    for entry in entries[:_LISTED]:
        say(f"  {entry.path} ({data_size(entry.bytes)})")
    if len(entries) > _LISTED:
        say(f"  and {len(entries) - _LISTED} more")
    if not sys.stdin.isatty():
        raise HearError("Nothing was removed: there is no one to ask. Add --yes.")
    if not typer.confirm(f"Remove {_counted(len(entries))}, {data_size(total)}?", err=True):
        raise HearError("Nothing was removed.")


def _counted(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
