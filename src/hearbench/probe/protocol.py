"""Protocols: everything that affects a score, in one object with a name.

``hear2021`` is the protocol that produced the published leaderboard, quirks included; a score
made by it can be put beside the published ones. ``fast`` and ``faster`` are the two smaller
grids that came with it, for a quick look. The others change one thing of ``hear2021`` each:

* ``hear2021-shuffled``: the training examples come in another order in every epoch;
* ``hear2021-standardised``: embeddings are standardised on the training examples;
* ``linear``: no hidden layer;
* ``knn``: no training, the nearest training examples vote;
* ``racing``: grid points that can't win any more are given up.

Source: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", PMLR 176, 2022,
and the behaviour of the evaluation code that was published with it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hearbench.errors import ProbeError
from hearbench.probe.subset import TrainSubset
from hearbench.registry import Registry, did_you_mean

__all__ = [
    "DEFAULT_SEED",
    "FAST",
    "FASTER",
    "HEAR2021",
    "KNN",
    "LINEAR",
    "RACING",
    "SHUFFLED",
    "STANDARDISED",
    "GridPoint",
    "NeighbourPoint",
    "Protocol",
    "Racing",
    "by_shape",
    "draw_grid",
    "get_protocol",
    "protocol_names",
]

# Of runs that name no other, and of the draws of grids.
DEFAULT_SEED = 42


class GridPoint(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_layers: int = Field(default=1, ge=0, le=16)
    hidden_dim: int = Field(default=1024, ge=1)
    initialization: Literal["uniform", "normal"] = "uniform"
    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    max_epochs: int = Field(default=500, ge=1)
    check_every: int = Field(default=3, ge=1)
    patience: int = Field(default=20, ge=1)

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


class NeighbourPoint(BaseModel):
    """One way to label by the nearest training embeddings.

    Attributes:
        k: How many vote, each with its own labels.
        metric: Cosine, Euclidean or L1 distance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(ge=1)
    metric: Literal["cosine", "euclidean", "l1"] = "cosine"

    def label(self) -> str:
        """A short form for tables, e.g. ``10 neighbours, cosine``."""
        return f"{self.k} neighbour{'s' if self.k > 1 else ''}, {self.metric}"


class Racing(BaseModel):
    """When a grid point is given up because it can't win any more.

    Learning curves flatten. A point is given up when its best validation, raised by ``slack``
    times what it has gained over the last ``window`` validations, would still be below the best
    of any other point so far.

    Attributes:
        window: Validations that are looked back on; before there are that many, none is given up.
        slack: How much of that gain may still be to come.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(default=10, ge=1)
    slack: float = Field(default=4.0, ge=0, allow_inf_nan=False)


class Protocol(BaseModel):
    """How embeddings become a score.

    Attributes:
        name: What results call it. A changed protocol has another name.
        grid: The points that are tried, in order; of equal validation scores the first wins.
            All are of networks, or all of neighbours.
        batch_size: Clips (or frames) per training step.
        task_changes: Hyperparameters that a task overrides for every grid point, by task name.
        nan_ends_point: Whether an undefined validation score ends a grid point with the worst
            possible score (the published behaviour), or counts as 0.
        shuffle: Whether the training examples come in another order in every epoch. Clips of an
            event task do, and their frames within some tens of thousands.
        standardise: Whether embeddings are centred and divided by their standard deviation,
            both of the fold's training examples.
        racing: When grid points are given up early; None trains all to their end.
        subset: The part of the training clips that is learned from; None is all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    grid: tuple[GridPoint, ...] | tuple[NeighbourPoint, ...] = Field(min_length=1)
    batch_size: int = Field(default=1024, ge=2)
    task_changes: Mapping[str, Mapping[str, int | float]] = Field(default_factory=dict)
    nan_ends_point: bool = True
    shuffle: bool = False
    standardise: bool = False
    racing: Racing | None = None
    subset: TrainSubset | None = None

    @property
    def networks(self) -> tuple[GridPoint, ...]:
        """The grid of a protocol that trains networks; empty for one of neighbours."""
        return tuple(point for point in self.grid if isinstance(point, GridPoint))

    @property
    def neighbours(self) -> tuple[NeighbourPoint, ...]:
        """The grid of a protocol that asks neighbours; empty for one of networks."""
        return tuple(point for point in self.grid if isinstance(point, NeighbourPoint))

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another score."""
        return bool(self.networks)

    def about(self) -> str:
        """What it does otherwise than to train its whole grid on the embeddings as they are."""
        parts = []
        if self.neighbours:
            parts.append("no training: the nearest training examples vote")
        if self.networks and all(point.hidden_layers == 0 for point in self.networks):
            parts.append("no hidden layer")
        if self.standardise:
            parts.append("embeddings standardised on the training examples")
        if self.shuffle:
            parts.append("training examples in another order in every epoch")
        if self.racing:
            parts.append("grid points that can't win any more are given up")
        if self.subset:
            parts.append(f"a part of the training clips ({self.subset.label()})")
        return "; ".join(parts)

    def for_task(self, task_name: str) -> Protocol:
        """The protocol with that task's own changes applied to its grid."""
        changes = self.task_changes.get(task_name)
        if not changes:
            return self
        grid = tuple(point.model_copy(update=dict(changes)) for point in self.networks)
        # Points may have become alike.
        return self.model_copy(update={"grid": tuple(dict.fromkeys(grid)) or self.grid})

    def with_subset(self, subset: TrainSubset) -> Protocol:
        """The same, learning from a part of the training clips, under a name that says so."""
        return self.model_copy(
            update={"name": _with_part(self.name, subset.label()), "subset": subset}
        )

    def restricted(
        self, *, first: int | None = None, only: Mapping[str, Any] | None = None
    ) -> Protocol:
        """A part of the grid, under a name that says so.

        Args:
            first: Keep this many points.
            only: Keep the points whose hyperparameters have these values.

        Raises:
            ProbeError: A hyperparameter doesn't exist, or nothing is left.
        """
        if not first and not only:
            return self
        grid: Sequence[GridPoint | NeighbourPoint] = self.grid
        wanted = dict(only or {})
        for key in wanted:
            if key not in type(grid[0]).model_fields:
                known = sorted(type(grid[0]).model_fields)
                raise ProbeError(f"{key!r} is no hyperparameter. {did_you_mean(key, known)}")
        grid = [
            point
            for point in grid
            if all(_same(getattr(point, key), value) for key, value in wanted.items())
        ]
        if first is not None:
            grid = grid[:first]
        if not grid:
            described = ", ".join(f"{key}={value}" for key, value in wanted.items())
            points = "\n".join(f"  {point.label()}" for point in self.grid)
            raise ProbeError(
                f"No grid point of {self.name!r} has {described}. Its points are:\n{points}"
            )
        if len(grid) == len(self.grid):
            return self
        parts = [f"first={first}"] if first is not None else []
        parts += [f"{key}={value}" for key, value in wanted.items()]
        return self.model_copy(
            update={"name": _with_part(self.name, ",".join(parts)), "grid": tuple(grid)}
        )


