"""The content of every page, as the templates take it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup

from hearbench.leaderboard.aggregates import AGGREGATES, Aggregate
from hearbench.leaderboard.columns import OTHER_DOMAIN, ColumnFacts, column_facts
from hearbench.leaderboard.heard import HEARD_NOTE, unheard, unheard_scores
from hearbench.leaderboard.literature import (
    LiteratureRow,
    LiteratureScore,
    literature,
    literature_rows,
)
from hearbench.leaderboard.ranks import RankedScore, ranked_scores
from hearbench.leaderboard.site.names import safe_url, slugs
from hearbench.leaderboard.site.own import OwnModel, ScoreInterval, spread_of
from hearbench.leaderboard.standings import LEVEL, N_RESAMPLES, Standings, standings
from hearbench.leaderboard.table import OFFICIAL_ROUND, Row, Table
from hearbench.results import Result
from hearbench.tasks.catalog.schema import DOMAINS

__all__ = [
    "AggregatePage",
    "Cell",
    "Content",
    "LiteratureSource",
    "ModelPage",
    "Scope",
    "ScoreLine",
    "TaskPage",
]

# As the round ended in December 2021, its models stand before all later dates.
_ROUND_KEY = "2021-12"
# The drawing of a score as a bar, in its own units.
_WIDTH = 240
_HEIGHT = 16
_BAR_TOP, _BAR_HEIGHT = 4, 8


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


@dataclass(frozen=True)
class ModelPage:
    """The page of a model.

    Attributes:
        slug: File name of the page, without its ending.
        url: Where it is described, if that is safe to follow.
    """

    row: Row
    slug: str
    url: str | None
    total: float
    own: OwnModel | None
    position: int

    def rank_on(self, task: TaskPage) -> int | None:
        """The model's rank on a task."""
        return task.ranked[self.position].rank

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.row.model

    @property
    def submitted_key(self) -> str:
        """Key by which the table sorts dates."""
        return _ROUND_KEY if self.row.submitted == OFFICIAL_ROUND else self.row.submitted

    @property
    def n_scores(self) -> int:
        """Number of tasks that it has a score on."""
        return sum(score is not None for score in self.row.scores)


@dataclass(frozen=True)
class TaskPage:
    """The page of a task.

    Attributes:
        slug: File name of the page, without its ending.
        ranked: Score and rank of each model, in the table's order.
    """

    facts: ColumnFacts
    slug: str
    ranked: tuple[RankedScore, ...]

    @property
    def name(self) -> str:
        """Name of the column."""
        return self.facts.column

    @property
    def scores(self) -> tuple[float | None, ...]:
        """All models' scores."""
        return tuple(ranked.score for ranked in self.ranked)


@dataclass(frozen=True)
class ScoreLine:
    """A model's score on a task, as a line of either's page.

    Attributes:
        ranked: The score and its rank.
        bar: Drawing of the score among the others.
        spread: Standard deviation over the folds, where it is known and there are folds; None
            where there is an interval.
        interval: Interval of the score, where it was computed beside the results.
    """

    model: ModelPage
    task: TaskPage
    ranked: RankedScore
    bar: Markup
    spread: float | None
    interval: ScoreInterval | None


