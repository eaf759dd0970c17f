"""Standings: the models of a table by each aggregate, and how far a rank hangs on the tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hearbench.errors import ResultError
from hearbench.leaderboard.aggregates import (
    AGGREGATES,
    AGGREGATES_OF_ROWS,
    Aggregate,
    ranks_of,
)
from hearbench.leaderboard.columns import domain_of
from hearbench.leaderboard.heard import unheard
from hearbench.leaderboard.score_matrix import Floats, ScoreMatrix, score_matrix
from hearbench.leaderboard.table import Table
from hearbench.tasks.catalog.schema import DOMAINS

__all__ = ["LEVEL", "N_RESAMPLES", "Standing", "Standings", "rank_interval", "standings"]

# How often tasks are drawn, and the share of the draws that an interval of ranks holds.
N_RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Standing:
    """The models by one aggregate.

    Attributes:
        values: (n_models,), NaN where a model has none.
        ranks: (n_models,), 1 for the best; equal values share the better rank; NaN without a value.
        interval: Best and worst rank (n_models,), see `rank_interval`.
        by_domain: Values (n_models,) over each domain's tasks alone.
    """

    aggregate: Aggregate
    values: Floats
    ranks: Floats
    interval: tuple[Floats, Floats]
    by_domain: dict[str, Floats]

    def order(self) -> tuple[int, ...]:
        """Positions of the models, best first; equal ones as they come, those without last."""
        return tuple(np.argsort(self.ranks, kind="stable").tolist())


@dataclass(frozen=True, eq=False)
class Standings:
    """A table by all aggregates.

    Attributes:
        matrix: The models that are ranked and the tasks that count.
        by_aggregate: Standings in the order of `AGGREGATES`.
    """

    matrix: ScoreMatrix
    by_aggregate: tuple[Standing, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.matrix.models

    @property
    def is_complete(self) -> tuple[bool, ...]:
        """Whether each model has all of the scores that count."""
        return tuple((self.matrix.n_scores == len(self.matrix.columns)).tolist())

    def of(self, name: str) -> Standing:
        """The models by the aggregate of that name."""
        return next(item for item in self.by_aggregate if item.aggregate.name == name)

    def rank_range(self) -> tuple[Floats, Floats]:
        """Best and worst rank (n_models,) over all aggregates."""
        ranks = np.stack([item.ranks for item in self.by_aggregate])
        # Not nanmin, which warns of a model that has none.
        return np.fmin.reduce(ranks), np.fmax.reduce(ranks)

    def lines(self) -> Iterator[dict[str, Any]]:
        """A line per aggregate and model, each aggregate's best first; None where undefined."""
        for item in self.by_aggregate:
            low, high = item.interval
            for i in item.order():
                yield {
                    "aggregate": item.aggregate.name,
                    "model": self.models[i],
                    "value": _known(item.values[i]),
                    "rank": _whole(item.ranks[i]),
                    **{name: _known(values[i]) for name, values in item.by_domain.items()},
                    "rank_tasks_drawn_low": _whole(low[i]),
                    "rank_tasks_drawn_high": _whole(high[i]),
                }


def standings(
    table: Table,
    *,
    reference: Table | Literal["rows"] | None = None,
    columns: Collection[str] = (),
    domains: Collection[str] = (),
    complete_only: bool = False,
) -> Standings:
    """Ranks a table's models by every aggregate, without scores on test data of their training.

    Args:
        table: The models; a user's own may be among them.
        reference: Whose best and lowest scores are the ends of ``min-max``: by default the
            official table, so that other models don't change them; ``"rows"`` for the models that
            are ranked, as in papers.
        columns: Count these tasks alone; by default all.
        domains: Count the tasks of these alone; by default all.
        complete_only: Leave out models that lack one of the scores that count. They then don't
            take part in others' ranks, nor in what the paper's measure is normalised by.

    Raises:
        ResultError: No task or no model is left.
    """
    counted = [
        column
        for column in table.columns
        if (not columns or column in columns) and (not domains or domain_of(column) in domains)
    ]
    if not counted:
        wanted = " and ".join(", ".join(names) for names in (columns, domains) if names)
        raise ResultError(f"The table has no task of {wanted}.")
    table = unheard(table)
    if complete_only:
        at = [table.columns.index(column) for column in counted]
        rows = tuple(row for row in table if all(row.scores[i] is not None for i in at))
        table = replace(table, rows=rows)
    if not len(table):
        what = "model that has all of these scores" if complete_only else "model"
        raise ResultError(f"The table has no {what}, so there is nothing to rank.")
    aggregates = AGGREGATES
    if reference == "rows":
        reference, aggregates = table, AGGREGATES_OF_ROWS
    matrix = score_matrix(table, reference).select(counted)
    by_domain: dict[str, list[str]] = {}
    for column in sorted(counted, key=_domain_order):
        by_domain.setdefault(domain_of(column), []).append(column)
    parts = {name: matrix.select(own) for name, own in by_domain.items()}
    return Standings(matrix, tuple(_standing(item, matrix, parts) for item in aggregates))


def rank_interval(
    aggregate: Aggregate,
    matrix: ScoreMatrix,
    *,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Intervals of ranks over tasks drawn with replacement (the bootstrap's percentiles).

    A model's points on a task stay what they are over all tasks: nothing is imputed or ranked
    again. All models and, with one seed, all aggregates share a resample; one that holds no task
    that a model ran isn't counted for it. The tasks of a benchmark were chosen, not drawn, so the
    interval says how far the choice could matter, and not how another benchmark would come out.

    Args:
        n_resamples: How often tasks are drawn.
        level: Share of the resamples that an interval holds.

    Returns:
        Best and worst rank (n_models,), both of which occurred; NaN for models without a value.
    """
    n_tasks = len(matrix.columns)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_tasks, np.full(n_tasks, 1 / n_tasks), size=n_resamples)
    values = aggregate.weighted_values(matrix, drawn.astype(np.float64))
    ranks = ranks_of(values, maximise=aggregate.maximise)
    # 0.025 is 0.025 then, which decides which rank the percentile is.
    ends = (round((1 - level) / 2, 12), round((1 + level) / 2, 12))
    low, high = np.full((2, len(matrix.models)), np.nan)
    for i, column in enumerate(ranks.T):
        known = column[~np.isnan(column)]
        if len(known):
            low[i], high[i] = np.quantile(known, ends, method="inverted_cdf")
    return low, high


def _standing(aggregate: Aggregate, matrix: ScoreMatrix, parts: dict[str, ScoreMatrix]) -> Standing:
    values = aggregate.values(matrix)
    return Standing(
        aggregate=aggregate,
        values=values,
        ranks=ranks_of(values, maximise=aggregate.maximise),
        interval=rank_interval(aggregate, matrix),
        by_domain={name: aggregate.values(part) for name, part in parts.items()},
    )


def _domain_order(column: str) -> int:
    domain = domain_of(column)
    return DOMAINS.index(domain) if domain in DOMAINS else len(DOMAINS)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _whole(rank: float) -> int | None:
    return None if np.isnan(rank) else int(rank)
