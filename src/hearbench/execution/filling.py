"""What an evaluation needs in the cache, as flows of units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearbench.execution.executor import Flow
from hearbench.execution.task_place import TaskPlace
from hearbench.execution.units import (
    EmbedShards,
    FetchTask,
    FindShards,
    FinishStore,
    ModelChoice,
    ResampleTask,
    TrainFold,
)
from hearbench.probe.protocol import by_shape

if TYPE_CHECKING:
    from hearbench.embeddings.manifest import Dtype
    from hearbench.probe.protocol import Protocol
    from hearbench.tasks.store import PreparedTask

__all__ = ["Training", "Wanted", "fetching", "filling"]

# Each part loads the model anew; so many of them keep a cluster busy when one task is left.
_PARTS = 32


@dataclass(frozen=True)
class Training:
    """Which probes an evaluation trains.

    Attributes:
        protocol: With its grid restricted as asked for.
        seeds: Trained side by side, as the evaluation will ask for them.
        precision: Of the products: ``float32`` or ``bfloat16``.
    """

    protocol: Protocol
    seeds: tuple[int, ...]
    precision: str


@dataclass(frozen=True)
class Wanted:
    """A model on a task.

    Attributes:
        model: How the model is loaded.
        sample_rate: Its rate, in Hz.
        task: The task.
        place: How units name it.
        dtype: Of the embeddings on disk.
        training: Which probes; None for embeddings alone.
    """

    model: ModelChoice
    sample_rate: int
    task: PreparedTask
    place: TaskPlace
    dtype: Dtype
    training: Training | None


def fetching(task: str, found: dict[str, TaskPlace], *, sent: bool = False) -> Flow:
    """Brings a task into a cache.

    Args:
        task: As the user named it.
        found: Takes how units name it, by what the user named.
        sent: Whether units get it by the exchange.
    """
    (place,) = yield [FetchTask(task, sent)]
    if isinstance(place, TaskPlace):
        found[task] = place


def filling(wanted: Wanted, left: set[str]) -> Flow:
    """Everything of an evaluation that takes long: audio, embeddings, trainings.

    The first fold searches the grid, a unit per shape of networks, as these are trained side by
    side; the other folds are trained at the same time once its winner is known.

    Args:
        wanted: What is to be evaluated.
        left: Takes the folders, relative to the cache, where the evaluation will look.
    """
    model, task, dtype = wanted.model, wanted.place, wanted.dtype
    if wanted.sample_rate not in wanted.task.audio_folders:
        left.update(_names((yield [ResampleTask(task, wanted.sample_rate)])))
    (missing,) = yield [FindShards(model, task, dtype)]
    names = missing if isinstance(missing, tuple) else ()
    # A single one is embedded when the store is finished.
    if len(names) > 1:
        yield [EmbedShards(model, task, dtype, part) for part in _parts(names)]
    stores = [*_names((yield [FinishStore(model, task, dtype)]))]
    left.update(stores)
    # Neighbours learn nothing that could be kept.
    if wanted.training is not None and not wanted.training.protocol.neighbours:
        yield from _training(wanted, wanted.training, stores[-1], left)


def _training(wanted: Wanted, training: Training, store: str, left: set[str]) -> Flow:
    metadata = wanted.task.metadata
    # What a grid is drawn from isn't in its JSON, so the task's part in it is settled before.
    protocol = training.protocol.for_task(metadata.task_name, metadata.evaluation_params)

    def unit(number: int, points: Sequence[int]) -> TrainFold:
        return TrainFold(
            task=wanted.place,
            store=store,
            protocol=protocol.model_dump_json(),
            seeds=training.seeds,
            precision=training.precision,
            number=number,
            points=tuple(points),
        )

    networks = protocol.networks
    # What one shape reaches decides when points of the next are given up by racing.
    groups = [range(len(networks))] if protocol.racing else by_shape(networks)
    left.update(_names((yield [unit(0, points) for points in groups])))
    left.update(_names((yield [unit(i, ()) for i in range(1, len(wanted.task.folds()))])))


def _names(values: Sequence[object]) -> Iterator[str]:
    """The texts among what units gave, alone or in tuples."""
    for value in values:
        yield from (part for part in (value if isinstance(value, tuple) else (value,)) if part)


def _parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    size = math.ceil(len(names) / _PARTS)
    return [tuple(names[i : i + size]) for i in range(0, len(names), size)]
