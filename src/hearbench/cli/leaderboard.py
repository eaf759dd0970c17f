"""``hearbench leaderboard``: the benchmark's table, one's own models in it, the paper's figures."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearbench.cli import leaderboard_aggregates
from hearbench.cli import options as o
from hearbench.cli.leaderboard_choice import (
    OWN_ORDERS,
    TABLE_ORDERS,
    check_names,
    columns_of,
    names_of,
    nothing_left,
    order_of,
    own_rows,
    say_what_is_left_out,
)
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line, say
from hearbench.errors import ResultError

if TYPE_CHECKING:
    from hearbench.leaderboard.table import Row, Table

__all__ = ["app"]

app = typer.Typer(
    help="The benchmark's table of models: look at it, put one's own beside them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Csv = Annotated[
    Path | None,
    typer.Option(
        "--csv", metavar="F", help="A leaderboard's CSV, instead of the one that hearbench has."
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="RESULTS[:NAME]",
        help="One's own results: a folder that `hearbench evaluate --out` wrote to, of one model "
        "or several, and a name for the model. Repeatable.",
    ),
]


@app.command("show")
@verb(
    "hearbench leaderboard show --with results",
    "hearbench leaderboard show --task ESC-50 --with results/my_model:mine",
    "hearbench leaderboard show --domain music --sort 'Beijing Opera'",
)
def show(
    csv: Csv = None,
    own: With = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="COLUMN", help="Show all models on this. Repeatable."),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="D",
            help="Show all models on these tasks: speech, environment or music. Repeatable.",
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
            help="Order by a task, or by model, date, sum or mean; with --with alone by task, "
            "score, rank or gap.",
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Shows the table, and where one's own models stand in it.

    With --with alone: each task's score, its rank, and the gap to the best. With --task,
    --domain or --all: the raw scores of all models. Otherwise an overview, ordered as in the
    paper. Nothing is asked of the network.
    """
    with answers_only():
        table = _table(csv)
        mine = [row for text in own or () for row in own_rows(text)]
        check_names(mine)
        columns = columns_of(task, domain, every)
        only_own = bool(mine) and not columns
        order = order_of(sort, OWN_ORDERS if only_own else TABLE_ORDERS)
        say_what_is_left_out(mine)
        usable = [row for row in mine if row.sources]
        if mine and not usable:
            raise ResultError(nothing_left(mine))
    from hearbench.cli import leaderboard_tables as tables

    rows = [row.row for row in usable]
    if json:
        answer_json(tables.as_json(table, usable, columns, order, mine))
    elif only_own:
        for row in usable:
            tables.show_own(table, row, order)
    elif columns:
        tables.show_scores(table, rows, columns, order)
    else:
        tables.show_overview(table, order)
    if any(row.refused for row in mine):
        raise typer.Exit(BAD_INPUT)


@app.command("add")
@verb(
    "hearbench leaderboard add --csv leaderboard.csv --with results/my_model --name 'Our model' "
    "--url https://example.org/model",
)
def add(
    csv: Annotated[
        Path,
        typer.Option(
            "--csv", metavar="F", help="The CSV; begun from the official table if it isn't there."
        ),
    ],
    own: Annotated[
        Path,
        typer.Option("--with", metavar="RESULTS", help="The folder of the model's results."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Of the model, instead of the results' own.")
    ] = None,
    url: Annotated[str, typer.Option("--url", help="Where the model is described.")] = "",
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="By default today.")
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
        from hearbench.leaderboard.csv_file import write_table
        from hearbench.leaderboard.own_row import find_results, own_row
        from hearbench.locks import lock_beside, one_after_another

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
        with one_after_another(lock_beside(csv), f"entering a row into {csv}", say):
            table = _table(csv if csv.exists() else None)
            before = _same_named(table, row, csv)
            if before is not None and before != row and not overwrite:
                raise ResultError(
                    f"{csv} has a model named {row.model!r}, submitted "
                    f"{before.submitted or 'at an unknown date'}. Choose another --name, or "
                    "--overwrite to replace its row."
                )
            write_table(table.with_row(row), csv)
    _tell(row, before, csv, as_json=json)


app.command("aggregates")(leaderboard_aggregates.aggregates)


@app.command("figures")
@verb("hearbench leaderboard figures --out figures.json")
def figures(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The JSON to write.")],
    csv: Csv = None,
) -> None:
    """Writes the numbers behind the paper's figures as JSON.

    Normalised scores and their means, both correlation matrices with the order and the choice in
    which the paper shows them, and the maps by t-SNE.
    """
    with answers_only():
        from hearbench.files import write_json
        from hearbench.leaderboard.paper import paper_figures

        write_json(out, paper_figures(_table(csv)))
    answer_line(out)


def _table(csv: Path | None) -> Table:
    from hearbench.leaderboard.csv_file import read_table
    from hearbench.leaderboard.official import official_table

    return official_table() if csv is None else read_table(csv)


def _same_named(table: Table, row: Row, csv: Path) -> Row | None:
    """The row of that name; one that differs in case or spaces alone is refused."""
    from hearbench.leaderboard.cells import name_key

    for other in table:
        if other.model == row.model:
            return other
        if name_key(other.model) == name_key(row.model):
            raise ResultError(
                f"{csv} has a model named {other.model!r}, from which {row.model!r} differs in "
                "case or spaces alone. Use that name, or quite another."
            )
    return None


def _tell(row: Row, before: Row | None, csv: Path, *, as_json: bool) -> None:
    from hearbench.leaderboard.table import COLUMNS

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
