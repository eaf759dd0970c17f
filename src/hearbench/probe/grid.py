"""Grids: the points that a protocol tries, and how they are drawn and restricted.

Source: the behaviour of the evaluation code that was published with Turian et al., "HEAR: Holistic
Evaluation of Audio Representations", PMLR 176, 2022.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from hearbench.records import Number, Record
from hearbench.tasks.evaluation_params import (
    Dropout,
    HiddenDim,
    HiddenLayers,
    Initialization,
    LearningRate,
    Whole,
)

__all__ = [
    "Cut",
    "GridPoint",
    "GridResult",
    "NeighbourPoint",
    "Postprocessing",
    "batch_bounds",
    "by_shape",
    "draw_grid",
]

# By which the published grids were drawn.
_SEED = 42

# Points that are tried of those that a grid's values combine to.
_TRIED = 8

_Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class GridPoint(Record):
    """One set of hyperparameters of the probe.

    Attributes:
        hidden_layers: Number of hidden layers, 0 for a linear probe.
        hidden_dim: Width of each.
        initialization: Xavier's, uniform or normal.
        lr: Adam's learning rate.
        dropout: Share of a hidden layer's units that is dropped.
        max_epochs: Passes over the training clips at most.
        check_every: Epochs between validations.
        patience: Validations without improvement after which it stops.
    """

    hidden_layers: HiddenLayers = 1
    hidden_dim: HiddenDim = 1024
    initialization: Initialization = "uniform"
    lr: LearningRate = 1e-3
    dropout: Dropout = 0.1
    max_epochs: Whole = 500
    check_every: Whole = 3
    patience: Whole = 20

    @property
    def shape(self) -> tuple[int, int, float]:
        """What networks must share to be trained as one: layers, width and dropout."""
        return (self.hidden_layers, self.hidden_dim, self.dropout)

    def label(self) -> str:
        """A short form for tables, e.g. ``2 x 1024, normal, lr 3.2e-04``."""
        size = f"{self.hidden_layers} x {self.hidden_dim}" if self.hidden_layers else "linear"
        return f"{size}, {self.initialization}, lr {self.lr:.1e}"


def by_shape(points: Sequence[GridPoint]) -> list[list[int]]:
    """Positions of the points that can be trained together, in order of appearance."""
    groups: dict[tuple[int, int, float], list[int]] = {}
    for i, point in enumerate(points):
        groups.setdefault(point.shape, []).append(i)
    return list(groups.values())


class NeighbourPoint(Record):
    """One way to label by the nearest training embeddings.

    Attributes:
        k: How many vote, each with its own labels.
        metric: Cosine, Euclidean or L1 distance.
    """

    k: Whole
    metric: Literal["cosine", "euclidean", "l1"] = "cosine"

    def label(self) -> str:
        """A short form for tables, e.g. ``10 neighbours, cosine``."""
        return f"{self.k} neighbour{'s' if self.k > 1 else ''}, {self.metric}"


class Postprocessing(Record):
    """How frames become events.

    Attributes:
        median_filter_ms: Length of the median filter over a label's probabilities, ms; 0 for none.
        min_duration_ms: Shortest event that is kept, from its first to its last frame's
            timestamp, ms.
    """

    median_filter_ms: _Length
    min_duration_ms: _Length


class GridResult(Record):
    """How a grid point fared on the first fold.

    Attributes:
        point: The hyperparameters.
        validation_score: The best validation; the worst there is, an infinity, if the first one was
            undefined already. Null in results of earlier versions wherever one was undefined.
        best_epoch: After which epoch, from 1.
        epochs: How many were trained.
        ended: ``patience``, ``max_epochs``, ``undefined_score`` (a validation that wasn't
            finite), ``raced`` (given up early) or ``asked`` (neighbours, which aren't trained).
        postprocessing: How frames became events in the best validation (event tasks).
    """

    point: GridPoint | NeighbourPoint
    validation_score: Number
    best_epoch: int
    epochs: int
    ended: str
    postprocessing: Postprocessing | None = None


@dataclass(frozen=True)
class Cut:
    """A part of a grid.

    Attributes:
        first: Keep this many points; None keeps all.
        only: Keep the points whose hyperparameters have these values; before ``first``.
    """

    first: int | None
    only: Mapping[str, Any]

    def of(
        self, grid: Sequence[GridPoint | NeighbourPoint]
    ) -> tuple[GridPoint | NeighbourPoint, ...]:
        """What is left of a grid; maybe nothing."""
        left = [
            point
            for point in grid
            if all(_same(getattr(point, key), value) for key, value in self.only.items())
        ]
        return tuple(left[: self.first])

    def label(self) -> str:
        """A short form for names, e.g. ``first=2,lr=0.001``."""
        parts = [f"first={self.first}"] if self.first is not None else []
        return ",".join([*parts, *(f"{key}={value}" for key, value in self.only.items())])


def _same(have: Any, want: Any) -> bool:
    if isinstance(have, str):
        return have == str(want)
    try:
        return float(have) == float(want)
    except ValueError:
        return False


def draw_grid(values: Mapping[str, Sequence[Any]], count: int = _TRIED) -> tuple[GridPoint, ...]:
    """The first ``count`` points of the full grid in the published random order.

    The points are enumerated with their names sorted and the last name varying fastest, then
    shuffled by ``random.Random(42)``. The published scores were all made with that seed, so it
    is part of the protocol: another seed of a run changes the training and not the grid.
    """
    names = sorted(values, key=_published_name)
    combinations = list(itertools.product(*(values[name] for name in names)))
    random.Random(_SEED).shuffle(combinations)
    return tuple(
        GridPoint(**dict(zip(names, combination, strict=True)))
        for combination in combinations[:count]
    )


def _published_name(name: str) -> str:
    # The enumeration sorts by the names that the published code used.
    return {"check_every": "check_val_every_n_epoch"}.get(name, name)


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Starts and ends of an epoch's batches.

    The last one may be smaller, but a single example can't be normalised over its batch: it
    joins the batch before it.
    """
    bounds = [(i, min(i + batch_size, count)) for i in range(0, count, batch_size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds
