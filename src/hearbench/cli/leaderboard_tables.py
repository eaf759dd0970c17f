"""The leaderboard on a terminal and as JSON: your own ranks, raw scores, the overview."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from hearbench.cli.leaderboard import MODEL, OWN_MARK, OWN_STYLE
from hearbench.cli.render import output_console, show
from hearbench.leaderboard.columns import column_of, domain_of
from hearbench.leaderboard.heard import HEARD_MARK, HEARD_NOTE, unheard
from hearbench.leaderboard.own_row import OtherProtocolScore, OwnRow
from hearbench.leaderboard.paper import FEWEST_MODELS, normalise
from hearbench.leaderboard.ranks import (
    RankedScore,
    order_models,
    other_models,
    ranked_mean,
    ranked_scores,
    with_own,
)
from hearbench.leaderboard.table import Table as Leaderboard
from hearbench.table import Column, Styled, Table
from hearbench.tasks.catalog.schema import DOMAINS

__all__ = ["OWN_ORDERS", "as_json", "parts_that_fit", "show_apart", "show_overview", "show_own",
           "show_scores"]  # fmt: skip

OWN_ORDERS = ("task", "score", "rank", "gap")
"""The columns by which the tasks of a user's model can be ordered."""

_MARK = "*"
_MARKED = f"{_MARK} by another protocol than the table's; see the notes."
_NUMBER = Column("", "{}", align="right")
_NARROWEST = 7
_MODEL_WIDTH = 30
_MEASURE = (
    "Scores are imputed where missing, standardised per task over these models and clipped to -1 "
    "to 1, as in the paper. It has no overall score; it orders models by the mean."
)


def _scores(*names: str, form: str = "{:.4f}") -> list[Column]:
    return [Column(name, form, align="right") for name in names]


def show_own(leaderboard: Leaderboard, own: OwnRow, order: str | None) -> None:
    """Prints a model's ranks among the others, with a line per task that it has a score for."""
    ranked = ranked_scores(leaderboard, own.row)
    ran = _sorted([one for one in ranked if one.score is not None], order)
    n_others = len(other_models(leaderboard, own.row))
    title = f"{own.row.model}: {len(ran)} of {len(ranked)} tasks, among {n_others} models"
    table = Table(
        [
            Column("task"),
            *_scores("score"),
            Column("rank", align="right"),
            *_scores("best"),
            *_scores("gap", form="{:+.4f}"),
            Column("best model", wrap="names"),
        ],
        title=Styled(title, OWN_STYLE),
        gap=1,
    )
    for one in ran:
        column = f"{one.column} {_MARK}" if one.column in own.marked else one.column
        if one.column in own.row.heard:
            column = f"{column} {HEARD_MARK}"
        gap = Styled(one.gap, "green" if one.rank == 1 else "")
        rank = f"{one.rank} of {one.of}" if one.rank else ""
        table.add(column, Styled(one.score, OWN_STYLE), rank, one.best, gap, one.best_model)
    show(table)
    if own.marked:
        show(_MARKED)
    if own.row.heard:
        show(HEARD_NOTE)
    missing = [one.column for one in ranked if one.score is None]
    if missing:
        show(f"No score for {', '.join(missing)}.")
    mean = ranked_mean(leaderboard, own.row)
    if mean is not None:
        n_imputed = f" ({len(missing)} tasks imputed)" if missing else ""
        show(
            f"Mean normalised score{n_imputed}: {mean.value:+.3f}, number {mean.rank} of "
            f"{mean.of}. {_MEASURE}"
        )


def _sorted(ran: list[RankedScore], order: str | None) -> list[RankedScore]:
    keys = {
        "rank": lambda one: one.rank or 0,
        "gap": lambda one: -(one.gap or 0.0),
        "score": lambda one: -(one.score or 0.0),
    }
    return sorted(ran, key=keys[order]) if order in keys else ran


def show_scores(
    leaderboard: Leaderboard, own: Sequence[OwnRow], columns: Sequence[str], order: str | None
) -> None:
    """Prints all models' raw scores in some columns, in as many tables as the width takes."""
    own_models = [each.row for each in own]
    models, by = order_models(with_own(leaderboard, own_models), columns, order)
    marked = [each.row.model for each in own if set(columns) & each.marked.keys()]
    names = {row.model: row.model for row in models}
    for row in own_models:
        names[row.model] = f"{OWN_MARK}{row.model}{f' {_MARK}' if row.model in marked else ''}"
    width = max((min(_MODEL_WIDTH, len(name)) for name in names.values()), default=5)
    for part in parts_that_fit(columns, output_console().width - width - 7):
        heads = [column.replace(" ", "\n") for column in part]
        table = Table(
            [_NUMBER, dataclasses.replace(MODEL, max_width=width), *_scores(*heads, form="{}")],
            title=f"scores, ordered by {by}",
            gap=1,
        )
        for i, row in enumerate(models):
            scores = (
                _with_mark(row.scores[models.columns.index(column)], column in row.heard)
                for column in part
            )
            style = OWN_STYLE if row in own_models else ""
            table.add(i + 1, names[row.model], *scores, style=style)
        show(table)
    if marked:
        show(_MARKED)
    if any(set(columns) & set(row.heard) for row in models):
        show(HEARD_NOTE)


