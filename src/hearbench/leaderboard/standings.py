"""Where models stand by each aggregate, and how much of that is due to missing scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hearbench.errors import ResultError
from hearbench.leaderboard.aggregates import (
    AGGREGATES,
    TREATMENTS,
    Aggregate,
    Treatment,
    ranks_of,
)
from hearbench.leaderboard.sheet import Floats, Sheet, domain_or_other, sheet_of
from hearbench.leaderboard.table import Table
from hearbench.tasks.catalog.schema import DOMAINS

__all__ = ["Ranked", "Standing", "Standings", "standings"]


@dataclass(frozen=True, eq=False)
class Ranked:
    """Values with their ranks.

    Attributes:
        values: (n_models,), NaN where there is none.
        ranks: (n_models,), 1 for the best, equal values sharing the better one; NaN likewise.
    """

    values: Floats
    ranks: Floats

    def order(self) -> tuple[int, ...]:
        """Positions of the models, best first; equal ones as they come, those without last."""
        return tuple(np.argsort(self.ranks, kind="stable").tolist())


@dataclass(frozen=True, eq=False)
class Standing:
    """The models by one aggregate.

    Attributes:
        aggregate: Which one.
        overall: Over all tasks, missing scores treated as the aggregate does.
        by_domain: The same over each domain's tasks alone.
        by_treatment: Over all tasks, by what becomes of missing scores.
        complete: Among the models without gaps alone; NaN for all others.
    """

    aggregate: Aggregate
    overall: Ranked
    by_domain: dict[str, Ranked]
    by_treatment: dict[Treatment, Ranked]
    complete: Ranked

    @property
    def rank_range(self) -> tuple[Floats, Floats]:
        """Best and worst rank (n_models,) over the treatments of missing scores, of all models."""
        return _ends([ranked.ranks for ranked in self.by_treatment.values()])


@dataclass(frozen=True, eq=False)
class Standings:
    """A table by all aggregates.

    Attributes:
        sheet: The models that are ranked and the tasks that count.
        by_aggregate: In the order of `AGGREGATES`.
    """

    sheet: Sheet
    by_aggregate: tuple[Standing, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.sheet.models

    @property
    def is_complete(self) -> tuple[bool, ...]:
        """Whether a model has all of the scores that count."""
        return tuple((self.sheet.n_scores == len(self.sheet.columns)).tolist())

    def of(self, name: str) -> Standing:
        """The models by an aggregate, by its name."""
        return next(item for item in self.by_aggregate if item.aggregate.name == name)

    def rank_range(self) -> tuple[Floats, Floats]:
        """Best and worst rank (n_models,) over all aggregates."""
        return _ends([item.overall.ranks for item in self.by_aggregate])

    def agreement(
        self, kind: Literal["kendall", "spearman"] = "kendall", *, complete: bool = False
    ) -> Floats:
        """How alike the aggregates order the models.

        Args:
            kind: Kendall's tau-b or Spearman's rho.
            complete: Over the models without gaps alone, ranked among themselves.

        Returns:
            (n_aggregates, n_aggregates) in -1 to 1, over the models that both have a value of;
            NaN where there are fewer than two of these, or one aggregate finds them all equal.
        """
        ranks = [(item.complete if complete else item.overall).ranks for item in self.by_aggregate]
        found = np.full((len(ranks), len(ranks)), np.nan)
        for i, one in enumerate(ranks):
            for j, other in enumerate(ranks[: i + 1]):
                found[i, j] = found[j, i] = _correlation(one, other, kind)
        return found


def standings(
    table: Table,
    *,
    reference: Table | None = None,
    domains: Sequence[str] = (),
    complete_only: bool = False,
) -> Standings:
    """Ranks a table's models by every aggregate.

    Args:
        table: The models; a user's own may be among them.
        reference: Whose best and lowest scores count for ``share-of-best`` and ``min-max``; by
            default the official table, so that other models don't change them.
        domains: Count the tasks of these alone; by default all.
        complete_only: Leave out models that lack one of the scores that count. They then don't
            take part in others' ranks, nor in what the paper's measure is normalised by.

    Raises:
        ResultError: No task or no model is left.
    """
    columns = [c for c in table.columns if not domains or domain_or_other(c) in domains]
    if not columns:
        raise ResultError(f"The table has no task of {', '.join(domains)}.")
    where = [table.columns.index(column) for column in columns]
    whole = _complete(table, where)
    if complete_only:
        table = whole
    if not len(table):
        what = "model that has all of these scores" if complete_only else "model"
        raise ResultError(f"The table has no {what}, so there is nothing to rank.")
    sheet = sheet_of(table, reference).select(columns)
    sheet_of_whole = sheet_of(whole, reference).select(columns)
    return Standings(sheet, tuple(_standing(item, sheet, sheet_of_whole) for item in AGGREGATES))


def _place(domain: str) -> int:
    return DOMAINS.index(domain) if domain in DOMAINS else len(DOMAINS)


def _complete(table: Table, where: Sequence[int]) -> Table:
    rows = tuple(row for row in table if all(row.scores[i] is not None for i in where))
    return replace(table, rows=rows)


def _standing(aggregate: Aggregate, sheet: Sheet, whole: Sheet) -> Standing:
    domains: dict[str, list[str]] = {}
    for column in sorted(sheet.columns, key=lambda column: _place(domain_or_other(column))):
        domains.setdefault(domain_or_other(column), []).append(column)
    at = {model: i for i, model in enumerate(whole.models)}
    places = np.array([at.get(model, -1) for model in sheet.models], dtype=np.int64)
    complete = _ranked(aggregate, whole)
    return Standing(
        aggregate=aggregate,
        overall=_ranked(aggregate, sheet),
        by_domain={name: _ranked(aggregate, sheet.select(own)) for name, own in domains.items()},
        by_treatment={name: _ranked(aggregate, sheet, name) for name in TREATMENTS},
        complete=Ranked(_spread(complete.values, places), _spread(complete.ranks, places)),
    )


def _ranked(aggregate: Aggregate, sheet: Sheet, treatment: Treatment | None = None) -> Ranked:
    values = aggregate.values(sheet, treatment)
    return Ranked(values, ranks_of(values, maximise=aggregate.maximise))


def _spread(found: Floats, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Numbers of some models put where these stand among all."""
    return np.append(found, np.nan)[places]


def _ends(found: Sequence[Floats]) -> tuple[Floats, Floats]:
    stacked = np.stack(found)
    # Not nanmin, which warns of a model that has none.
    return np.fmin.reduce(stacked), np.fmax.reduce(stacked)


def _correlation(one: Floats, other: Floats, kind: Literal["kendall", "spearman"]) -> float:
    from scipy.stats import kendalltau, spearmanr

    both = ~np.isnan(one) & ~np.isnan(other)
    x, y = one[both], other[both]
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    measure = kendalltau if kind == "kendall" else spearmanr
    return float(measure(x, y).statistic)
