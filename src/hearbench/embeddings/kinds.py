"""Each kind of task embeds clips as a whole, or their frames with times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from hearbench.tasks.task_type import EVENT, SCENE, TaskType

__all__ = ["EMBEDDED", "Embedded", "HasSizes", "embedding_size"]


@dataclass(frozen=True)
class Embedded:
    """The kind of embeddings that a kind of task takes, and into what its clips are divided.

    Attributes:
        what: Kind of embedding, as in the names of the model's functions and sizes.
        rows: The things that have an embedding each: ``clips`` or ``frames``.
        rows_per_s: How many per second of a clip are reckoned with; None for one per clip. A model
            may give others.
        shard_clips: Clips per shard where clips keep their lengths.
    """

    what: Literal["scene", "timestamp"]
    rows: str
    rows_per_s: float | None
    shard_clips: int

    def rows_of(self, duration_s: float) -> float:
        """How many embeddings a clip of that length is reckoned to have."""
        return 1.0 if self.rows_per_s is None else duration_s * self.rows_per_s


EMBEDDED = {
    SCENE: Embedded("scene", "clips", None, 64),
    # A hop of 50 ms.
    EVENT: Embedded("timestamp", "frames", 20, 4),
}
"""The embeddings of each kind of task."""


class HasSizes(Protocol):
    """A model, or the record of one."""

    @property
    def scene_embedding_size(self) -> int:
        """Dimensions of a clip's embedding."""

    @property
    def timestamp_embedding_size(self) -> int:
        """Dimensions of a frame's embedding."""


def embedding_size(model: HasSizes, kind: TaskType) -> int:
    """The dimensions of a model's embeddings for a kind of task."""
    size: int = getattr(model, f"{EMBEDDED[kind].what}_embedding_size")
    return size
