"""Protocols: everything that affects a score, in one object with a name.

``hear2021`` is the protocol that produced the published leaderboard, quirks included; a score
made by it can be put beside the published ones. ``fast`` and ``faster`` are the two smaller
grids that came with it, for a quick look. The others change one thing of ``hear2021`` each:

* ``hear2021-shuffled``: the training examples come in another order in every epoch;
* ``hear2021-standardised``: embeddings are standardised on the training examples;
* ``linear``: no hidden layer;
* ``knn``: no training, the nearest training examples vote;
* ``racing``: grid points that can't win any more are given up;
* ``quick``: the same earlier, and half of the points early on, for everyday work;
* ``layers``: every layer of the model is probed by itself, and the best by validation is chosen;
* ``weighted``: the layers are summed with weights that are learned together with the network;
* ``attentive``: a clip's frames are summed with weights that are learned likewise.

The last three can be put before any other protocol: ``weighted:linear``.

``mwmae``, ``listen``, ``listen-fast``, ``wavjepa`` and ``encodecmae`` evaluate as forks of the
published code do, by which papers have reported scores since.

Source: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", PMLR 176, 2022,
and the behaviour of the evaluation code that was published with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from hearbench.embeddings.kinds import EMBEDDED, What
from hearbench.errors import ProbeError
from hearbench.probe.grid import (
    Cut,
    GridPoint,
    NeighbourPoint,
    Postprocessing,
    by_shape,
    draw_grid,
)
from hearbench.probe.subset import TrainSubset
from hearbench.records import GrownRecord
from hearbench.registry import Registry, did_you_mean
from hearbench.tasks.evaluation_params import PARAM_GRID, BatchSize, evaluation_params
from hearbench.tasks.task_type import TaskType

__all__ = [
    "ATTENTIVE",
    "DEFAULT_SEED",
    "FAST",
    "FASTER",
    "HEAR2021",
    "KNN",
    "LAYERS",
    "LINEAR",
    "NEVER_UNDEFINED",
    "QUICK",
    "RACING",
    "SHUFFLED",
    "STANDARDISED",
    "WEIGHTED",
    "GridPoint",
    "NeighbourPoint",
    "Protocol",
    "Racing",
    "Reads",
    "by_shape",
    "draw_grid",
    "get_protocol",
    "protocol_names",
]

# Of runs that name no other.
DEFAULT_SEED = 42

# First scores that have a number whatever is predicted.
NEVER_UNDEFINED = ("chroma_acc", "mAP", "pitch_acc", "segment_1s_er", "top1_acc")

Reads = Literal["embeddings", "layers", "weighted", "attentive"]
"""What a probe is given: embeddings as they are, those of every layer by itself, a weighted sum of
layers, or a weighted sum of a clip's frames."""

# The protocol on which these names stand by themselves; on others, ``weighted:linear``.
_PUBLISHED = "hear2021"


LayerWeights = Literal["softmax", "abs"]
Change = int | float | tuple[int | float, ...]
"""A hyperparameter's value, or the values that a grid is drawn from."""


class Racing(GrownRecord):
    """When a grid point is given up because it can't win any more, or isn't likely to.

    Learning curves flatten. A point is given up when its best validation, raised by ``slack``
    times what it has gained over the last ``window`` validations, would still be below the best
    of any other point so far.

    Attributes:
        window: Validations that are looked back on; before there are that many, none is given up
            by this rule.
        slack: How much of that gain may still be to come.
        halvings: Validations after each of which the worse half of the points of a shape is given
            up: of n points ceil(n / 2) go on, then ceil(n / 4), and so on; of equal ones the first.
            Ascending; empty and left out for none.
        patience: Validations without improvement after which any training stops, in every fold,
            where its point would wait longer; null and left out for the point's own.
    """

    LATER: ClassVar[tuple[str, ...]] = ("halvings", "patience")

    window: int = Field(default=10, ge=1)
    slack: float = Field(default=4.0, ge=0, allow_inf_nan=False)
    halvings: tuple[Annotated[int, Field(ge=1)], ...] = ()
    patience: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _check_halvings(self) -> Racing:
        if list(self.halvings) != sorted(set(self.halvings)):
            raise ValueError(f"halvings must ascend: {self.halvings}")
        return self


