"""``hearbench leaderboard aggregates``: the models by several ways to make one number of scores."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearbench.cli import options as o
from hearbench.cli.leaderboard import MODEL, OWN_MARK, OWN_RESULTS, OWN_STYLE, Csv, counted
from hearbench.cli.render import show
from hearbench.cli.running import BAD_INPUT, answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError, UnknownNameError
from hearbench.table import Column, Styled, Table

if TYPE_CHECKING:
    from hearbench.leaderboard.aggregates import Aggregate
    from hearbench.leaderboard.standings import Standing, Standings

__all__ = ["aggregates"]

_TOP = 12


@verb(
    "hearbench leaderboard aggregates",
    "hearbench leaderboard aggregates --add results/my_model:mine --by mean-rank",
    "hearbench leaderboard aggregates --domain music --complete-only --all",
    "hearbench leaderboard aggregates --task hear-11 --by min-max --ends-from rows",
    "hearbench leaderboard aggregates --explain",
)
def aggregates(
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            "--with",
            metavar="RESULTS[:NAME]",
            help=OWN_RESULTS,
        ),
    ] = None,
    csv: Csv = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="NAME",
            help="Show one aggregate closely: values over all tasks and by domain, and how far its "
            "ranks hang on the tasks. Without it, the ranks by all of them stand side by side.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME",
            help="Task, or named subset as hear-11, that counts; by default all. Repeatable.",
        ),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(
            "--domain",
            metavar="D",
            help="Domain whose tasks count: speech, environment or music. Repeatable.",
        ),
    ] = None,
    complete_only: Annotated[
        bool,
        typer.Option("--complete-only", help="Leave out models that lack one of the scores."),
    ] = False,
    ends_from: Annotated[
        str,
        typer.Option(
            "--ends-from",
            metavar="table|rows",
            help="Whose lowest and highest scores are the ends of min-max: those of the official "
            "table, or of the models that are ranked.",
        ),
    ] = "table",
    top: Annotated[
        int,
        typer.Option(
            "--top", metavar="N", min=1, help="Number of models to show, besides your own."
        ),
    ] = _TOP,
    every: Annotated[bool, typer.Option("--all", help="Show all models.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what each aggregate is, and nothing else.")
    ] = False,
    json: o.Json = False,
    as_csv: Annotated[
        bool,
        typer.Option("--as-csv", help="Answer in CSV on stdout, a line per aggregate and model."),
    ] = False,
) -> None:
    """Orders the models by several aggregates of their scores, each under its name.

    The benchmark has no overall score, and none of these is it. Ranges say how far a rank hangs on
    which tasks the benchmark has. Nothing is asked of the network.
    """
    from hearbench.leaderboard.aggregates import AGGREGATES, AGGREGATES_OF_ROWS, get_aggregate
    from hearbench.leaderboard.columns import columns_of_domains, find_columns
    from hearbench.leaderboard.official import table_or_official
    from hearbench.leaderboard.own_row import own_rows
    from hearbench.leaderboard.ranks import with_own
    from hearbench.leaderboard.standings import standings

    if json and as_csv:
        raise HearError("--json and --as-csv are two forms of the same answer; choose one.")
    if ends_from not in ("table", "rows"):
        raise UnknownNameError(f"--ends-from {ends_from}: choose table or rows.")
    chosen = AGGREGATES_OF_ROWS if ends_from == "rows" else AGGREGATES
    if by is not None:
        chosen = tuple(item for item in chosen if item.name == get_aggregate(by).name)
    if explain:
        _explain(chosen, as_json=json)
        return
    with answers_only():
        columns_of_domains(domain or ())  # refuses domains that don't exist
        mine = own_rows(add or ())
        rows = [own.row for own in counted(mine)]
        found = standings(
            with_own(table_or_official(csv), rows),
            reference="rows" if ends_from == "rows" else None,
            columns=find_columns(task or ()),
            domains=domain or (),
            complete_only=complete_only,
        )
        names = {row.model for row in rows}
        for name in sorted(names - set(found.models)):
            say(f"{name} lacks some of the scores, so --complete-only leaves it out.")
    n_shown = len(found.models) if every else top
    if json:
        answer_json({"ends_from": ends_from, **_as_json(found, chosen, names)})
    elif as_csv:
        sys.stdout.write(_as_csv(found, chosen, names))
    elif by is None:
        _show_side_by_side(found, names, n_shown)
    else:
        _show_closely(found, found.of(chosen[0].name), names, n_shown)
    if any(row.refused for row in mine):
        raise typer.Exit(BAD_INPUT)


def _show_side_by_side(found: Standings, own: Set[str], n_shown: int) -> None:
    first = found.by_aggregate[0]
    heads = [item.aggregate.name for item in found.by_aggregate]
    table = _table(
        f"ranks by {len(heads)} aggregates, ordered by {first.aggregate.name}",
        *(Column(head.replace("-", "\n"), _rank, align="right") for head in heads),
        Column("over\nall", _range, align="right"),
    )
    low, high = found.rank_range()
    for i in _shown(first, found, own, n_shown):
        ranks = (item.ranks[i] for item in found.by_aggregate)
        _add(table, found, own, i, first.ranks[i], *ranks, (low[i], high[i]))
    show(
        table,
        *_how_many(found, n_shown),
        "",
        "The benchmark has no overall score, and none of these is it. --explain says what each is, "
        "--by NAME shows one with values, domains and ranges.",
        *_whose_ends(found),
    )


def _show_closely(found: Standings, item: Standing, own: Set[str], n_shown: int) -> None:
    from hearbench.leaderboard.standings import LEVEL, N_RESAMPLES

    aggregate = item.aggregate
    domains = list(item.by_domain) if len(item.by_domain) > 1 else []

    def value(number: float) -> str:
        return "" if math.isnan(number) else f"{number:.{aggregate.decimals}f}"

    less = "" if aggregate.maximise else ", less is better"
    table = _table(
        f"{aggregate.name}: {aggregate.title}{less}",
        Column(aggregate.name.replace("-", "\n"), value, align="right"),
        *(Column(name, value, align="right") for name in domains),
        Column("tasks\ndrawn", _range, align="right"),
    )
    low, high = item.interval
    for i in _shown(item, found, own, n_shown):
        by_domain = (item.by_domain[name][i] for name in domains)
        _add(table, found, own, i, item.ranks[i], item.values[i], *by_domain, (low[i], high[i]))
    show(
        table,
        *_how_many(found, n_shown),
        "",
        f"{aggregate.explanation} {aggregate.if_missing}",
        f"tasks drawn: range of the rank if {len(found.matrix.columns)} tasks are drawn from these "
        f"with replacement, in {LEVEL:.0%} of {N_RESAMPLES} draws.",
    )


def _table(title: str, *columns: Column) -> Table:
    first = [Column("", _rank, align="right"), MODEL, Column("tasks", align="right")]
    return Table([*first, *columns], title=title, gap=1)


def _add(table: Table, found: Standings, own: Set[str], i: int, rank: float, *cells: Any) -> None:
    model, n_scores = found.models[i], int(found.matrix.n_scores[i])
    if model in own:
        table.add(rank, OWN_MARK + model, n_scores, *cells, style=OWN_STYLE)
    else:
        table.add(rank, model, n_scores, *cells)


def _shown(item: Standing, found: Standings, own: Set[str], n_shown: int) -> list[int]:
    """Positions of the models that are shown: the first ones, and the user's."""
    return [i for n, i in enumerate(item.order()) if n < n_shown or found.models[i] in own]