def _with_part(name: str, part: str) -> str:
    """``hear2021`` becomes ``hear2021[part]``, and ``hear2021[a]`` ``hear2021[a,part]``."""
    return f"{name.removesuffix(']')},{part}]" if name.endswith("]") else f"{name}[{part}]"


def _same(have: Any, want: Any) -> bool:
    if isinstance(have, str):
        return have == str(want)
    try:
        return float(have) == float(want)
    except ValueError:
        return False


def draw_grid(values: Mapping[str, Sequence[Any]], count: int = 8) -> tuple[GridPoint, ...]:
    """The first ``count`` points of the full grid in the published random order.

    The points are enumerated with their names sorted and the last name varying fastest, then
    shuffled by ``random.Random(42)``. The published scores were all made with that seed, so it
    is part of the protocol: another seed of a run changes the training and not the grid.
    """
    names = sorted(values, key=_published_name)
    points = [
        GridPoint(**dict(zip(names, combination, strict=True)))
        for combination in itertools.product(*(values[name] for name in names))
    ]
    random.Random(DEFAULT_SEED).shuffle(points)
    return tuple(points[:count])


def _published_name(name: str) -> str:
    # The enumeration sorts by the names that the published code used.
    return {"check_every": "check_val_every_n_epoch"}.get(name, name)


_FULL_GRID: Mapping[str, Sequence[Any]] = {
    "hidden_layers": (1, 2),
    "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4),
    "initialization": ("uniform", "normal"),
}
_TASK_CHANGES: Mapping[str, Mapping[str, int | float]] = {
    "dcase2016_task2": {"check_every": 10},
    "maestro": {"check_every": 1, "max_epochs": 50},
}

# As published: the protocol, and its two smaller grids.
HEAR2021 = Protocol(name="hear2021", grid=draw_grid(_FULL_GRID), task_changes=_TASK_CHANGES)
FAST = Protocol(
    name="fast",
    grid=draw_grid({**_FULL_GRID, "max_epochs": (10, 50), "check_every": (3, 10)}),
    task_changes=_TASK_CHANGES,
    nan_ends_point=False,
)
FASTER = Protocol(
    name="faster",
    grid=draw_grid(
        {
            **_FULL_GRID,
            "hidden_layers": (0, 1),
            "hidden_dim": (64, 128),
            "patience": (1, 3),
            "max_epochs": (10,),
            "check_every": (1,),
        }
    ),
    task_changes=_TASK_CHANGES,
    nan_ends_point=False,
)

# Variations of it, by one change each.
SHUFFLED = HEAR2021.model_copy(update={"name": "hear2021-shuffled", "shuffle": True})
STANDARDISED = HEAR2021.model_copy(update={"name": "hear2021-standardised", "standardise": True})
RACING = HEAR2021.model_copy(update={"name": "racing", "racing": Racing()})
LINEAR = Protocol(
    name="linear",
    grid=draw_grid({**_FULL_GRID, "hidden_layers": (0,)}),
    task_changes=_TASK_CHANGES,
)
KNN = Protocol(
    name="knn",
    grid=tuple(
        NeighbourPoint(k=k, metric=metric)
        for metric, k in itertools.product(("cosine", "euclidean"), (1, 3, 10, 30))
    ),
    nan_ends_point=False,
)

_PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    "hearbench.protocols",
    {
        "fast": "hearbench.probe.protocol:FAST",
        "faster": "hearbench.probe.protocol:FASTER",
        "hear2021": "hearbench.probe.protocol:HEAR2021",
        "hear2021-shuffled": "hearbench.probe.protocol:SHUFFLED",
        "hear2021-standardised": "hearbench.probe.protocol:STANDARDISED",
        "knn": "hearbench.probe.protocol:KNN",
        "linear": "hearbench.probe.protocol:LINEAR",
        "racing": "hearbench.probe.protocol:RACING",
    },
)


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UnknownNameError: There is none.
    """
    return _PROTOCOLS.get(name)


def protocol_names() -> list[str]:
    """The names of all protocols, sorted."""
    return _PROTOCOLS.names()