class Protocol(GrownRecord):
    """How embeddings become a score.

    Two protocols are equal if they train alike: what they would change for tasks of certain names
    isn't looked at, as it has been applied in a result.

    Attributes:
        name: Name in results. A changed protocol has another name.
        grid: The points that are tried, in order; of equal validation scores the first wins.
            All are of networks, or all of neighbours.
        batch_size: Clips (or frames) per training step.
        task_changes: Hyperparameters that a task fixes for every grid point, or the values that
            its grid is drawn from, by task name.
        nan_ends_point: Whether a validation score that isn't finite ends a grid point, for which
            the best before it counts (the published behaviour); or an undefined one counts as 0.
        shuffle: Whether the training examples come in another order in every epoch. Clips of an
            event task do, and their frames within some tens of thousands.
        standardise: Whether embeddings are centred and divided by their standard deviation,
            both of the fold's training examples.
        racing: When grid points are given up early; None trains all to their end.
        subset: The part of the training clips that is learned from; None is all of them.
        reads: What is learned from: ``embeddings`` as they are; ``layers``, each by itself, of
            which the best by validation is chosen; ``weighted``, a sum of the layers whose weights
            are learned; or ``attentive``, a sum of a clip's frames whose weights are. Left out
            where it is ``embeddings``.
        layers: Numbers of the model's layers that are used, ascending; empty and left out for all.
        layer_weights: How the weights of layers are made of what is learned, a number w per layer:
            ``softmax`` from zeros on, or ``abs``, which is abs(w) / sum(abs(w)), from ones on.
        postprocessing: The ways from frames to events that are tried where a task's metadata names
            none; empty for those of the published protocol.
        embed_batch: Clips that the model gets at once, where they are of one length; None for as
            many as in the published evaluation.
    """

    LATER: ClassVar[tuple[str, ...]] = (
        "reads",
        "layers",
        "layer_weights",
        "postprocessing",
        "embed_batch",
    )

    name: str
    grid: tuple[GridPoint, ...] | tuple[NeighbourPoint, ...] = Field(min_length=1)
    batch_size: BatchSize = 1024
    task_changes: Mapping[str, Mapping[str, Change]] = Field(default_factory=dict)
    nan_ends_point: bool = True
    shuffle: bool = False
    standardise: bool = False
    racing: Racing | None = None
    subset: TrainSubset | None = None
    reads: Reads = "embeddings"
    layers: tuple[Annotated[int, Field(ge=0)], ...] = ()
    layer_weights: LayerWeights = "softmax"
    postprocessing: tuple[Postprocessing, ...] = ()
    embed_batch: Annotated[int, Field(ge=1)] | None = None
    # What the grid is drawn from, which a task can change: the values of each hyperparameter, of
    # whose combinations eight are tried; None where the points are named one by one. And the parts
    # of that which it was restricted to, one after the other. Neither is in files.
    _values: Mapping[str, tuple[Any, ...]] | None = PrivateAttr(default=None)
    _cuts: tuple[Cut, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _check_layers(self) -> Protocol:
        if list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"layers must ascend: {self.layers}")
        if self.layers and not self.reads_layers:
            raise ValueError(f"layers are named, but {self.reads} are read")
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Protocol) and self.recorded() == other.recorded()

    __hash__ = None  # type: ignore[assignment]

    def recorded(self) -> str:
        """All that decides how it trains, as JSON."""
        return self.model_dump_json(exclude={"task_changes"})

    def trains_as(self, other: Protocol, score: str) -> bool:
        """Whether both train alike where that score is the first.

        Of one that is never undefined it doesn't matter what an undefined one does, which
        ``fast`` and ``faster`` had otherwise in earlier versions.
        """
        if score in NEVER_UNDEFINED:
            return self.model_copy(update={"nan_ends_point": other.nan_ends_point}) == other
        return self == other

    @classmethod
    def drawn(cls, name: str, values: Mapping[str, Sequence[Any]], **changes: Any) -> Protocol:
        """A protocol whose grid is drawn from the combinations of some values.

        Args:
            values: The values of each hyperparameter.
            **changes: Other attributes.
        """
        lists = {key: tuple(each) for key, each in values.items()}
        made = cls(name=name, grid=draw_grid(lists), **changes)
        made._values = lists
        return made

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

    @property
    def reads_layers(self) -> bool:
        """Whether it needs the embeddings of several layers."""
        return self.reads in ("layers", "weighted")

    def patience(self, point: GridPoint) -> int:
        """Validations without improvement after which a point's training stops."""
        most = self.racing.patience if self.racing else None
        return point.patience if most is None else min(most, point.patience)

    def what(self, kind: TaskType) -> What:
        """Which kind of embeddings it takes of a kind of task."""
        return "timestamp" if self.reads == "attentive" else EMBEDDED[kind].what

    def about(self) -> str:
        """What it does otherwise than to train its whole grid on the embeddings as they are."""
        parts = []
        if self.reads != "embeddings":
            parts.append(_ABOUT_READING[self.reads])
        if self.layers:
            parts.append(f"layers {', '.join(map(str, self.layers))}")
        if self.neighbours:
            parts.append("no training: the nearest training examples vote")
        if self.networks and all(point.hidden_layers == 0 for point in self.networks):
            parts.append("no hidden layer")
        own = [
            task
            for task, changes in self.task_changes.items()
            if any(isinstance(value, tuple) for value in changes.values())
        ]
        if own:
            parts.append(f"another grid for {', '.join(own)}")
        if self.layer_weights == "abs":
            parts.append("a layer's weight is its share of the absolute numbers")
        if self.postprocessing:
            shown = (f"{p.median_filter_ms:g}/{p.min_duration_ms:g}" for p in self.postprocessing)
            parts.append(f"events by filters and shortest durations of {', '.join(shown)} ms")
        if self.embed_batch:
            parts.append(f"{self.embed_batch} clip{'s' * (self.embed_batch > 1)} embedded at once")
        if self.standardise:
            parts.append("embeddings standardised on the training examples")
        if self.shuffle:
            parts.append("training examples in another order in every epoch")
        if self.racing:
            parts.append("grid points that can't win any more are given up")
            if self.racing.halvings:
                after = ", ".join(map(str, self.racing.halvings))
                parts.append(f"the worse half of each shape's is after {after} validations")
            if self.racing.patience:
                parts.append(f"a patience of {self.racing.patience} validations at most")
        if self.subset:
            parts.append(f"a part of the training clips ({self.subset.label()})")
        return "; ".join(parts)

    def for_task(self, task_name: str, params: Mapping[str, Any] | None = None) -> Protocol:
        """The protocol as it is applied to a task.

        The values that the task's name or its metadata give take the place of the protocol's
        before the grid is drawn from them; those of the metadata come last. A protocol without
        hidden layers stays without them.

        Args:
            task_name: Without version and mode.
            params: The task's ``evaluation_params``, of which ``task_specific_param_grid`` counts.

        Raises:
            TaskError: That grid can't be.
            ProbeError: Nothing is left of the grid, or some of its points aren't validated.
        """
        own = evaluation_params(params, keys=[PARAM_GRID]).task_specific_param_grid
        changes: dict[str, Sequence[Any]] = {
            key: value if isinstance(value, tuple) else (value,)
            for key, value in self.task_changes.get(task_name, {}).items()
        }
        changes |= own.values() if own else {}
        if not changes or not self.networks:
            return self
        batch_size = changes.pop("batch_size", (self.batch_size,))[0]
        if not any(point.hidden_layers for point in self.networks):
            changes.pop("hidden_layers", None)
        grid = self._changed(changes)
        if not grid:
            raise ProbeError(
                f"No grid point of {self.name!r} is left for {task_name}, whose metadata sets "
                f"{_listed(changes)}. Restrict the grid otherwise."
            )
        blind = next((point for point in grid if point.max_epochs < point.check_every), None)
        if blind is not None:
            raise ProbeError(
                f"{self.name!r} would never validate {task_name}: at most {blind.max_epochs} "
                f"epochs are trained, and every {blind.check_every} of them is followed by a "
                "validation. Change task_specific_param_grid in its task_metadata.json, or choose "
                "another protocol."
            )
        return self.model_copy(update={"grid": grid, "batch_size": batch_size})

    def _changed(self, changes: Mapping[str, Sequence[Any]]) -> tuple[GridPoint, ...]:
        if self._values is not None:
            drawn: Sequence[Any] = draw_grid({**self._values, **changes})
            for cut in self._cuts:
                drawn = cut.of(drawn)
            return tuple(dict.fromkeys(drawn))
        changed = []
        for point in self.networks:
            have = point.model_dump()
            # A point that has one of the values keeps it, so that nothing changes the next time.
            lists = [
                (have[key],) if have[key] in values else values for key, values in changes.items()
            ]
            changed += [
                GridPoint(**{**have, **dict(zip(changes, chosen, strict=True))})
                for chosen in itertools.product(*lists)
            ]
        return tuple(dict.fromkeys(changed))

    def that_reads(self, reads: Reads) -> Protocol:
        """The same, learning from something else than the embeddings as they are.

        Returns:
            It has ``reads`` before its name, or in the place of ``hear2021``.

        Raises:
            ProbeError: It trains nothing, so no weights could be learned; or it reads something
                else already.
        """
        if self.reads != "embeddings":
            raise ProbeError(f"{self.name!r} reads {self.reads} already; {reads} can't be added.")
        if reads in ("weighted", "attentive") and self.neighbours:
            raise ProbeError(
                f"{reads}:{self.name} doesn't exist: {self.name!r} trains no network with which "
                f"weights could be learned. Use a protocol that does, such as {reads}:linear."
            )
        published, parts = _split_name(self.name)
        name = f"{reads}{parts}" if published == _PUBLISHED else f"{reads}:{self.name}"
        return self.model_copy(update={"name": name, "reads": reads})

    def with_layers(self, layers: Collection[int]) -> Protocol:
        """The same with some of the layers alone, under a name that says so.

        Args:
            layers: Numbers of the layers, in any order.

        Raises:
            ProbeError: It reads no layers, or none is named.
        """
        if not self.reads_layers or not layers:
            raise ProbeError(
                f"{self.name!r} reads {self.reads} of one layer. Use layers or weighted, and "
                "name at least one layer."
            )
        chosen = tuple(sorted(set(layers)))
        name = _with_part(
            _without_part(self.name, _LAYERS_PART), _LAYERS_PART + "+".join(map(str, chosen))
        )
        return self.model_copy(update={"name": name, "layers": chosen})

    def of_one_layer(self) -> Protocol:
        """The protocol that trains on the embeddings of a single layer, as they are."""
        if self.reads == "embeddings":
            return self
        base, parts = _split_name(_without_part(self.name, _LAYERS_PART))
        base = _PUBLISHED if base == self.reads else base.removeprefix(f"{self.reads}:")
        return self.model_copy(
            update={"name": f"{base}{parts}", "reads": "embeddings", "layers": ()}
        )

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
        cut = Cut(first=first, only=dict(only or {}))
        for key in cut.only:
            if key not in type(self.grid[0]).model_fields:
                known = sorted(type(self.grid[0]).model_fields)
                raise ProbeError(f"{key!r} is no hyperparameter. {did_you_mean(key, known)}")
        grid = cut.of(self.grid)
        if not grid:
            described = ", ".join(f"{key}={value}" for key, value in cut.only.items())
            points = "\n".join(f"  {point.label()}" for point in self.grid)
            raise ProbeError(
                f"No grid point of {self.name!r} has {described}. Its points are:\n{points}"
            )
        if len(grid) == len(self.grid):
            return self
        part = self.model_copy(update={"name": _with_part(self.name, cut.label()), "grid": grid})
        part._cuts = (*self._cuts, cut)  # noqa: SLF001 (another of this class)
        return part