def _with_mark(score: float | None, heard: bool) -> str | None:
    if score is None:
        return None
    return f"{score:.4f}{f' {HEARD_MARK}' if heard else ''}"


def show_apart(own: Sequence[OwnRow]) -> None:
    """Prints scores by other protocols than the table's, a table for each; nothing is ranked."""
    groups: dict[str, list[tuple[str, OtherProtocolScore]]] = {}
    for row in own:
        for score in row.by_other_protocols:
            groups.setdefault(score.fingerprint, []).append((row.row.model, score))
    for fingerprint, scores in groups.items():
        table = Table(
            [
                Column("task", wrap="names"),
                Column("model", wrap="names"),
                *_scores("score"),
                Column("protocol", wrap="between words"),
            ],
            title=f"by another protocol ({fingerprint}), not ranked with the table",
            gap=1,
        )
        for model, score in sorted(scores, key=lambda each: (each[1].task, each[0])):
            table.add(score.task, model, score.score, score.protocol)
        show(table)
    if groups:
        show(
            "`hearbench protocol diff hear2021 RESULT` says what differs; `hearbench compare` "
            "compares results by one protocol, and --across-protocols ranks them here all the same."
        )


def parts_that_fit(columns: Sequence[str], width: int) -> Iterator[list[str]]:
    """Divides columns into as many tables as they need in that width, at least one in each."""
    part: list[str] = []
    taken = 0
    for column in columns:
        # A head is broken between words.
        own = 2 + max(_NARROWEST, *(len(word) for word in column.split()))
        if part and taken + own > width:
            yield part
            part, taken = [], 0
        part.append(column)
        taken += own
    if part:
        yield part


def show_overview(leaderboard: Leaderboard, order: str | None) -> None:
    """Prints all models by the paper's measure, over all tasks and by domain."""
    if len(leaderboard) < FEWEST_MODELS:
        show_scores(leaderboard, [], leaderboard.columns, order)
        return
    of = normalise(unheard(leaderboard))
    models, by = order_models(leaderboard, leaderboard.columns, order or "mean")
    domains = [domain_of(column) for column in leaderboard.columns]
    table = Table(
        [
            _NUMBER,
            MODEL,
            Column("tasks", align="right"),
            *_scores("mean", *DOMAINS, form="{:+.3f}"),
        ],
        title=f"normalised scores, ordered by {by}",
        gap=1,
    )
    for i, row in enumerate(models):
        at = of.models.index(row.model)
        means = [
            of.with_imputed[at, [own == domain for own in domains]].mean() for domain in DOMAINS
        ]
        n_scores = sum(score is not None for score in row.scores)
        table.add(i + 1, row.model, n_scores, of.mean_with_imputed[at], *means)
    show(table, f"{_MEASURE} --task, --domain and --all show raw scores, --with puts yours beside.")


def as_json(
    leaderboard: Leaderboard,
    usable: Sequence[OwnRow],
    columns: Sequence[str],
    order: str | None,
    mine: Sequence[OwnRow],
) -> dict[str, Any]:
    """The models and your own ranks for programs; null where undefined."""
    shown = list(columns or leaderboard.columns)
    own = [each.row for each in usable]
    everyone = with_own(leaderboard, own)
    models, by = order_models(everyone, shown, None if order in OWN_ORDERS else order)
    means: dict[str, float] = {}
    if len(models) >= FEWEST_MODELS:
        of = normalise(unheard(models))
        means = dict(zip(of.models, of.mean_with_imputed.tolist(), strict=True))
    return {
        "ordered_by": by,
        "columns": shown,
        "models": [
            {
                "model": row.model,
                "url": row.url,
                "submitted": row.submitted,
                "own": row in own,
                "scores": {c: row.scores[models.columns.index(c)] for c in shown},
                "trained_on_test": [c for c in shown if c in row.heard],
                "mean_normalised": means.get(row.model),
            }
            for row in models
        ],
        "own": [_own_json(leaderboard, each, shown, order) for each in usable],
        "refused": [
            {"model": each.row.model, "result": refusal.where, "reason": refusal.reason}
            for each in mine
            for refusal in each.refused
        ],
        "by_other_protocols": [
            {
                "model": each.row.model,
                "ranked": column_of(score.task) in each.marked,
                **dataclasses.asdict(score),
            }
            for each in mine
            for score in each.by_other_protocols
        ],
    }


def _own_json(
    leaderboard: Leaderboard, own: OwnRow, columns: Sequence[str], order: str | None
) -> dict[str, Any]:
    ranked = [one for one in ranked_scores(leaderboard, own.row) if one.column in columns]
    ran = _sorted([one for one in ranked if one.score is not None], order)
    return {
        "model": own.row.model,
        "tasks": [
            {**dataclasses.asdict(one), "results": list(own.sources[one.column])} for one in ran
        ],
        "missing": [one.column for one in ranked if one.score is None],
        "not_on_the_leaderboard": list(own.elsewhere),
        "notes": list(own.notes),
        "marked": dict(own.marked),
    }
