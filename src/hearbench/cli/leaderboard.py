"""``hearbench leaderboard``: the benchmark's table, your models in it, the paper's figures."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from hearbench.cli import leaderboard_tables as tables
from hearbench.cli import options as o
from hearbench.cli.leaderboard_options import Csv, counted, say_what_is_left_out
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import ResultError, UnknownNameError
from hearbench.files import write_json
from hearbench.leaderboard.columns import columns_of_domains, find_column
from hearbench.leaderboard.official import enter_row, table_or_official
from hearbench.leaderboard.own_row import find_results, names_of, own_row, own_rows
from hearbench.leaderboard.paper import paper_figures
from hearbench.leaderboard.ranks import ORDERS
from hearbench.leaderboard.table import COLUMNS, Row
from hearbench.registry import did_you_mean

__all__ = ["add", "figures", "show"]


@verb(
    "hearbench leaderboard show --with results",
    "hearbench leaderboard show --task ESC-50 --with results/my_model:mine",
    "hearbench leaderboard show --domain music --sort 'Beijing Opera'",
)
def show(
    csv: Csv = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="RESULTS[:NAME]",
            help="Your own results: a folder that `hearbench evaluate --out` wrote to, of one "
            "model or several, and a name for the model. Repeatable.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="COLUMN", help="Task to show all models on. Repeatable."),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="D",
            help="Domain to show all models on: speech, environment or music. Repeatable.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show all models on all tasks, in parts that fit.")
    ] = False,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help="Order of the models: a task, model, date, sum or mean; with --with alone of the "
            "tasks: task, score, rank or gap.",
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Shows the table, and where your own models stand in it.

    With --with alone: each task's score, its rank, and the gap to the best. With --task,
    --domain or --all: the raw scores of all models. Otherwise an overview, ordered as in the
    paper. Nothing is asked of the network.
    """
    with answers_only():
        table = table_or_official(csv)
        mine = own_rows(own or ())
        wanted = {*map(find_column, task or ()), *columns_of_domains(domain or ())}
        columns = tuple(column for column in COLUMNS if every or column in wanted)
        only_own = bool(mine) and not columns
        order = _order(sort, only_own=only_own)
        usable = counted(mine)
    if json:
        answer_json(tables.as_json(table, usable, columns, order, mine))
    elif only_own:
        for row in usable:
            tables.show_own(table, row, order)
    elif columns:
        tables.show_scores(table, [row.row for row in usable], columns, order)
    else:
        tables.show_overview(table, order)
    if any(row.refused for row in mine):
        raise typer.Exit(BAD_INPUT)


def _order(sort: str | None, *, only_own: bool) -> str | None:
    known = tables.OWN_ORDERS if only_own else ORDERS
    if sort is None or sort.lower() in known:
        return None if sort is None else sort.lower()
    if only_own:
        raise UnknownNameError(f"--sort {sort}: {did_you_mean(sort, list(known))}")
    try:
        return find_column(sort)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} Or use {', '.join(known)}.") from error


@verb(
    "hearbench leaderboard add --csv leaderboard.csv --with results/my_model --name 'Our model' "
    "--url https://example.org/model",
)
def add(
    csv: Annotated[
        Path,
        typer.Option(
            "--csv",
            metavar="F",
            help="CSV of the leaderboard; a new one begins with the official table.",
        ),
    ],
    own: Annotated[
        Path,
        typer.Option("--with", metavar="RESULTS", help="Folder of the model's results."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model, instead of the results' own.")
    ] = None,
    url: Annotated[str, typer.Option("--url", help="Web address of the model's description.")] = "",
    date: Annotated[
        str | None,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", help="Date of the submission; by default today."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the row of a model of that name.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Enters a model into a leaderboard's CSV.

    All results of tasks that are on the leaderboard must count; docs/leaderboard.md says which
    do. The file is written in the official form, and is whole or unchanged.
    """
    with answers_only():
        found = find_results(own)
        if len(found) > 1:
            raise ResultError(
                f"{own} has the results of {len(found)} models, {names_of(found)}. Name the folder "
                "of one."
            )
        (files,) = found.values()
        submitted = dt.date.today().isoformat() if date is None else date
        made = own_row(files, name, url=url, submitted=submitted)
        row = made.enterable()
        say_what_is_left_out([made])
        before = enter_row(row, csv, overwrite=overwrite, tell=say)
    _tell(row, before, csv, as_json=json)


@verb("hearbench leaderboard figures --out figures.json")
def figures(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="JSON file to write.")],
    csv: Csv = None,
) -> None:
    """Writes the numbers behind the paper's figures as JSON.

    Normalised scores and their means, both correlation matrices with the order and the choice in
    which the paper shows them, and the maps by t-SNE.
    """
    with answers_only():
        write_json(out, paper_figures(table_or_official(csv)))
    answer_line(out)


def _tell(row: Row, before: Row | None, csv: Path, *, as_json: bool) -> None:
    done = "added" if before is None else "unchanged" if before == row else "replaced"
    missing = [c for c, score in zip(COLUMNS, row.scores, strict=True) if score is None]
    if as_json:
        answer: dict[str, Any] = {"csv": str(csv), "model": row.model, "done": done}
        answer["scores"] = dict(zip(COLUMNS, row.scores, strict=True))
        answer_json(answer)
        return
    answer_line(f"{csv}: {done} {row.model}, {len(COLUMNS) - len(missing)} of {len(COLUMNS)} tasks")
    if before is not None and before != row:
        for column, old, new in zip(COLUMNS, before.scores, row.scores, strict=True):
            if old != new:
                answer_line(f"  {column}: {_shown(old)} -> {_shown(new)}")
    if missing:
        say(f"No result for {', '.join(missing)}; their cells are empty.")


def _shown(score: float | None) -> str:
    return "empty" if score is None else f"{score:.9g}"
