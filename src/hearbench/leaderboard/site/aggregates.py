"""The page of aggregates: all of them side by side, what moves them, how alike they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hearbench.leaderboard.aggregates import Aggregate
from hearbench.leaderboard.robustness import LEVEL, N_RESAMPLES, Robustness, robustness
from hearbench.leaderboard.sheet import Floats
from hearbench.leaderboard.site.columns import domain_title
from hearbench.leaderboard.standings import Ranked, Standing, Standings, standings
from hearbench.leaderboard.table import Table

__all__ = ["AggregatePage", "Cell", "Heat", "Scope"]

COMPLETE = "complete"
_ALL = "all"
# Colours of correlations go from this one to 1, in so many steps.
_PALEST, _STEPS = 0.5, 10


@dataclass(frozen=True)
class Scope:
    """Which tasks and models are ranked.

    Attributes:
        key: As it stands in the address.
        title: As it is offered.
        ranked: Values and ranks by the names of the aggregates.
    """

    key: str
    title: str
    ranked: dict[str, Ranked]


@dataclass(frozen=True)
class Cell:
    """A model by an aggregate.

    Attributes:
        text: Its value.
        value: The same with all digits, to be sorted by; empty where there is none.
        rank: Its rank; empty likewise.
        range: Of its ranks, if missing scores were treated in another way; empty if they all
            give the same or this isn't known.
    """

    text: str
    value: str
    rank: str
    range: str


@dataclass(frozen=True)
class Heat:
    """A correlation: as text, with the step of its colour, 0 to 10; None where undefined."""

    text: str
    step: int | None


class AggregatePage:
    """What the page shows.

    Args:
        table: The models, the user's own among them.
    """

    n_resamples = N_RESAMPLES
    level = f"{LEVEL:.0%}"
    palest = _PALEST
    steps = _STEPS

    def __init__(self, table: Table) -> None:
        self.found: Standings = standings(table)
        self._at = {model: i for i, model in enumerate(self.found.models)}

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """In the order in which they stand side by side."""
        return tuple(item.aggregate for item in self.found.by_aggregate)

    @property
    def order(self) -> tuple[str, ...]:
        """Names of the models by the first aggregate."""
        return tuple(self.found.models[i] for i in self.found.by_aggregate[0].overall.order())

    @property
    def n_complete(self) -> int:
        """How many models have all scores."""
        return sum(self.found.is_complete)

    @cached_property
    def scopes(self) -> list[Scope]:
        """All tasks first, then the domains."""
        items = self.found.by_aggregate

        def scope(key: str, title: str, pick: dict[str, Ranked]) -> Scope:
            return Scope(key, title, pick)

        found = [scope(_ALL, "all tasks", {i.aggregate.name: i.overall for i in items})]
        if 1 < self.n_complete < len(self.found.models):
            title = f"all tasks, the {self.n_complete} models without gaps alone"
            found.append(scope(COMPLETE, title, {i.aggregate.name: i.complete for i in items}))
        domains = list(items[0].by_domain)
        if len(domains) > 1:
            found += [
                scope(
                    name, domain_title(name), {i.aggregate.name: i.by_domain[name] for i in items}
                )
                for name in domains
            ]
        return found

    def cell(self, model: str, aggregate: Aggregate, scope: Scope) -> Cell:
        """A model's value and rank."""
        i, ranked = self._at[model], scope.ranked[aggregate.name]
        value, rank = ranked.values[i], ranked.ranks[i]
        if math.isnan(value):
            return Cell("", "", "", "")
        low, high = self.found.of(aggregate.name).rank_range
        moves = scope.key == _ALL and low[i] != high[i]
        text = f"{value:.{aggregate.decimals}f}".replace("-", "−")
        return Cell(text, repr(float(value)), f"{rank:.0f}", _ranks(low, high, i) if moves else "")

    def less_one_task(self, model: str, aggregate: Aggregate) -> str:
        """The ranks of a model if one task is taken away."""
        return _ranks(*self._robustness[aggregate.name].leave_one_out, self._at[model])

    def tasks_drawn(self, model: str, aggregate: Aggregate) -> str:
        """The interval of a model's rank over tasks drawn anew."""
        return _ranks(*self._robustness[aggregate.name].ranks, self._at[model])

    def values_drawn(self, model: str, aggregate: Aggregate) -> str:
        """The interval of a model's value over tasks drawn anew."""
        low, high = (ends[self._at[model]] for ends in self._robustness[aggregate.name].values)
        if math.isnan(low):
            return ""
        places = aggregate.decimals
        return f"{low:.{places}f} to {high:.{places}f}".replace("-", "−")

    def agreement(self, *, complete: bool) -> list[list[Heat]]:
        """Kendall's tau between all aggregates."""
        return [
            [_heat(value) for value in row]
            for row in self.found.agreement("kendall", complete=complete).tolist()
        ]

    @cached_property
    def _robustness(self) -> dict[str, Robustness]:
        def of(item: Standing) -> Robustness:
            return robustness(item.aggregate, self.found.sheet)

        return {item.aggregate.name: of(item) for item in self.found.by_aggregate}


def _ranks(low: Floats, high: Floats, i: int) -> str:
    if math.isnan(low[i]):
        return ""
    return f"{low[i]:.0f}" if low[i] == high[i] else f"{low[i]:.0f}–{high[i]:.0f}"


def _heat(value: float) -> Heat:
    if math.isnan(value):
        return Heat("", None)
    share = (value - _PALEST) / (1 - _PALEST)
    return Heat(f"{value:.2f}".replace("-", "−"), round(_STEPS * min(max(share, 0.0), 1.0)))