def _listed(changes: Mapping[str, Sequence[Any]]) -> str:
    return ", ".join(f"{key} {' or '.join(map(str, each))}" for key, each in changes.items())


def _split_name(name: str) -> tuple[str, str]:
    """``linear[first=2]`` as ``linear`` and ``[first=2]``."""
    base, bracket, parts = name.partition("[")
    return base, f"{bracket}{parts}"


def _without_part(name: str, begin: str) -> str:
    """``hear2021[layers=0+1,first=2]`` becomes ``hear2021[first=2]``, if ``layers=`` goes."""
    base, parts = _split_name(name)
    left = [part for part in parts[1:-1].split(",") if part and not part.startswith(begin)]
    return f"{base}[{','.join(left)}]" if left else base


def _with_part(name: str, part: str) -> str:
    """``hear2021`` becomes ``hear2021[part]``, and ``hear2021[a]`` ``hear2021[a,part]``."""
    return f"{name.removesuffix(']')},{part}]" if name.endswith("]") else f"{name}[{part}]"


_LAYERS_PART = "layers="

_ABOUT_READING: Mapping[Reads, str] = {
    "layers": "every layer by itself; the best by validation is chosen",
    "weighted": "a sum of all layers, whose weights are learned",
    "attentive": "a sum of each clip's frames, whose weights are learned (scene tasks)",
}

