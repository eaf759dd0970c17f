"""What the catalog knows of the table's columns."""

from __future__ import annotations

from dataclasses import dataclass

from hearbench.leaderboard.columns import CountedTask, tasks_of
from hearbench.metrics import get_event_score, get_scene_score

__all__ = ["OTHER", "ColumnFacts", "column_facts", "domain_title"]

# The domain of columns that the catalog doesn't know.
OTHER = "other"
_TITLES = {"speech": "Speech", "environment": "Environment", "music": "Music", OTHER: "Other"}


@dataclass(frozen=True)
class ColumnFacts:
    """A column of the table.

    Attributes:
        column: Its name.
        domain: ``speech``, ``environment``, ``music``, or ``other`` where the catalog doesn't
            know the column.
        counted: The tasks of the catalog behind it; Beehive has two.
        score: The score that the column holds, in words.
    """

    column: str
    domain: str
    counted: tuple[CountedTask, ...]
    score: str

    @property
    def clips(self) -> int | None:
        """Clips in all splits of one of its tasks, where known."""
        if not self.counted:
            return None
        first = self.counted[0]
        return first.spec.mode(first.mode).clips

    @property
    def hours(self) -> float | None:
        """Hours of audio, likewise."""
        if not self.counted:
            return None
        first = self.counted[0]
        return first.spec.hours_of(first.mode)


def column_facts(column: str) -> ColumnFacts:
    """What the catalog knows of a column; little, if it is none of the benchmark's."""
    counted = tasks_of(column)
    if not counted:
        return ColumnFacts(column, OTHER, (), "its first score")
    spec = counted[0].spec
    getter = get_event_score if spec.embedding_type == "event" else get_scene_score
    return ColumnFacts(column, spec.domain, counted, getter(spec.scores[0]).title)


def domain_title(domain: str) -> str:
    """A domain's heading."""
    return _TITLES[domain]
