"""``hearbench list``: tasks, models, protocols and scores to choose from."""

from __future__ import annotations

import ast
import importlib.util
import json as json_module
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

import hearbench.models
from hearbench.amounts import data_size
from hearbench.cli import options as o
from hearbench.cli import render
from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_json, answer_line
from hearbench.errors import HearError, UnknownNameError
from hearbench.metrics import (
    EventScore,
    SceneScore,
    event_score_names,
    get_event_score,
    get_scene_score,
    score_names,
)
from hearbench.probe.protocol import get_protocol, protocol_names
from hearbench.registry import did_you_mean
from hearbench.table import Column, Table
from hearbench.tasks.catalog import TaskSpec, catalog_names, get_spec
from hearbench.tasks.check import METADATA
from hearbench.tasks.locate import TASKS_FOLDER
from hearbench.tasks.ready_made import ready_made_names
from hearbench.tasks.spec import TaskMetadata
from hearbench.worker.importing import API_FUNCTIONS, submodules_with
from hearbench.workspace import Workspace

__all__ = ["list_verb"]

_DEPTH = 3
_FULL_RATE = 48000
_BYTES_PER_SAMPLE = 2
_SMALL = "small"

Row = dict[str, Any]


@verb(
    "hearbench list protocols",
    "hearbench list tasks --dir demo-out --json",
)
def list_verb(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[catalog|tasks|models|protocols|scores]",
            help="Kind of thing to list; by default all.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="List only the tasks below this folder."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Show the cut-down corpora of the catalog as well.")
    ] = False,
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Lists tasks, models, protocols and scores.

    Tasks are those of the catalog and those in the cache, which other verbs know by name; with
    --dir those below that folder alone. Models are the ones that come with hearbench; any other
    HEAR-API module or file works as well.
    """
    workspace = Workspace.from_environment(cache_dir=cache)
    kinds: dict[str, Callable[[], list[Row]]] = {
        "catalog": lambda: _catalog(workspace),
        "tasks": lambda: _tasks(workspace, folder),
        "models": _models,
        "protocols": _protocols,
        "scores": _scores,
    }
    if what is not None and what not in kinds:
        raise UnknownNameError(f"There is no list of {what!r}. {did_you_mean(what, list(kinds))}")
    if folder is not None and what not in (None, "tasks"):
        raise HearError(f"--dir lists tasks, which are no {what}. Leave out one of the two.")
    if folder is not None:
        wanted = ["tasks"]
    elif what == "tasks":
        wanted = ["catalog", "tasks"]
    else:
        wanted = [what] if what else list(kinds)
    found = {kind: kinds[kind]() for kind in wanted}
    if json:
        answer_json(found)
        return
    for kind, rows in found.items():
        if kind == "catalog":
            _show_catalog([row for row in rows if small or row["mode"] != _SMALL], small=small)
        elif not rows:
            answer_line(f"No {kind} in {workspace.cache_dir if folder is None else folder}.")
        else:
            _show(kind, rows)


def _show(kind: str, rows: Sequence[Row]) -> None:
    names = [name for name in rows[0] if name != "grid"]
    columns = [Column(name.replace("_", " "), _cell, wrap="anywhere") for name in names]
    table = Table(columns, kind)
    for row in rows:
        table.add(*(row[name] for name in names))
    render.show(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


# The catalog's columns by importance; of a narrow terminal the last ones are the first to go.
_CATALOG: Mapping[str, Callable[[Row], str]] = {
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


def _show_catalog(rows: Sequence[Row], *, small: bool) -> None:
    """The catalog as a table, of as many columns as the terminal is wide."""
    cells = {name: [column(row) for row in rows] for name, column in _CATALOG.items()}
    # Three more for what stands between columns; a long licence may take several lines.
    widths = {
        name: min(_WIDEST, max(map(len, (name, *values)))) + 3 for name, values in cells.items()
    }
    shown = list(_CATALOG)
    width = render.output_console().width
    while len(shown) > _FEWEST_COLUMNS and sum(widths[name] for name in shown) > width:
        shown.pop()
    in_order = [name for name in _IN_ORDER if name in shown]
    columns = [
        Column(
            name,
            align="right" if name in _NUMBERS else "left",
            wrap="no" if name == "task" else "between words",
        )
        for name in in_order
    ]
    table = Table(columns, "the catalog")
    for values in zip(*(cells[name] for name in in_order), strict=True):
        table.add(*values)
    hints = [
        "Sizes are those of the audio at 48 kHz." if "size" in shown else "",
        "`hearbench tasks download TASK` fetches a ready-made one, `hearbench prepare TASK` makes "
        "it from its corpus; `evaluate` downloads what it needs.",
        "" if small else "--small lists the cut-down corpora for tests as well.",
        "" if len(shown) == len(_CATALOG) else "A wider terminal or --json shows more.",
    ]
    render.show(table, " ".join(hint for hint in hints if hint))


def _catalog(workspace: Workspace) -> list[Row]:
    """Every mode of every task of the catalog."""
    specs = [get_spec(name) for name in catalog_names()]
    return [
        _catalog_row(spec, mode, workspace)
        for spec in sorted(specs, key=lambda spec: (spec.domain, spec.name))
        for mode in spec.modes
    ]


def _catalog_row(spec: TaskSpec, mode: str, workspace: Workspace) -> Row:
    folder = workspace.path(TASKS_FOLDER, spec.folder_name(mode))
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


def _tasks(workspace: Workspace, folder: Path | None) -> list[Row]:
    """The tasks below a folder, or in the cache if none is given.

    Raises:
        UnknownNameError: There is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise UnknownNameError(f"There is no folder {folder}.")
    root = workspace.path(TASKS_FOLDER) if folder is None else folder
    folders = {path.resolve() for path in _below(root)} if root.is_dir() else set()
    rows = (_task(path) for path in folders)
    return sorted((row for row in rows if row), key=lambda row: (row["task"], row["folder"]))


def _below(folder: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Task folders at or below a folder."""
    if (folder / METADATA).is_file():
        yield folder
    elif depth > 0:
        for below in sorted(folder.iterdir()):
            if below.is_dir() and not below.name.startswith("."):
                yield from _below(below, depth - 1)


def _task(folder: Path) -> Row | None:
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


def _models() -> list[Row]:
    """The modules of hearbench that follow the HEAR API, found without importing any."""
    rows = []
    for name in sorted(submodules_with(hearbench.models, API_FUNCTIONS)):
        spec = importlib.util.find_spec(name)
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
        # The docstring is read from the source: importing the module would load torch.
        about = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        rows.append({"model": name, "about": about})
    return rows


def _protocols() -> list[Row]:
    protocols = [get_protocol(name) for name in protocol_names()]
    return [
        {
            "protocol": protocol.name,
            "grid_points": len(protocol.grid),
            "max_epochs": sorted({point.max_epochs for point in protocol.networks}),
            "batch_size": protocol.batch_size,
            "about": protocol.about(),
            "grid": [point.label() for point in protocol.grid],
        }
        for protocol in protocols
    ]


def _scores() -> list[Row]:
    scores: list[SceneScore | EventScore] = [get_scene_score(name) for name in score_names()]
    scores += [get_event_score(name) for name in event_score_names()]
    return [
        {"score": score.name, "about": score.title, "higher_is_better": score.maximise}
        for score in scores
    ]
