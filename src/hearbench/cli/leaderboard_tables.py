"""The leaderboard on a terminal: one's own places, raw scores, the overview."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hearbench.cli.tables import output_console
from hearbench.errors import HearError
from hearbench.leaderboard.columns import domain_of
from hearbench.leaderboard.ranks import RankedScore, other_models, ranked_scores
from hearbench.leaderboard.table import Row, Table

if TYPE_CHECKING:
    from rich.table import Table as Drawn
    from rich.text import Text

    from hearbench.leaderboard.own_row import OwnRow
    from hearbench.leaderboard.paper import Normalised

__all__ = ["as_json", "show_overview", "show_own", "show_scores"]

_OWN_STYLE = "bold cyan"
_OWN_MARK = "> "
# Of a model that ran fewer, the mean would be that of imputed scores.
_FEWEST_TASKS = 10
_NARROWEST = 7
_MODEL_WIDTH = 30
# Score, rank, best and gap, and what stands between all columns.
_WIDTH_OF_NUMBERS = 6 + 8 + 6 + 7 + 5 * 2 + 2
_DOMAINS = ("speech", "environment", "music")
_MEASURE = (
    "Scores are imputed where missing, standardised per task over these models and clipped to -1 "
    "to 1, as in the paper. It has no overall score; it orders models by the mean."
)


def _drawn(title: Text) -> Drawn:
    """An empty table, with as little between columns as can be told apart."""
    from rich import box
    from rich.table import Table as Drawn

    return Drawn(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def show_own(table: Table, own: OwnRow, order: str | None) -> None:
    """A model's places, with a line per task that it has a score for."""
    from rich.text import Text

    console = output_console()
    found = ranked_scores(table, own.row)
    ran = _sorted_places([place for place in found if place.score is not None], order)
    n_others = len(other_models(table, own.row))
    title = f"{own.row.model}: {len(ran)} of {len(found)} tasks, among {n_others} models"
    drawn = _drawn(Text(title, style=_OWN_STYLE))
    drawn.add_column("task", no_wrap=True)
    for head in ("score", "rank", "best", "gap"):
        drawn.add_column(head, justify="right", no_wrap=True)
    # Whatever room there is; a column that no longer fits would make all of them narrower.
    room = console.width - max(len(place.column) for place in ran) - _WIDTH_OF_NUMBERS
    names = max(len(place.best_model or "") for place in ran)
    drawn.add_column(
        "best model", no_wrap=True, overflow="ellipsis", width=max(_NARROWEST, min(names, room))
    )
    for place in ran:
        first = place.rank == 1
        drawn.add_row(
            Text(place.column),
            Text(_score(place.score), style=_OWN_STYLE),
            Text(f"{place.rank} of {place.of}"),
            Text(_score(place.best)),
            Text("" if place.gap is None else f"{place.gap:+.4f}", style="green" if first else ""),
            Text(place.best_model or ""),
        )
    console.print(drawn)
    missing = [place.column for place in found if place.score is None]
    if missing:
        console.print(Text(f"No score for {', '.join(missing)}."))
    mean = _own_mean(table, own.row)
    if mean is not None:
        value, place_of_mean, of = mean
        n_imputed = f" ({len(missing)} tasks imputed)" if missing else ""
        console.print(
            Text(
                f"Mean normalised score{n_imputed}: {value:+.3f}, number {place_of_mean} of {of}. "
                f"{_MEASURE}"
            )
        )


def _sorted_places(found: list[RankedScore], order: str | None) -> list[RankedScore]:
    keys: Mapping[str, Callable[[RankedScore], float]] = {
        "rank": lambda place: place.rank or 0,
        "gap": lambda place: -(place.gap or 0.0),
        "score": lambda place: -(place.score or 0.0),
    }
    key = keys.get(order or "")
    return found if key is None else sorted(found, key=key)


def _own_mean(table: Table, row: Row) -> tuple[float, int, int] | None:
    """Mean normalised score, its place and of how many; None where there is too little."""
    if sum(score is not None for score in row.scores) < _FEWEST_TASKS:
        return None
    of = _normalised(other_models(table, row).with_row(row))
    if of is None:
        return None
    i = of.models.index(row.model)
    return float(of.mean_with_imputed[i]), of.order.index(i) + 1, len(of.models)


def _normalised(table: Table) -> Normalised | None:
    from hearbench.leaderboard.paper import normalise

    try:
        return normalise(table)
    except HearError:  # too few models for it
        return None


def show_scores(
    table: Table, own: Sequence[Row], columns: Sequence[str], order: str | None
) -> None:
    """All models with their raw scores in some columns, in as many tables as the width takes."""
    from rich.text import Text

    console = output_console()
    ranked, by = _ranked(table, own, columns, order)
    where = {column: i for i, column in enumerate(table.columns)}
    names = [(_OWN_MARK if is_own else "") + row.model for row, is_own in ranked]
    width = max((min(_MODEL_WIDTH, len(name)) for name in names), default=5)
    for part in _parts(columns, console.width - width - 7):
        drawn = _drawn(Text(f"scores, ordered by {by}"))
        drawn.add_column("", justify="right", no_wrap=True)
        drawn.add_column("model", no_wrap=True, overflow="ellipsis", max_width=width)
        for column in part:
            drawn.add_column(Text(column), justify="right", width=_width(column))
        for i, ((row, is_own), name) in enumerate(zip(ranked, names, strict=True)):
            cells = (Text(_score(row.scores[where[column]])) for column in part)
            style = _OWN_STYLE if is_own else None
            drawn.add_row(Text(str(i + 1)), Text(name), *cells, style=style)
        console.print(drawn)


