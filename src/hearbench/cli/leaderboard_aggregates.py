"""``hearbench leaderboard aggregates``: the models by several ways to make one number of scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.leaderboard_choice import (
    check_names,
    columns_of,
    nothing_left,
    own_rows,
    say_what_is_left_out,
)
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError, ResultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearbench.leaderboard.own_row import OwnRow
    from hearbench.leaderboard.table import Table

__all__ = ["aggregates"]

_TOP = 12


@verb(
    "hearbench leaderboard aggregates",
    "hearbench leaderboard aggregates --add results/my_model:mine --by mean-rank",
    "hearbench leaderboard aggregates --domain music --complete-only --all",
    "hearbench leaderboard aggregates --explain",
)
def aggregates(
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            "--with",
            metavar="RESULTS[:NAME]",
            help="One's own results: a folder that `hearbench evaluate --out` wrote to, of one "
            "model or several, and a name for the model. Repeatable.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="F", help="A leaderboard's CSV, instead of the one that hearbench has."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="NAME",
            help="Show one aggregate closely: values over all tasks and by domain, and how far its "
            "ranks hang on the tasks. Without it, the ranks by all of them stand side by side.",
        ),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="D",
            help="Count these tasks alone: speech, environment or music. Repeatable.",
        ),
    ] = None,
    complete_only: Annotated[
        bool,
        typer.Option("--complete-only", help="Leave out models that lack one of the scores."),
    ] = False,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="So many models, and one's own.")
    ] = _TOP,
    every: Annotated[bool, typer.Option("--all", help="All models.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each aggregate is, and nothing else.")
    ] = False,
    json: o.Json = False,
    as_csv: Annotated[
        bool,
        typer.Option("--as-csv", help="Answer in CSV on stdout: a line per aggregate and model."),
    ] = False,
) -> None:
    """Orders the models by several aggregates of their scores, each under its name.

    The benchmark has no overall score, and none of these is it. Ranges say how far a rank hangs on
    which tasks the benchmark has. Nothing is asked of the network.
    """
    if json and as_csv:
        raise HearError("--json and --as-csv are two forms of the same answer; choose one.")
    with answers_only():
        from hearbench.leaderboard.aggregates import AGGREGATES, get_aggregate
        from hearbench.leaderboard.standings import standings

        chosen = AGGREGATES if by is None else (get_aggregate(by),)
        mine: list[OwnRow] = []
        if not explain:
            columns_of(None, domain, False)  # refuses domains that there aren't
            mine = [row for text in add or () for row in own_rows(text)]
            check_names(mine)
            say_what_is_left_out(mine)
            if mine and not any(row.sources for row in mine):
                raise ResultError(nothing_left(mine))
            names = {row.row.model for row in mine if row.sources}
            found = standings(
                _with(_table(table), mine), domains=domain or (), complete_only=complete_only
            )
            for name in sorted(names - set(found.models)):
                say(f"{name} lacks some of the scores, so --complete-only leaves it out.")
    from hearbench.cli import leaderboard_aggregate_tables as tables

    if explain:
        if json:
            answer_json({"aggregates": tables.definitions(chosen)})
        else:
            tables.show_definitions(chosen)
        return
    n_shown = len(found.models) if every else top
    if json:
        answer_json(tables.as_json(found, chosen, names))
    elif as_csv:
        tables.write_csv(found, chosen, names)
    elif by is None:
        tables.show_side_by_side(found, names, n_shown)
    else:
        tables.show_closely(found, chosen[0], names, n_shown)
    if any(row.refused for row in mine):
        raise typer.Exit(BAD_INPUT)


def _table(path: Path | None) -> Table:
    from hearbench.leaderboard.csv_file import read_table
    from hearbench.leaderboard.official import official_table

    return official_table() if path is None else read_table(path)


def _with(table: Table, mine: Sequence[OwnRow]) -> Table:
    """The table with one's own models in it, in the place of those of the same names."""
    from hearbench.leaderboard.ranks import other_models

    for own in mine:
        if own.sources:
            table = other_models(table, own.row).with_row(own.row)
    return table
