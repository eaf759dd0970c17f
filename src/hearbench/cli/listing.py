"""``hearbench list``: what there is to choose from."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hearbench.cli import options as o
from hearbench.cli.list_tasks import catalog_rows, show_catalog, task_rows
from hearbench.cli.running import verb
from hearbench.cli.tables import output_console
from hearbench.cli.terminal import answer_json, answer_line
from hearbench.errors import HearError, UnknownNameError
from hearbench.registry import did_you_mean
from hearbench.workspace import Workspace

__all__ = ["list_verb"]


@verb(
    "hearbench list protocols",
    "hearbench list tasks --dir demo-out --json",
)
def list_verb(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[catalog|tasks|models|protocols|scores]",
            help="By default all.",
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
    kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "catalog": lambda: catalog_rows(workspace),
        "tasks": lambda: task_rows(workspace, folder),
        "models": _models,
        "protocols": _protocols,
        "scores": _scores,
    }
    if what is not None and what not in kinds:
        raise UnknownNameError(f"There is no list of {what!r}. {did_you_mean(what, list(kinds))}")
    if folder is not None and what not in (None, "tasks"):
        raise HearError(f"--dir lists tasks, which are no {what}. Leave one of the two away.")
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
            show_catalog(rows, small=small)
        elif not rows:
            answer_line(f"No {kind} in {workspace.cache_dir if folder is None else folder}.")
        else:
            _show(kind, rows)


def _show(kind: str, rows: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(kind), title_justify="left", box=box.SIMPLE_HEAD)
    columns = [column for column in rows[0] if column != "grid"]
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    output_console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)


def _model_names() -> list[str]:
    """The modules of hearbench that follow the HEAR API, found without importing any."""
    import hearbench.models
    from hearbench.worker.importing import API_FUNCTIONS, submodules_with

    return sorted(submodules_with(hearbench.models, API_FUNCTIONS))


def _models() -> list[dict[str, Any]]:
    rows = []
    for name in _model_names():
        spec = importlib.util.find_spec(name)
        source = Path(spec.origin).read_text("utf-8") if spec and spec.origin else ""
        # The docstring is read from the source: importing the module would load torch.
        about = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        rows.append({"model": name, "about": about})
    return rows


def _protocols() -> list[dict[str, Any]]:
    from hearbench.probe.protocol import get_protocol, protocol_names

    rows = []
    for name in protocol_names():
        protocol = get_protocol(name)
        epochs = sorted({point.max_epochs for point in protocol.networks})
        rows.append(
            {
                "protocol": name,
                "grid_points": len(protocol.grid),
                "max_epochs": epochs,
                "batch_size": protocol.batch_size,
                "about": protocol.about(),
                "grid": [point.label() for point in protocol.grid],
            }
        )
    return rows


def _scores() -> list[dict[str, Any]]:
    from hearbench.metrics import (
        EventScore,
        SceneScore,
        event_score_names,
        get_event_score,
        get_scene_score,
        score_names,
    )

    scores: list[SceneScore | EventScore] = [get_scene_score(name) for name in score_names()]
    scores += [get_event_score(name) for name in event_score_names()]
    return [
        {"score": score.name, "about": score.title, "higher_is_better": score.maximise}
        for score in scores
    ]