_FULL_GRID: Mapping[str, Sequence[Any]] = {
    "hidden_layers": (1, 2),
    "lr": (3.2e-3, 1e-3, 3.2e-4, 1e-4),
    "initialization": ("uniform", "normal"),
}
# The one task that the published code knows by its name; others say it in their metadata.
_TASK_CHANGES: Mapping[str, Mapping[str, Change]] = {"dcase2016_task2": {"check_every": 10}}

# As published: the protocol, and its two smaller grids.
HEAR2021 = Protocol.drawn("hear2021", _FULL_GRID, task_changes=_TASK_CHANGES)
FAST = Protocol.drawn(
    "fast",
    {**_FULL_GRID, "max_epochs": (10, 50), "check_every": (3, 10)},
    task_changes=_TASK_CHANGES,
)
FASTER = Protocol.drawn(
    "faster",
    {
        **_FULL_GRID,
        "hidden_layers": (0, 1),
        "hidden_dim": (64, 128),
        "patience": (1, 3),
        "max_epochs": (10,),
        "check_every": (1,),
    },
    task_changes=_TASK_CHANGES,
)

# Variations of it, by one change each.
SHUFFLED = HEAR2021.model_copy(update={"name": "hear2021-shuffled", "shuffle": True})
STANDARDISED = HEAR2021.model_copy(update={"name": "hear2021-standardised", "standardise": True})
RACING = HEAR2021.model_copy(update={"name": "racing", "racing": Racing()})
QUICK = HEAR2021.model_copy(
    update={
        "name": "quick",
        "racing": Racing(window=4, slack=1.0, halvings=(3, 6), patience=10),
    }
)
LINEAR = Protocol.drawn("linear", {**_FULL_GRID, "hidden_layers": (0,)}, task_changes=_TASK_CHANGES)
KNN = Protocol(
    name="knn",
    grid=tuple(
        NeighbourPoint(k=k, metric=metric)
        for metric, k in itertools.product(("cosine", "euclidean"), (1, 3, 10, 30))
    ),
    nan_ends_point=False,
)

