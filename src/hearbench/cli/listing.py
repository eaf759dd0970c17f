"""``hearbench list``: tasks, models, protocols and scores to choose from."""

from __future__ import annotations

import ast
import importlib.util
import json as json_module
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from hearbench.models import zoo
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


@dataclass(frozen=True)
class ModelFilters:
    """Which of the published models are listed."""

    find: Annotated[
        str | None,
        typer.Option(
            "--find", metavar="TEXT", help="List only models that are described by these words."
        ),
    ] = None
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            metavar="speech|environment|music",
            help="List only models for these sounds.",
        ),
    ] = None
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            metavar="NAME",
            help="List only models whose weights have this licence; a part of its name will do.",
        ),
    ] = None
    needs_environment: Annotated[
        bool | None,
        typer.Option(
            "--needs-environment/--no-environment",
            help="List only models that run in an environment of their own, or only the others.",
            show_default=False,
        ),
    ] = None

    def rows(self) -> list[Row]:
        """What is left of the published models, below the baselines where nothing is asked for."""
        found = zoo.recipes(
            self.find or "",
            domain=self.domain,
            licence=self.licence,
            needs_environment=self.needs_environment,
        )
        baselines = _baselines() if self == ModelFilters() else []
        return [*baselines, *map(_recipe_row, found)]