def _how_many(found: Standings, n_shown: int) -> list[str]:
    n_models = len(found.models)
    if n_shown >= n_models:
        return []
    return [f"The first {n_shown} of {n_models} models; --all shows them all."]


def _whose_ends(found: Standings) -> list[str]:
    """Says so where the ends of min-max aren't those of the official table."""
    if not found.of("min-max").aggregate.relative:
        return []
    return ["The ends of min-max are the lowest and highest scores of the models ranked here."]


def _rank(rank: float) -> str:
    return "" if math.isnan(rank) else f"{rank:.0f}"


def _range(ends: tuple[float, float]) -> str:
    low, high = map(_rank, ends)
    return low if low == high else f"{low}-{high}"


def _explain(chosen: Sequence[Aggregate], *, as_json: bool) -> None:
    if as_json:
        answer_json({"aggregates": _definitions(chosen)})
        return
    for item in chosen:
        show(
            Styled(f"{item.name}: {item.title}", "bold"),
            f"{item.explanation} {item.if_missing} Source: {item.source}",
            "",
        )


def _definitions(chosen: Sequence[Aggregate]) -> list[dict[str, Any]]:
    keys = ("name", "title", "explanation", "source", "maximise", "missing", "if_missing")
    return [{key: getattr(item, key) for key in (*keys, "relative")} for item in chosen]


def _lines(found: Standings, chosen: Sequence[Aggregate]) -> list[dict[str, Any]]:
    names = {aggregate.name for aggregate in chosen}
    return [line for line in found.lines() if line["aggregate"] in names]


def _as_json(found: Standings, chosen: Sequence[Aggregate], own: Set[str]) -> dict[str, Any]:
    return {
        "columns": list(found.matrix.columns),
        "aggregates": _definitions(chosen),
        "models": [
            {
                "model": model,
                "own": model in own,
                "n_scores": int(found.matrix.n_scores[i]),
                "complete": found.is_complete[i],
            }
            for i, model in enumerate(found.models)
        ],
        "standings": _lines(found, chosen),
    }


def _as_csv(found: Standings, chosen: Sequence[Aggregate], own: Set[str]) -> str:
    n_scores = dict(zip(found.models, found.matrix.n_scores.tolist(), strict=True))
    lines = [
        {
            "aggregate": line["aggregate"],
            "model": line["model"],
            "own": int(line["model"] in own),
            "n_scores": n_scores[line["model"]],
            **line,
        }
        for line in _lines(found, chosen)
    ]
    table = Table([Column(key) for key in lines[0]])
    for line in lines:
        table.add(*line.values())
    return table.to_csv()
