"""The leaderboard's table in memory: models, tasks, scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["COLUMNS", "OFFICIAL_ROUND", "Row", "Table"]

OFFICIAL_ROUND = "HEAR 2021"

# The score columns of the official table, in its order.
COLUMNS = (
    "Beehive",
    "Beijing Opera",
    "CREMA-D",
    "DCASE 2016",
    "ESC-50",
    "FSD50K",
    "GTZAN Genre",
    "GTZAN Music/Speech",
    "Gunshot",
    "Libricount",
    "Maestro 5h",
    "Mridangam Stroke",
    "Mridangam Tonic",
    "NSynth Pitch 50h",
    "NSynth Pitch 5h",
    "Speech commands 5h",
    "Speech commands full",
    "Vocal Imitation",
    "VoxLingua107 top 10",
)


@dataclass(frozen=True)
class Row:
    """A model's row.

    Attributes:
        url: Web address of its description; may be empty.
        submitted: ``HEAR 2021`` or an ISO date; may be empty.
        scores: Scores in 0 to 1 in the order of the table's columns, None where missing.
        heard: Columns whose test data the model was trained on. Their scores aren't ranked.
    """

    model: str
    url: str
    submitted: str
    scores: tuple[float | None, ...]
    heard: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether no score is missing."""
        return None not in self.scores

    @property
    def total(self) -> float:
        """Sum of the scores, missing ones as 0, by which the official site orders models."""
        return sum(score for score in self.scores if score is not None)


@dataclass(frozen=True)
class Table:
    """Scores of models by tasks.

    Attributes:
        columns: Names of the tasks, as they stand in the table's head.
        rows: Models, in the file's order.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(row.model for row in self.rows)

    def column(self, name: str) -> tuple[float | None, ...]:
        """The scores of all models on one task."""
        index = self.columns.index(name)
        return tuple(row.scores[index] for row in self.rows)

    def with_row(self, row: Row) -> Table:
        """A table with a model added at the end, or replaced where there is one of its name."""
        if row.model in self.models:
            rows = tuple(row if row.model == old.model else old for old in self.rows)
        else:
            rows = (*self.rows, row)
        return replace(self, rows=rows)
