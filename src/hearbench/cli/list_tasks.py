"""The tasks in ``hearbench list``: those of the catalog, and those that are here."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearbench.amounts import data_size
from hearbench.errors import UnknownNameError
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.tasks.catalog import TaskSpec

__all__ = ["catalog_rows", "show_catalog", "task_rows"]

_DEPTH = 3
_FULL_RATE = 48000
_BYTES_PER_SAMPLE = 2
_SMALL = "small"


def catalog_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Every mode of every task of the catalog."""
    from hearbench.tasks.catalog import catalog_names, get_spec

    specs = [get_spec(name) for name in catalog_names()]
    return [
        _catalog_row(spec, mode, workspace)
        for spec in sorted(specs, key=lambda spec: (spec.domain, spec.name))
        for mode in spec.modes
    ]


def _catalog_row(spec: TaskSpec, mode: str, workspace: Workspace) -> dict[str, Any]:
    from hearbench.tasks.ready_made import ready_made_names

    folder = workspace.path("tasks", spec.folder_name(mode))
    here = _task(folder)
    chosen, hours = spec.mode(mode), spec.hours_of(mode)
    corpus = "corpus" if spec.downloads_of(mode) else "TFDS export"
    return {
        "task": spec.name,
        "version": spec.version,
        "mode": mode,
        "title": spec.title,
        "about": spec.about,
        "domain": spec.domain,
        "kind": spec.embedding_type,
        "labels": spec.prediction_type,
        "clips": chosen.clips,
        "hours": None if hours is None else round(hours, 2),
        "scores": list(spec.scores),
        "bytes_at_48000": (
            None if hours is None else round(hours * 3600 * _FULL_RATE * _BYTES_PER_SAMPLE)
        ),
        "licence": spec.licence,
        "homepage": spec.homepage,
        "leaderboard": chosen.leaderboard,
        "from": (
            ["ready-made", corpus] if spec.folder_name(mode) in ready_made_names() else [corpus]
        ),
        "sample_rates_here": here["sample_rates"] if here else [],
        "folder": str(folder) if here else None,
    }


def show_catalog(rows: Sequence[dict[str, Any]], *, small: bool) -> None:
    """The catalog as a table; the cut-down corpora for tests only on request.

    Where the terminal is too narrow for all columns, the last ones of `_COLUMNS` are left out.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hearbench.cli.tables import output_console

    console = output_console()
    shown = [row for row in rows if small or row["mode"] != _SMALL]
    cells = {name: [column(row) for row in shown] for name, column in _COLUMNS.items()}
    # Three more for what stands between columns; a long licence may take several lines.
    widths = {
        name: min(_WIDEST, max(map(len, (name, *values)))) + 3 for name, values in cells.items()
    }
    names = list(_COLUMNS)
    while len(names) > _FEWEST_COLUMNS and sum(widths[name] for name in names) > console.width:
        names.pop()
    table = Table(title=Text("the catalog"), title_justify="left", box=box.SIMPLE_HEAD)
    for name in _IN_ORDER:
        if name in names:
            table.add_column(
                name, justify="right" if name in _NUMBERS else "left", no_wrap=name == "task"
            )
    for i in range(len(shown)):
        table.add_row(*(Text(cells[name][i]) for name in _IN_ORDER if name in names))
    console.print(table)
    hints = [
        "Sizes are those of the audio at 48 kHz." if "size" in names else "",
        "`hearbench tasks download TASK` fetches a ready-made one, `hearbench prepare TASK` makes "
        "it from its corpus; `evaluate` downloads what it needs.",
        "" if small else "--small lists the cut-down corpora for tests as well.",
        "" if len(names) == len(_COLUMNS) else "A wider terminal or --json shows more.",
    ]
    console.print(Text(" ".join(hint for hint in hints if hint)))


# By importance; of a narrow terminal the last ones are the first to go.
_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "task": lambda row: str(row["task"]),
    "mode": lambda row: str(row["mode"]),
    "clips": lambda row: "" if row["clips"] is None else str(row["clips"]),
    "here": lambda row: ", ".join(f"{rate / 1000:g}k" for rate in row["sample_rates_here"]),
    "kind": lambda row: str(row["kind"]),
    "hours": lambda row: "" if row["hours"] is None else f"{row['hours']:.1f}",
    "first score": lambda row: str(row["scores"][0]),
    "domain": lambda row: str(row["domain"]),
    "size": lambda row: "" if row["bytes_at_48000"] is None else data_size(row["bytes_at_48000"]),
    "from": lambda row: ", ".join(row["from"]),
    "licence": lambda row: str(row["licence"]),
}
_IN_ORDER = (
    "task", "mode", "domain", "kind", "clips", "hours", "size", "first score", "licence", "from",
    "here",
)  # fmt: skip
_NUMBERS = {"clips", "hours", "size"}
_FEWEST_COLUMNS = 3
_WIDEST = 30


def task_rows(workspace: Workspace, folder: Path | None) -> list[dict[str, Any]]:
    """The tasks below a folder, or in the cache if none is given.

    Raises:
        UnknownNameError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise UnknownNameError(f"There is no folder {folder}.")
    place = workspace.path("tasks") if folder is None else folder
    found = {path.resolve() for path in _below(place)} if place.is_dir() else set()
    rows = (_task(path) for path in found)
    return sorted((row for row in rows if row), key=lambda row: (row["task"], row["folder"]))


def _below(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Task folders at or below a folder."""
    from hearbench.tasks.check import METADATA

    if (folder / METADATA).is_file():
        yield folder
    elif depth > 0:
        for below in sorted(folder.iterdir()):
            if below.is_dir() and not below.name.startswith("."):
                yield from _below(below, depth - 1)


def _task(folder: Path) -> dict[str, Any] | None:
    from pydantic import ValidationError

    from hearbench.tasks.check import METADATA
    from hearbench.tasks.spec import TaskMetadata

    try:
        metadata = TaskMetadata.model_validate_json((folder / METADATA).read_bytes())
        clips = sum(
            len(json_module.loads((folder / f"{split}.json").read_bytes()))
            for split in metadata.splits
        )
    except (OSError, ValueError, ValidationError, TypeError):
        return None  # a list shows what can be used; load_task says what is wrong with the rest
    rates = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    return {
        "task": metadata.name,
        "kind": metadata.embedding_type,
        "labels": metadata.prediction_type,
        "splits": len(metadata.splits),
        "clips": clips,
        "scores": list(metadata.evaluation),
        "sample_rates": rates,
        "folder": str(folder),
    }
