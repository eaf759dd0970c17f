"""``hearbench list``: tasks, models, protocols and scores to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from hearbench.amounts import data_size
from hearbench.cli import options as o
from hearbench.cli import render
from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_json, answer_line
from hearbench.errors import HearError, UnknownNameError
from hearbench.registry import did_you_mean
from hearbench.table import Column, Table
from hearbench.workspace import Workspace

__all__ = ["list_verb"]

_SMALL = "small"

Row = dict[str, Any]


@dataclass(frozen=True)
class ModelFilters:
    """Which models are listed: one, or some of the published ones."""

    PANEL: ClassVar[str] = "Models"

    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One of the models, to show all of it.", show_default=False
        ),
    ] = None
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
        """Lists the published models that are asked for, after the baselines where all are."""
        from hearbench.evaluation import choices
        from hearbench.models import zoo

        if self.name is not None:
            return [choices.published_model(zoo.get(self.name))]
        found = zoo.recipes(
            self.find or "",
            domain=self.domain,
            licence=self.licence,
            needs_environment=self.needs_environment,
        )
        baselines = choices.baselines() if self == ModelFilters() else []
        return [*baselines, *map(choices.published_model, found)]


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
            metavar="[catalog|subsets|tasks|models|protocols|scores]",
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
    models: ModelFilters = ModelFilters(),
    cache: o.CacheDir = None,
    json: o.Json = False,
) -> None:
    """Lists tasks, models, protocols and scores.

    Tasks are those of the catalog and those in the cache, which other verbs know by name; with
    --dir those below that folder alone. Subsets are tasks that papers report together, and can be
    named like a task. Models are the baselines and published ones that other
    verbs know by name; any other HEAR-API module or file works as well.
    """
    from hearbench.evaluation import choices

    workspace = Workspace.from_environment(cache_dir=cache)
    kinds: dict[str, Callable[[], list[Row]]] = {
        "catalog": lambda: choices.catalog(workspace),
        "subsets": choices.subsets,
        "tasks": lambda: choices.tasks(workspace, folder),
        "models": models.rows,
        "protocols": choices.protocols,
        "scores": choices.scores,
    }
    if what is not None and what not in kinds:
        raise UnknownNameError(f"There is no list of {what!r}. {did_you_mean(what, list(kinds))}")
    if folder is not None and what not in (None, "tasks"):
        raise HearError(f"--dir lists tasks, which are no {what}. Leave out one of the two.")
    if what != "models" and models != ModelFilters():
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
        elif kind == "models" and models.name is not None:
            _show_facts(rows[0])
        elif kind == "models":
            _show_models(rows)
        else:
            _show(kind, rows)


# Too long for a table; --json has them.
_NOT_SHOWN = {"grid", "source"}


def _show(kind: str, rows: Sequence[Row]) -> None:
    names = [name for name in rows[0] if name not in _NOT_SHOWN]
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


def _needs(row: Row) -> str:
    """Says in a word what running a published model needs beside its weights."""
    if not row["spec"]:
        return "a wrapper"
    if row["needs_environment"]:
        return "environment"
    return "--trust-code" if row["trust_code"] else ""


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
    "needs": _needs,
    "licence": lambda row: str(row["licence_weights"]),
    "Hz": lambda row: str(row["sample_rate"]),
    "domains": lambda row: ", ".join(row["domains"]),
    "hop, ms": lambda row: "" if row["hop_ms"] is None else f"{row['hop_ms']:g}",
    "size": lambda row: "" if row["width"] is None else str(row["width"]),
    "family": lambda row: str(row["title"]),
    "tried": lambda row: str(row["tried"]),
}
_ZOO_ORDER = (
    "model", "family", "domains", "Hz", "hop, ms", "size", "licence", "needs", "tried",
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
