"""The page that shows the models by all aggregates, side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hearbench.leaderboard.aggregates import AGGREGATES, Aggregate
from hearbench.leaderboard.standings import LEVEL, N_RESAMPLES, Standings, standings
from hearbench.leaderboard.table import Table

__all__ = ["AggregatePage", "Cell", "Scope"]


@dataclass(frozen=True)
class Scope:
    """Tasks and models that are ranked together.

    Attributes:
        key: Name in the page's address.
        title: Name in the list of choices.
        standings: The models by all aggregates.
    """

    key: str
    title: str
    standings: Standings


@dataclass(frozen=True)
class Cell:
    """A model's value by an aggregate, as texts.

    Attributes:
        text: The value; like the others empty where the model has none.
        value: The value with all digits, to sort by.
        interval: Interval of the rank over tasks drawn with replacement.
    """

    text: str = ""
    value: str = ""
    rank: str = ""
    interval: str = ""


class AggregatePage:
    """The content of the page.

    Args:
        table: The models, the user's own among them.
    """

    aggregates = AGGREGATES
    n_resamples = N_RESAMPLES
    level = f"{LEVEL:.0%}"

    def __init__(self, table: Table) -> None:
        found = standings(table)
        self.scopes = [Scope("all", "all tasks", found)]
        n_complete = sum(found.is_complete)
        if 1 < n_complete < len(found.models):
            title = f"all tasks, the {n_complete} models without gaps alone"
            self.scopes.append(Scope("complete", title, standings(table, complete_only=True)))
        domains = found.by_aggregate[0].by_domain
        if len(domains) > 1:
            self.scopes += [
                Scope(name, name.title(), standings(table, domains=[name])) for name in domains
            ]

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the models by the first aggregate."""
        found = self.scopes[0].standings
        return tuple(found.models[i] for i in found.by_aggregate[0].order())

    def cell(self, model: str, aggregate: Aggregate, scope: Scope) -> Cell:
        """A model's value and rank."""
        models = scope.standings.models
        if model not in models:
            return Cell()
        i, item = models.index(model), scope.standings.of(aggregate.name)
        value = float(item.values[i])
        if math.isnan(value):
            return Cell()
        text = f"{value:.{aggregate.decimals}f}".replace("-", "−")
        low, high = (f"{ranks[i]:.0f}" for ranks in item.interval)
        interval = low if low == high else f"{low}–{high}"
        return Cell(text, repr(value), f"{item.ranks[i]:.0f}", interval)