def _parts(columns: Sequence[str], width: int) -> Iterator[list[str]]:
    part: list[str] = []
    taken = 0
    for column in columns:
        own = _width(column) + 2
        if part and taken + own > width:
            yield part
            part, taken = [], 0
        part.append(column)
        taken += own
    if part:
        yield part


def _width(column: str) -> int:
    # A head is broken between words.
    return max(_NARROWEST, *(len(word) for word in column.split()))


def _ranked(
    table: Table, own: Sequence[Row], columns: Sequence[str], order: str | None
) -> tuple[list[tuple[Row, bool]], str]:
    """All rows in order, each with whether it is one's own; and by what they are ordered."""
    order = order or (columns[0] if len(columns) == 1 else "sum")
    shown = [table.columns.index(column) for column in columns or table.columns]
    for row in own:
        table = other_models(table, row)
    rows = [*((row, False) for row in table), *((row, True) for row in own)]
    if order == "mean":
        of = _normalised(Table(table.columns, tuple(row for row, _ in rows)))
        if of is not None:
            return [rows[i] for i in of.order], "the mean normalised score"
        order = "sum"
    if order == "model":
        return sorted(rows, key=lambda item: item[0].model.casefold()), "name"
    if order == "date":
        # The official round came before all dates, and letters come after digits.
        return sorted(rows, key=lambda item: _date_key(item[0])), "date"
    if order == "sum":

        def total(item: tuple[Row, bool]) -> float:
            return -sum(item[0].scores[i] or 0.0 for i in shown)

        return sorted(rows, key=total), "their sum, missing ones as 0"
    i = table.columns.index(order)

    def merit(item: tuple[Row, bool]) -> float:
        score = item[0].scores[i]
        return 1.0 if score is None else -score

    return sorted(rows, key=merit), order


def _date_key(row: Row) -> tuple[bool, str]:
    is_date = row.submitted[:1].isdigit()
    return is_date, row.submitted if is_date else ""


def show_overview(table: Table, order: str | None) -> None:
    """All models by the paper's measure, over all tasks and by domain."""
    from rich.text import Text

    console = output_console()
    of = _normalised(table)
    if of is None:
        show_scores(table, (), table.columns, order)
        return
    ranked, by = _ranked(table, (), (), order or "mean")
    domains = [domain_of(column) for column in table.columns]
    drawn = _drawn(Text(f"normalised scores, ordered by {by}"))
    drawn.add_column("", justify="right", no_wrap=True)
    drawn.add_column("model", no_wrap=True, overflow="ellipsis", max_width=_MODEL_WIDTH)
    for head in ("tasks", "mean", *_DOMAINS):
        drawn.add_column(head, justify="right", no_wrap=True)
    for i, (row, _) in enumerate(ranked):
        at = of.models.index(row.model)
        values = [of.mean_with_imputed[at]]
        values += [
            of.with_imputed[at, [own == domain for own in domains]].mean() for domain in _DOMAINS
        ]
        n_tasks = sum(score is not None for score in row.scores)
        cells = (str(i + 1), row.model, str(n_tasks), *(f"{value:+.3f}" for value in values))
        drawn.add_row(*(Text(cell) for cell in cells))
    console.print(drawn)
    console.print(
        Text(f"{_MEASURE} --task, --domain and --all show raw scores, --with puts yours beside.")
    )


def as_json(
    table: Table,
    usable: Sequence[OwnRow],
    columns: Sequence[str],
    order: str | None,
    mine: Sequence[OwnRow],
) -> dict[str, Any]:
    """The stable form that programs read; NaN and missing scores are null."""
    shown = list(columns or table.columns)
    rows = [own.row for own in usable]
    in_order = order not in ("task", "score", "rank", "gap")
    ranked, by = _ranked(table, rows, shown, order if in_order else None)
    of = _normalised(Table(table.columns, tuple(row for row, _ in ranked)))
    means = {} if of is None else dict(zip(of.models, of.mean_with_imputed.tolist(), strict=True))
    return {
        "ordered_by": by,
        "columns": shown,
        "models": [
            {
                "model": row.model,
                "url": row.url,
                "submitted": row.submitted,
                "own": is_own,
                "scores": {c: row.scores[table.columns.index(c)] for c in shown},
                "mean_normalised": means.get(row.model),
            }
            for row, is_own in ranked
        ],
        "own": [_own_json(table, own, shown, order) for own in usable],
        "refused": [
            {"model": own.row.model, "result": refusal.where, "reason": refusal.reason}
            for own in mine
            for refusal in own.refused
        ],
    }


def _own_json(
    table: Table, own: OwnRow, columns: Sequence[str], order: str | None
) -> dict[str, Any]:
    found = [place for place in ranked_scores(table, own.row) if place.column in columns]
    ran = _sorted_places([place for place in found if place.score is not None], order)
    return {
        "model": own.row.model,
        "tasks": [
            {
                "column": place.column,
                "score": place.score,
                "rank": place.rank,
                "of": place.of,
                "best": place.best,
                "best_model": place.best_model,
                "gap": place.gap,
                "results": list(own.sources[place.column]),
            }
            for place in ran
        ],
        "missing": [place.column for place in found if place.score is None],
        "not_on_the_leaderboard": list(own.elsewhere),
        "notes": list(own.notes),
    }


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