@dataclass(frozen=True)
class LiteratureSource:
    """One table of a paper or README.

    Attributes:
        tasks: The tasks that it has scores on, in the table's order.
    """

    rows: tuple[LiteratureRow, ...]
    tasks: tuple[TaskPage, ...]

    @property
    def first(self) -> LiteratureScore:
        """One of its scores, for what they have in common."""
        return self.rows[0].first

    @property
    def name(self) -> str:
        """Its repository, or its number at arXiv."""
        parts = urlsplit(self.first.source)
        path = parts.path.strip("/").split("/")
        if parts.hostname == "arxiv.org":
            return f"arXiv:{path[-1]}"
        return "/".join(path[:2]) if parts.hostname == "github.com" else self.first.source

    @property
    def url(self) -> str | None:
        """Its address, if that is safe to follow."""
        return safe_url(self.first.source)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on its scores, each once."""
        scores = [score for row in self.rows for score in row.scores.values()]
        return tuple(dict.fromkeys(score.note for score in scores if score.note))

    @property
    def plus_minus_of(self) -> str:
        """Kind of the numbers after ±; empty where there are none."""
        every = (score.plus_minus_of for row in self.rows for score in row.scores.values())
        return next(filter(None, every), "")


class Content:
    """All of a site's content.

    Args:
        own: Models with results at hand, by their names; those that the table doesn't have get
            a row without scores.
    """

    def __init__(self, table: Table, own: dict[str, OwnModel]) -> None:
        for name in own:
            if name not in table.models:
                table = table.with_row(Row(name, "", "", (None,) * len(table.columns)))
        self.table = table
        of_models = [ranked_scores(table, row) for row in table.rows]
        self.tasks = [
            TaskPage(column_facts(column), slug, tuple(of_model[i] for of_model in of_models))
            for i, (column, slug) in enumerate(
                zip(table.columns, slugs(table.columns), strict=True)
            )
        ]
        self._in_table_order = [
            ModelPage(row, slug, safe_url(row.url), ranked.total, own.get(row.model), position)
            for position, (row, ranked, slug) in enumerate(
                zip(table.rows, unheard(table), slugs(table.models), strict=True)
            )
        ]
        self.models = sorted(self._in_table_order, key=lambda page: (-page.total, page.name))

    @cached_property
    def aggregates(self) -> AggregatePage | None:
        """The models by several aggregates; None if none of them has a score."""
        known = tuple(row for row in self.table if any(s is not None for s in row.scores))
        return AggregatePage(replace(self.table, rows=known)) if known else None

    @cached_property
    def literature(self) -> tuple[LiteratureSource, ...]:
        """Scores from papers and READMEs, source by source as they come."""
        by_place: dict[tuple[str, str], list[LiteratureRow]] = {}
        for row in literature_rows(literature()):
            by_place.setdefault((row.first.source, row.first.place), []).append(row)
        return tuple(
            LiteratureSource(
                rows=tuple(rows),
                tasks=tuple(t for t in self.tasks if any(t.name in row.scores for row in rows)),
            )
            for rows in by_place.values()
        )

    @property
    def by_name(self) -> dict[str, ModelPage]:
        """The models by their names."""
        return {model.name: model for model in self.models}

    @property
    def domains(self) -> list[tuple[str, str]]:
        """Domains that have tasks, with their headings."""
        there = {task.facts.domain for task in self.tasks}
        return [(name, name.title()) for name in (*DOMAINS, OTHER_DOMAIN) if name in there]

    @property
    def heard_note(self) -> str:
        """What the mark of scores on test data of a model's training means; empty without any."""
        return HEARD_NOTE if any(model.row.heard for model in self.models) else ""

    @property
    def own_models(self) -> list[ModelPage]:
        """The user's models."""
        return [model for model in self.models if model.own]

    def tasks_of(self, domain: str) -> list[TaskPage]:
        """A domain's tasks, in the table's order."""
        return [task for task in self.tasks if task.facts.domain == domain]

    def lines_of_model(self, model: ModelPage, domain: str) -> list[ScoreLine]:
        """A model's scores on a domain's tasks."""
        return [self._line(model, task) for task in self.tasks_of(domain)]

    def lines_of_task(self, task: TaskPage) -> list[ScoreLine]:
        """All scores on a task, best first, then those that aren't ranked."""
        lines = [
            self._line(model, task, ticks=False)
            for model in self._in_table_order
            if task.ranked[model.position].score is not None
        ]
        return sorted(lines, key=lambda line: (line.ranked.rank or math.inf, line.model.name))

    def without_score(self, task: TaskPage) -> list[ModelPage]:
        """The models without a score on a task."""
        return [
            model for model in self._in_table_order if task.ranked[model.position].score is None
        ]

    def other_results(self, model: ModelPage) -> list[Result]:
        """Results of a model that no score in the table is made of, protocol by protocol."""
        if model.own is None:
            return []
        used = {result.task.name for result in self._used(model, model.own)}
        others = [
            *(result for result in model.own.results if result.task.name not in used),
            *(own.result for own in model.own.beside),
        ]
        by_protocol: dict[str, list[Result]] = {}
        for result in others:
            by_protocol.setdefault(result.protocol_fingerprint, []).append(result)
        return list(itertools.chain.from_iterable(by_protocol.values()))

    def comparison(self) -> dict[str, Any]:
        """Data of the page for comparing: tasks, models, scores, and those that don't count."""
        return {
            "tasks": [
                {"name": task.name, "slug": task.slug, "domain": task.facts.domain}
                for task in self.tasks
            ],
            "domains": dict(self.domains),
            "models": [
                {
                    "name": model.name,
                    "slug": model.slug,
                    "own": model.own is not None,
                    "scores": unheard_scores(self.table.columns, model.row),
                    "heard": {
                        i: model.row.scores[i]
                        for i, column in enumerate(self.table.columns)
                        if column in model.row.heard
                    },
                }
                for model in self.models
            ],
        }

    def _used(self, model: ModelPage, own: OwnModel) -> Iterator[Result]:
        for task, score in zip(self.tasks, model.row.scores, strict=True):
            yield from own.behind(task.name, score)

    def _line(self, model: ModelPage, task: TaskPage, *, ticks: bool = True) -> ScoreLine:
        ranked = task.ranked[model.position]
        behind = model.own.behind(task.name, ranked.score) if model.own else ()
        interval = model.own.interval_behind(task.name, ranked.score) if model.own else None
        std = spread_of(behind) if interval is None else None
        whisker = None
        if interval is not None:
            whisker = interval.low, interval.high
        elif ranked.score is not None and std:
            whisker = ranked.score - std, ranked.score + std
        others: Sequence[float | None] = task.scores if ticks else ()
        return ScoreLine(model, task, ranked, _bar(ranked.score, others, whisker), std, interval)