@verb(
    "hearbench list protocols",
    "hearbench list tasks --dir demo-out --json",
    "hearbench list models --domain music --licence mit",
    "hearbench list models dasheng-base",
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
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One of the models, to show all of it.", show_default=False
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="List only the tasks below this folder."),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Show the cut-down corpora of the catalog as well.")
    ] = False,
    models: ModelFilters = ModelFilters(),
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Lists tasks, models, protocols and scores.

    Tasks are those of the catalog and those in the cache, which other verbs know by name; with
    --dir those below that folder alone. Models are the baselines and published ones that other
    verbs know by name; any other HEAR-API module or file works as well.
    """
    workspace = Workspace.from_environment(cache_dir=cache)
    kinds: dict[str, Callable[[], list[Row]]] = {
        "catalog": lambda: _catalog(workspace),
        "tasks": lambda: _tasks(workspace, folder),
        "models": models.rows if name is None else lambda: [_recipe_row(zoo.get(name))],
        "protocols": _protocols,
        "scores": _scores,
    }
    if what is not None and what not in kinds:
        raise UnknownNameError(f"There is no list of {what!r}. {did_you_mean(what, list(kinds))}")
    if folder is not None and what not in (None, "tasks"):
        raise HearError(f"--dir lists tasks, which are no {what}. Leave out one of the two.")
    if what != "models" and (name is not None or models != ModelFilters()):
        raise HearError(
            "A name, --find, --domain, --licence and --needs-environment choose among models: "
            "hearbench list models ..."
        )
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
            place = "that are so" if kind == "models" else f"in {folder or workspace.cache_dir}"
            answer_line(f"No {kind} {place}.")
        elif kind == "models" and name is not None:
            _show_facts(rows[0])
        elif kind == "models":
            _show_models(rows)
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


# Columns by importance; of a narrow terminal the last ones are the first to go.
_Columns = Mapping[str, Callable[[Row], str]]
_CATALOG: _Columns = {
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
_CATALOG_ORDER = (
    "task", "mode", "domain", "kind", "clips", "hours", "size", "first score", "licence", "from",
    "here",
)  # fmt: skip
_ZOO: _Columns = {
    "model": lambda row: str(row["model"]),
    "Hz": lambda row: str(row["sample_rate"]),
    "licence": lambda row: str(row["licence_weights"]),
    "environment": lambda row: "own" if row["needs_environment"] else "",
    "domains": lambda row: ", ".join(row["domains"]),
    "hop, ms": lambda row: "" if row["hop_ms"] is None else f"{row['hop_ms']:g}",
    "size": lambda row: "" if row["width"] is None else str(row["width"]),
    "family": lambda row: str(row["title"]),
    "tried": lambda row: str(row["tried"]),
}
_ZOO_ORDER = (
    "model", "family", "domains", "Hz", "hop, ms", "size", "licence", "environment", "tried",
)  # fmt: skip
_NUMBERS = {"clips", "hours", "size", "Hz", "hop, ms"}
_FEWEST_COLUMNS = 3
_WIDEST = 30


def _fitting(rows: Sequence[Row], columns: _Columns, order: Sequence[str], title: str) -> Table:
    """A table of as many columns as the terminal is wide.

    Args:
        columns: What each shows of a row, by importance; the first is never broken.
        order: Their names as they stand side by side.
    """
    cells = {name: [column(row) for row in rows] for name, column in columns.items()}
    # Three more for what stands between columns; a long licence may take several lines.
    widths = {
        name: min(_WIDEST, max(map(len, (name, *values)))) + 3 for name, values in cells.items()
    }
    shown = list(columns)
    first, width = shown[0], render.output_console().width
    while len(shown) > _FEWEST_COLUMNS and sum(widths[name] for name in shown) > width:
        shown.pop()
    in_order = [name for name in order if name in shown]
    table = Table(
        [
            Column(
                name,
                align="right" if name in _NUMBERS else "left",
                wrap="no" if name == first else "between words",
            )
            for name in in_order
        ],
        title,
    )
    for values in zip(*(cells[name] for name in in_order), strict=True):
        table.add(*values)
    return table


def _show_catalog(rows: Sequence[Row], *, small: bool) -> None:
    table = _fitting(rows, _CATALOG, _CATALOG_ORDER, "the catalog")
    hints = [
        "Sizes are those of the audio at 48 kHz."
        if any(column.name == "size" for column in table.columns)
        else "",
        "`hearbench tasks download TASK` fetches a ready-made one, `hearbench prepare TASK` makes "
        "it from its corpus; `evaluate` downloads what it needs.",
        "" if small else "--small lists the cut-down corpora for tests as well.",
        "" if len(table.columns) == len(_CATALOG) else "A wider terminal or --json shows more.",
    ]
    render.show(table, " ".join(hint for hint in hints if hint))


def _show_models(rows: Sequence[Row]) -> None:
    """The modules of hearbench, and the published models below them."""
    baselines = [row for row in rows if "family" not in row]
    published = [row for row in rows if "family" in row]
    if baselines:
        _show("models", baselines)
    if published:
        table = _fitting(published, _ZOO, _ZOO_ORDER, "published models, by name")
        render.show(
            table,
            "`hearbench list models NAME` shows all that is known of one; "
            "`hearbench evaluate NAME ...` downloads and runs it.",
        )


def _show_facts(row: Row) -> None:
    """One model in full: what is known, and what isn't sure."""
    unchecked = row["unchecked"]
    table = Table([Column("fact"), Column("value", _cell, wrap="anywhere")], row["model"])
    for key, value in row.items():
        if key not in ("model", "unchecked") and value not in (None, "", [], {}):
            text = ", ".join(f"{k}={v}" for k, v in value.items()) if key == "options" else value
            doubt = " (unchecked)" if key in unchecked else ""
            table.add(key.replace("_", " "), _cell(text) + doubt)
    render.show(table)


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


def _baselines() -> list[Row]:
    """The modules of hearbench that follow the HEAR API, found without importing any."""
    rows = []
    for name in sorted(submodules_with(hearbench.models, API_FUNCTIONS)):
        spec = importlib.util.find_spec(name)
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
        # The docstring is read from the source: importing the module would load torch.
        about = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        rows.append({"model": name, "about": about})
    return rows


def _recipe_row(recipe: zoo.Recipe) -> Row:
    facts = recipe.model_dump(mode="json", exclude={"name"})
    return {"model": recipe.name, "needs_environment": recipe.needs_environment, **facts}


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
