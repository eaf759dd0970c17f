"""What an evaluation needs in the cache, as flows of units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearkit.execution.executor import Flow
from hearkit.execution.units import (
    EmbedShards,
    FetchTask,
    FindShards,
    FinishStore,
    ModelChoice,
    ResampleTask,
    TrainFold,
)

if TYPE_CHECKING:
    from hearkit.embeddings.manifest import Dtype
    from hearkit.probe.protocol import Protocol
    from hearkit.tasks.store import PreparedTask

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
        dtype: Of the embeddings on disk.
        training: Which probes; None for embeddings alone.
    """

    model: ModelChoice
    sample_rate: int
    task: PreparedTask
    dtype: Dtype
    training: Training | None


def fetching(task: str) -> Flow:
    """Brings a task into the cache that the user named."""
    yield [FetchTask(task)]


def filling(wanted: Wanted) -> Flow:
    """Everything of an evaluation that takes long: audio, embeddings, trainings.

    The first fold searches the grid, a unit per shape of networks, as these are trained side by
    side; the other folds are trained at the same time once its winner is known.
    """
    model, task, dtype = wanted.model, str(wanted.task.folder), wanted.dtype
    if wanted.sample_rate not in wanted.task.audio_folders:
        yield [ResampleTask(task, wanted.sample_rate)]
    (missing,) = yield [FindShards(model, task, dtype)]
    names = missing if isinstance(missing, tuple) else ()
    # A single one is embedded when the store is finished.
    if len(names) > 1:
        yield [EmbedShards(model, task, dtype, part) for part in _parts(names)]
    (store,) = yield [FinishStore(model, task, dtype)]
    # Neighbours learn nothing that could be kept.
    if wanted.training is not None and not wanted.training.protocol.neighbours:
        yield from _training(wanted.training, wanted.task, str(store))


def _training(training: Training, task: PreparedTask, store: str) -> Flow:
    def unit(number: int, points: Sequence[int]) -> TrainFold:
        return TrainFold(
            task=str(task.folder),
            store=store,
            protocol=training.protocol.model_dump_json(),
            seeds=training.seeds,
            precision=training.precision,
            number=number,
            points=tuple(points),
        )

    protocol = training.protocol.for_task(task.metadata.task_name)
    shapes: dict[tuple[int, int, float], list[int]] = {}
    for i, point in enumerate(protocol.networks):
        shapes.setdefault(point.shape, []).append(i)
    if protocol.racing:
        # What one shape reaches decides when points of the next are given up.
        yield [unit(0, range(len(protocol.networks)))]
    else:
        yield [unit(0, points) for points in shapes.values()]
    yield [unit(number, ()) for number in range(1, len(task.folds()))]


def _parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    size = math.ceil(len(names) / _PARTS)
    return [tuple(names[i : i + size]) for i in range(0, len(names), size)]