# Protocols that read something else than the embeddings as they are.
LAYERS = HEAR2021.that_reads("layers")
WEIGHTED = HEAR2021.that_reads("weighted")
ATTENTIVE = HEAR2021.that_reads("attentive")
_READING = {protocol.name: protocol.reads for protocol in (LAYERS, WEIGHTED, ATTENTIVE)}

# As evaluated by forks of the published code; what differs is in docs/protocol.md with its source.
MWMAE = Protocol(
    name="mwmae",
    grid=tuple(
        GridPoint(hidden_layers=1, lr=1e-4, initialization="normal", dropout=dropout)
        for dropout in (0.1, 0.25)
    ),
    task_changes=_TASK_CHANGES,
    embed_batch=1,
)
_LISTEN_EVENTS = tuple(
    Postprocessing(median_filter_ms=250, min_duration_ms=ms) for ms in (250, 500)
)
LISTEN = HEAR2021.model_copy(
    update={"name": "listen", "postprocessing": _LISTEN_EVENTS, "embed_batch": 256}
)
LISTEN_FAST = Protocol.drawn(
    "listen-fast",
    {**_FULL_GRID, "max_epochs": (50,), "check_every": (3, 10)},
    task_changes=_TASK_CHANGES,
    postprocessing=_LISTEN_EVENTS,
    embed_batch=256,
)
WAVJEPA = HEAR2021.model_copy(
    update={
        "name": "wavjepa",
        "task_changes": {"dcase2016_task2": {"check_every": 10, "max_epochs": (10, 50)}},
    }
)
ENCODECMAE = HEAR2021.model_copy(
    update={"name": "encodecmae", "reads": "weighted", "layer_weights": "abs"}
)

_PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    "hearbench.protocols",
    {
        "attentive": "hearbench.probe.protocol:ATTENTIVE",
        "fast": "hearbench.probe.protocol:FAST",
        "faster": "hearbench.probe.protocol:FASTER",
        "hear2021": "hearbench.probe.protocol:HEAR2021",
        "hear2021-shuffled": "hearbench.probe.protocol:SHUFFLED",
        "hear2021-standardised": "hearbench.probe.protocol:STANDARDISED",
        "encodecmae": "hearbench.probe.protocol:ENCODECMAE",
        "knn": "hearbench.probe.protocol:KNN",
        "layers": "hearbench.probe.protocol:LAYERS",
        "linear": "hearbench.probe.protocol:LINEAR",
        "listen": "hearbench.probe.protocol:LISTEN",
        "listen-fast": "hearbench.probe.protocol:LISTEN_FAST",
        "mwmae": "hearbench.probe.protocol:MWMAE",
        "quick": "hearbench.probe.protocol:QUICK",
        "racing": "hearbench.probe.protocol:RACING",
        "wavjepa": "hearbench.probe.protocol:WAVJEPA",
        "weighted": "hearbench.probe.protocol:WEIGHTED",
    },
)


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Args:
        name: One of `protocol_names`, or what another protocol's networks read and its name:
            ``layers:linear``, ``weighted:fast``, ``attentive:hear2021-shuffled``.

    Raises:
        UnknownNameError: There is none.
        ProbeError: What should be read can't be read so.
    """
    reads, _, base = name.partition(":")
    if base and reads in _READING:
        return get_protocol(base).that_reads(_READING[reads])
    return _PROTOCOLS.get(name)


def protocol_names() -> list[str]:
    """The names of all protocols, sorted."""
    return _PROTOCOLS.names()