def _bar(
    score: float | None,
    others: Sequence[float | None],
    whisker: tuple[float, float] | None = None,
) -> Markup:
    """SVG of a score as a bar from 0 to 1, a tick for every other score, and a whisker.

    It is hidden from screen readers, which find the same in the cells beside it. Colours are the
    style sheet's.

    Args:
        score: In 0 to 1; None draws the others alone.
        others: Scores that are marked by ticks.
        whisker: Where one begins and ends.
    """
    parts = [_rect("track", 0, _WIDTH)]
    ticks = "".join(
        f"M{_x(value)} 1V{_HEIGHT - 1}" for value in sorted({v for v in others if v is not None})
    )
    if score is not None:
        parts.append(_rect("fill", 0, _x(score)))
    if ticks:
        parts.append(f'<path class="ticks" d="{ticks}"/>')
    if score is not None and whisker is not None:
        left, right, middle = _x(whisker[0]), _x(whisker[1]), _HEIGHT // 2
        ends = f"M{left} 5V11M{right} 5V11"
        parts.append(f'<path class="whisker" d="M{left} {middle}H{right}{ends}"/>')
    drawing = "".join(parts)
    # Nothing in here but numbers.
    return Markup(  # noqa: S704
        f'<svg class="bar" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{drawing}</svg>'
    )


def _x(value: float) -> str:
    return f"{min(max(value, 0.0), 1.0) * _WIDTH:.1f}"


def _rect(name: str, x: float, width: float | str) -> str:
    return f'<rect class="{name}" x="{x}" y="{_BAR_TOP}" width="{width}" height="{_BAR_HEIGHT}"/>'
