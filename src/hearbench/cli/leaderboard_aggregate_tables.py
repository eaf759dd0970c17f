"""Aggregates on a terminal, as JSON and as CSV."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from hearbench.cli.tables import output_console
from hearbench.leaderboard.aggregates import Aggregate
from hearbench.leaderboard.standings import LEVEL, N_RESAMPLES, Standing, Standings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Drawn

__all__ = [
    "as_json",
    "definitions",
    "show_closely",
    "show_definitions",
    "show_side_by_side",
    "write_csv",
]

_OWN_STYLE = "bold cyan"
_OWN_MARK = "> "
_NARROWEST_MODEL = 12
_INDENT = "    "
_VALUE, _RANGE = 6, 5


def show_side_by_side(found: Standings, own: Set[str], n_shown: int) -> None:
    """The ranks by all aggregates, side by side."""
    from rich.text import Text

    console = output_console()
    first = found.by_aggregate[0]
    low, high = found.rank_range()
    heads = [item.aggregate.name.replace("-", " ") for item in found.by_aggregate]
    widths = [max(4, *map(len, head.split())) for head in heads]
    drawn = _drawn(f"ranks by {len(heads)} aggregates, ordered by {first.aggregate.name}")
    _add_model_columns(drawn, console, found, [*widths, _RANGE])
    for head, width in zip(heads, widths, strict=True):
        drawn.add_column(head, justify="right", width=width)
    drawn.add_column("over all", justify="right", width=_RANGE)
    for position, i in _shown(first, found, own, n_shown):
        cells = [_rank(item.ranks[i]) for item in found.by_aggregate]
        _add_row(
            drawn, found, own, i, position,
            str(found.matrix.n_scores[i]), *cells, _ranks(low[i], high[i]),
        )  # fmt: skip
    console.print(drawn)
    _say_how_many(console, found, n_shown)
    console.print()
    console.print(
        Text(
            "The benchmark has no overall score, and none of these is it. --explain says what "
            "each is, --by NAME shows one with values, domains and ranges."
        )
    )


def show_closely(found: Standings, aggregate: Aggregate, own: Set[str], n_shown: int) -> None:
    """One aggregate: values, over all tasks and by domain, and how far its ranks can be trusted."""
    from rich.text import Text

    console = output_console()
    item = found.of(aggregate.name)
    domains = list(item.by_domain) if len(item.by_domain) > 1 else []
    less = "" if aggregate.maximise else ", less is better"
    drawn = _drawn(f"{aggregate.name}: {aggregate.title}{less}")
    heads = [(aggregate.name.replace("-", " "), _VALUE)]
    heads += [(name, max(_VALUE, len(name))) for name in domains]
    heads += [("tasks drawn", _RANGE)]
    _add_model_columns(drawn, console, found, [width for _, width in heads])
    for head, width in heads:
        drawn.add_column(head, justify="right", width=width)
    low, high = item.interval
    for position, i in _shown(item, found, own, n_shown):
        values = [item.values[i], *(item.by_domain[name][i] for name in domains)]
        _add_row(
            drawn, found, own, i, position, str(found.matrix.n_scores[i]),
            *(_value(value, aggregate) for value in values), _ranks(low[i], high[i]),
        )  # fmt: skip
    console.print(drawn)
    _say_how_many(console, found, n_shown)
    console.print()
    console.print(Text(f"{aggregate.explanation} {aggregate.if_missing}"))
    console.print(
        Text(
            f"tasks drawn: range of the rank if {len(found.matrix.columns)} tasks are drawn from "
            f"these with replacement, in {LEVEL:.0%} of {N_RESAMPLES} draws."
        )
    )


def show_definitions(chosen: Sequence[Aggregate]) -> None:
    """What the aggregates are, in plain words."""
    import textwrap

    from rich.text import Text

    console = output_console()
    width = min(console.width, 88)
    for entry in definitions(chosen):
        console.print(Text(f"{entry['name']}: {entry['title']}", style="bold"))
        for key in ("explanation", "if_missing", "source"):
            text = f"Source: {entry[key]}" if key == "source" else entry[key]
            for line in textwrap.wrap(text, width - len(_INDENT)):
                console.print(Text(f"{_INDENT}{line}"))
        console.print()


def definitions(chosen: Sequence[Aggregate]) -> list[dict[str, Any]]:
    """The definitions for programs."""
    return [
        {
            "name": item.name,
            "title": item.title,
            "explanation": item.explanation,
            "source": item.source,
            "maximise": item.maximise,
            "missing": item.missing,
            "if_missing": item.if_missing,
            "relative": item.relative,
        }
        for item in chosen
    ]


def as_json(found: Standings, chosen: Sequence[Aggregate], own: Set[str]) -> dict[str, Any]:
    """The standings for programs; null where undefined."""
    return {
        "columns": list(found.matrix.columns),
        "aggregates": definitions(chosen),
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


def write_csv(found: Standings, chosen: Sequence[Aggregate], own: Set[str]) -> None:
    """A line per aggregate and model on stdout, each aggregate's best first."""
    lines = _lines(found, chosen)
    heads = ["aggregate", "model", "own", "n_scores", *list(lines[0])[2:]]
    n_scores = dict(zip(found.models, found.matrix.n_scores.tolist(), strict=True))
    writer = csv.DictWriter(sys.stdout, heads, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        more = {"own": int(line["model"] in own), "n_scores": n_scores[line["model"]]}
        writer.writerow({**line, **more})


def _lines(found: Standings, chosen: Sequence[Aggregate]) -> list[dict[str, Any]]:
    names = {aggregate.name for aggregate in chosen}
    return [line for line in found.lines() if line["aggregate"] in names]


def _rank(rank: float) -> str:
    return "" if math.isnan(rank) else f"{rank:.0f}"


def _ranks(low: float, high: float) -> str:
    return _rank(low) if low == high or math.isnan(low) else f"{low:.0f}-{high:.0f}"


def _value(value: float, aggregate: Aggregate) -> str:
    return "" if math.isnan(value) else f"{value:.{aggregate.decimals}f}"


def _shown(item: Standing, found: Standings, own: Set[str], n_shown: int) -> list[tuple[str, int]]:
    """Rank and position of the models that are shown: the first ones, and the user's."""
    return [
        (_rank(item.ranks[i]), i)
        for place, i in enumerate(item.order())
        if place < n_shown or found.models[i] in own
    ]


def _say_how_many(console: Console, found: Standings, n_shown: int) -> None:
    from rich.text import Text

    n_models = len(found.models)
    if n_shown < n_models:
        console.print(Text(f"The first {n_shown} of {n_models} models; --all shows them all."))


def _add_model_columns(
    drawn: Drawn, console: Console, found: Standings, others: Sequence[int]
) -> None:
    """Rank, name and number of scores; the name as wide as the other columns leave room for."""
    longest = max(len(model) for model in found.models) + len(_OWN_MARK)
    # One between all columns, one before the first.
    taken = sum(others) + len(others) + 2 + 1 + 5 + 1 + 1
    width = min(longest, max(_NARROWEST_MODEL, console.width - taken))
    drawn.add_column("", justify="right", width=2)
    drawn.add_column("model", no_wrap=True, overflow="ellipsis", width=width)
    drawn.add_column("tasks", justify="right", width=5)


def _drawn(title: str) -> Drawn:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    return Drawn(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False
    )


def _add_row(
    drawn: Drawn, found: Standings, own: Set[str], i: int, position: str, *cells: str
) -> None:
    from rich.text import Text

    is_own = found.models[i] in own
    name = (_OWN_MARK if is_own else "") + found.models[i]
    texts = (Text(cell) for cell in (position, name, *cells))
    drawn.add_row(*texts, style=_OWN_STYLE if is_own else None)
