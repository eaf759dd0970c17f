"""Which embeddings of a task's clips there can be: one per clip, or one per frame with times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from hearbench.models.options import OptionValue
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, TaskType

__all__ = [
    "EMBEDDED",
    "EMBEDDINGS",
    "Dtype",
    "Embedded",
    "HasLayers",
    "HasSizes",
    "Wanted",
    "What",
    "embedding_size",
]

Dtype = Literal["float32", "float16"]
What = Literal["scene", "timestamp"]


@dataclass(frozen=True)
class Embedded:
    """A kind of embeddings, and into what clips are divided for them.

    Attributes:
        what: Kind of embedding, as in the names of the model's functions and sizes.
        called: The kind of task whose function of the model gives them.
        rows: The things that have an embedding each: ``clips`` or ``frames``.
        rows_per_s: How many per second of a clip are reckoned with; None for one per clip. A model
            may give others.
        shard_clips: Clips per shard where clips keep their lengths.
    """

    what: What
    called: Literal["scene", "event"]
    rows: str
    rows_per_s: float | None
    shard_clips: int

    def rows_of(self, duration_s: float) -> float:
        """How many embeddings a clip of that length is reckoned to have."""
        return 1.0 if self.rows_per_s is None else duration_s * self.rows_per_s


EMBEDDINGS: dict[What, Embedded] = {
    "scene": Embedded("scene", "scene", "clips", None, 64),
    # A hop of 50 ms.
    "timestamp": Embedded("timestamp", "event", "frames", 20, 4),
}
"""The kinds of embeddings by name."""

EMBEDDED = {
    SCENE: EMBEDDINGS["scene"],
    REGRESSION: EMBEDDINGS["scene"],
    EVENT: EMBEDDINGS["timestamp"],
}
"""The embeddings that each kind of task takes, unless others are asked for."""


class HasSizes(Protocol):
    """A model, or the record of one."""

    @property
    def scene_embedding_size(self) -> int:
        """Dimensions of a clip's embedding."""

    @property
    def timestamp_embedding_size(self) -> int:
        """Dimensions of a frame's embedding."""


class HasLayers(Protocol):
    """A model, loaded or known without that, that may give its layers."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def layers(self) -> int:
        """Number of layers that the model can give at once; 0 if it can't."""

    @property
    def layer(self) -> int | None:
        """Layer whose embeddings the model's own are, if it says so."""

    @property
    def options(self) -> Mapping[str, OptionValue]:
        """Keyword options of its ``load_model``."""


@dataclass(frozen=True)
class Wanted:
    """Which embeddings of a task's clips are wanted, and how they lie on disk.

    Attributes:
        what: ``scene`` for one per clip, ``timestamp`` for one per frame.
        layers: Numbers of the model's layers, rising; empty for what its functions give by
            themselves.
        dtype: Type of the numbers on disk.
        batch: Clips that the model gets at once, where they are of one length; None for as many
            as in the published evaluation.
    """

    what: What
    layers: tuple[int, ...] = ()
    dtype: Dtype = "float32"
    batch: int | None = None

    @classmethod
    def of(cls, kind: TaskType, dtype: Dtype = "float32") -> Wanted:
        """Names the embeddings that a kind of task takes unless others are asked for."""
        return cls(EMBEDDED[kind].what, (), dtype)

    @property
    def embedded(self) -> Embedded:
        """The kind of embeddings."""
        return EMBEDDINGS[self.what]

    @property
    def called(self) -> Literal["scene", "event"]:
        """The kind of task whose function of the model gives them."""
        return self.embedded.called

    def size(self, model: HasSizes) -> int:
        """Dimensions of one embedding of one layer."""
        return embedding_size(model, self.what)


def embedding_size(model: HasSizes, what: What) -> int:
    """The dimensions of a model's embeddings of a kind."""
    size: int = getattr(model, f"{what}_embedding_size")
    return size
