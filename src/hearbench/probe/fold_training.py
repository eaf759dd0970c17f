"""Trainings of one fold: what is finished is kept, and what is missing is trained together.

A training is the grid points of one shape with one seed. It is kept in the folder of its seed's
probe, so that asking for more seeds later trains only those that are new.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hearbench.digest import digest_json, short
from hearbench.embeddings.gpu_meter import GpuMeter
from hearbench.probe.checkpoint import Checkpoint
from hearbench.probe.data import TrainingData
from hearbench.probe.grid import GridResult
from hearbench.probe.kinds import Chosen, TaskKind
from hearbench.probe.neighbours import Neighbours
from hearbench.probe.network import ProbeStack
from hearbench.probe.objective import Validation
from hearbench.probe.precision import exact_float32
from hearbench.probe.protocol import GridPoint, NeighbourPoint, Protocol, by_shape
from hearbench.probe.standardize import Standardizer
from hearbench.probe.training_loop import Trained, Training
from hearbench.progress import Update
from hearbench.tasks.store import FoldSplit

__all__ = ["Learned", "Plan", "learn"]

# What networks that are trained together may take, with gradients, moments and best weights.
_STACK_BYTES = 4 << 30
_COPIES = 6


@dataclass(frozen=True)
class Plan:
    """What all trainings of a probe share.

    Attributes:
        kind: The task as the probe sees it.
        protocol: The protocol as it is applied to the task.
        folders: Folder of the finished trainings, by seed.
        device: A torch device.
        dtype: Precision of the products.
        n_folds: How many folds there are.
        update: Receives progress after every validation, in epochs of all folds.
    """

    kind: TaskKind
    protocol: Protocol
    folders: Mapping[int, Path]
    device: str
    dtype: torch.dtype
    n_folds: int
    update: Update | None
    checkpoint_every_s: float


@dataclass(frozen=True)
class Learned:
    """What came of one fold with one seed.

    Attributes:
        outcomes: Outcomes in the points' order.
        best: Position of the best validation.
        chosen: The predictor that was chosen; None if no point was validated.
        device_utilisation: Mean share of the time in which the GPU was busy, 0 to 1; None on a
            CPU, and where it isn't known.
    """

    outcomes: tuple[GridResult, ...]
    best: int
    chosen: Chosen | None
    seconds: float
    device_utilisation: float | None = None


@exact_float32()
def learn(
    plan: Plan, number: int, fold: FoldSplit, points: Mapping[int, Sequence[int]]
) -> dict[int, Learned]:
    """Trains, or finds trained, what a fold needs.

    Args:
        number: Number of the fold, from 0.
        points: Positions in the protocol's grid that are tried, by seed.
    """
    # Read lazily: a fold whose trainings are all finished needs no training data.
    data = _FoldData(plan.kind, fold)
    if plan.protocol.neighbours:
        return _ask(plan, data, points)
    grid = {seed: [plan.protocol.networks[i] for i in own] for seed, own in points.items()}
    units: dict[int, list[_Unit]] = {seed: [] for seed in grid}
    for wanted in _shapes(grid):
        missing: dict[int, list[GridPoint]] = {}
        for seed, own in wanted.items():
            unit = _finished(plan, seed, fold, own)
            if unit is None:
                missing[seed] = own
            else:
                units[seed].append(unit)
        for some in _portions(plan, data, missing) if missing else ():
            beaten = {seed: _best_of(units[seed], plan) for seed in some if units[seed]}
            for seed, unit in _train(plan, number, data, some, beaten).items():
                units[seed].append(unit)
    return {seed: _learned(plan, fold, own, units[seed]) for seed, own in grid.items()}


class _FoldData:
    """One fold's data, read when first asked for."""

    def __init__(self, kind: TaskKind, fold: FoldSplit) -> None:
        self.fold = fold
        self._kind = kind
        self._data: dict[torch.dtype, TrainingData] = {}

    def training(self, dtype: torch.dtype) -> TrainingData:
        if dtype not in self._data:
            # One at a time: two copies might not fit.
            self._data = {}
            self._data[dtype] = self._kind.training(self.fold, dtype)
        return self._data[dtype]


def _ask(plan: Plan, data: _FoldData, points: Mapping[int, Sequence[int]]) -> dict[int, Learned]:
    """Neighbours: the same for every seed."""
    grid, objective = plan.protocol.neighbours, plan.kind.objective
    training = data.training(torch.float32)
    found: dict[tuple[int, ...], Learned] = {}
    for own in dict.fromkeys(tuple(own) for own in points.values()):
        started = time.perf_counter()
        asked = [grid[i] for i in own]
        outcomes = tuple(
            _asked(point, validation)
            for point, validation in zip(
                asked,
                training.validate(Neighbours(asked, training), range(len(asked)), objective),
                strict=True,
            )
        )
        best = _best(outcomes, objective.goodness)
        chosen = Chosen(Neighbours([asked[best]], training), training.inputs)
        found[own] = Learned(outcomes, best, chosen, time.perf_counter() - started)
    return {seed: found[tuple(own)] for seed, own in points.items()}


def _asked(point: NeighbourPoint, validation: Validation) -> GridResult:
    score = 0.0 if math.isnan(validation.score) else validation.score
    return GridResult(
        point=point,
        validation_score=score,
        best_epoch=0,
        epochs=0,
        ended="asked",
        postprocessing=validation.postprocessing,
    )


@dataclass(frozen=True)
class _Unit:
    """One finished training: the points of one shape with one seed."""

    points: Sequence[GridPoint]
    trained: Trained
    inputs: Standardizer
    seconds: float
    device_utilisation: float | None


def _shapes(grid: Mapping[int, Sequence[GridPoint]]) -> Iterator[dict[int, list[GridPoint]]]:
    """By seed, the points of one shape after the other."""
    members = [(seed, point) for seed, own in grid.items() for point in own]
    for positions in by_shape([point for _, point in members]):
        some: dict[int, list[GridPoint]] = {}
        for seed, point in (members[i] for i in positions):
            some.setdefault(seed, []).append(point)
        yield some


def _portions(
    plan: Plan, data: _FoldData, points: Mapping[int, list[GridPoint]]
) -> Iterator[dict[int, list[GridPoint]]]:
    """As many seeds at a time as fit in memory."""
    some: dict[int, list[GridPoint]] = {}
    first = next(iter(points.values()))[0]
    reading = plan.kind.reading(data.training(_dtype(plan, first)).inputs, first)
    layers, width, _ = first.shape
    sizes = [reading.size, *[width] * layers, plan.kind.n_labels]
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    most = max(1, _STACK_BYTES // (4 * weights * _COPIES))
    for seed, own in points.items():
        if some and sum(map(len, some.values())) + len(own) > most:
            yield some
            some = {}
        some[seed] = own
    yield some


def _dtype(plan: Plan, point: GridPoint) -> torch.dtype:
    return plan.dtype if point.hidden_layers else torch.float32


def _train(
    plan: Plan,
    number: int,
    data: _FoldData,
    points: Mapping[int, list[GridPoint]],
    to_beat: Mapping[int, float],
) -> dict[int, _Unit]:
    first = next(iter(points.values()))[0]

    def update(done: int, total: int | None = None, text: str = "") -> None:
        if plan.update is not None and total is not None:
            fold = f"fold {number + 1} of {plan.n_folds}, " if plan.n_folds > 1 else ""
            # Folds count alike; within one, training mostly stops before the last epoch.
            plan.update(number * total + done, plan.n_folds * total, f"{fold}{text}")

    # With the first seed's trainings, named by all that are trained together.
    name = _name(data.fold, [p for own in points.values() for p in own], seeds=list(points))
    unfinished = Checkpoint(
        plan.folders[next(iter(points))] / f"{name}.unfinished.npz", plan.checkpoint_every_s
    )
    started = time.perf_counter()
    dtype = _dtype(plan, first)
    with GpuMeter(plan.device) as meter:
        training = data.training(dtype)
        reading = plan.kind.reading(training.inputs, first)
        trained = Training(
            points, training, plan.kind.objective, fold=number, dtype=dtype, reading=reading
        ).run(racing=plan.protocol.racing, to_beat=to_beat, checkpoint=unfinished, update=update)
        busy = meter.take()
    seconds = (time.perf_counter() - started) / len(points)
    units = {
        seed: _Unit(points[seed], own, training.inputs, seconds, busy)
        for seed, own in trained.items()
    }
    for seed, unit in units.items():
        _keep(plan, seed, data.fold, unit)
    unfinished.clear()
    return units


def _name(fold: FoldSplit, points: Sequence[GridPoint], seeds: Sequence[int] = ()) -> str:
    content = [*(point.model_dump() for point in points), *seeds]
    return f"{fold.test}-{len(points)}x-{short(digest_json(content))}"


def _keep(plan: Plan, seed: int, fold: FoldSplit, unit: _Unit) -> None:
    arrays = {f"inputs/{key}": array for key, array in unit.inputs.arrays().items()}
    for key, tensor in (unit.trained.weights or {}).items():
        arrays[f"weights/{key}"] = tensor.cpu().numpy()
    records = [outcome.model_dump(exclude={"point"}) for outcome in unit.trained.outcomes]
    path = plan.folders[seed] / f"{_name(fold, unit.points)}.finished.npz"
    meta = {
        "outcomes": records,
        "best": unit.trained.best,
        "seconds": unit.seconds,
        "device_utilisation": unit.device_utilisation,
    }
    Checkpoint(path).save(meta, arrays)


def _finished(plan: Plan, seed: int, fold: FoldSplit, points: Sequence[GridPoint]) -> _Unit | None:
    path = plan.folders[seed] / f"{_name(fold, points)}.finished.npz"
    kept = Checkpoint(path)
    loaded = kept.load()
    if loaded is None:
        return None
    meta, arrays = loaded
    try:
        outcomes = tuple(
            GridResult(point=point, **record)
            for record, point in zip(meta["outcomes"], points, strict=True)
        )
        best, seconds, busy = meta["best"], float(meta["seconds"]), meta.get("device_utilisation")
        inputs = Standardizer.from_arrays(_below(arrays, "inputs/"), plan.device)
    except (AttributeError, KeyError, TypeError, ValueError):
        kept.tell_unusable()  # of another version
        return None
    weights = {
        key: torch.from_numpy(array).to(plan.device)
        for key, array in _below(arrays, "weights/").items()
    }
    trained = Trained(outcomes, best if isinstance(best, int) else None, weights or None)
    return _Unit(points, trained, inputs, seconds, busy)


def _below(
    arrays: Mapping[str, npt.NDArray[np.float32]], prefix: str
) -> dict[str, npt.NDArray[np.float32]]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _best_of(units: Sequence[_Unit], plan: Plan) -> float:
    scores = [outcome.validation_score for unit in units for outcome in unit.trained.outcomes]
    return max(scores, key=plan.kind.objective.goodness)


def _learned(
    plan: Plan, fold: FoldSplit, points: Sequence[GridPoint], units: Sequence[_Unit]
) -> Learned:
    found = {outcome.point: outcome for unit in units for outcome in unit.trained.outcomes}
    outcomes = tuple(found[point] for point in points)
    best = _best(outcomes, plan.kind.objective.goodness)
    chosen = _network(plan, fold, outcomes[best], units)
    return Learned(outcomes, best, chosen, sum(unit.seconds for unit in units), _busy(units))


def _busy(units: Sequence[_Unit]) -> float | None:
    """Mean share of the time in which the GPU was busy, over the trainings of which it's known."""
    known = [(u.seconds, u.device_utilisation) for u in units if u.device_utilisation is not None]
    seconds = sum(own for own, _ in known)
    return sum(own * busy for own, busy in known) / seconds if seconds else None


def _best(outcomes: Sequence[GridResult], goodness: Callable[[float], float]) -> int:
    # max gives the first of equals, as the protocol does.
    return max(range(len(outcomes)), key=lambda i: goodness(outcomes[i].validation_score))


def _network(
    plan: Plan, fold: FoldSplit, outcome: GridResult, units: Sequence[_Unit]
) -> Chosen | None:
    """The best validation's network; None if no grid point was validated."""
    point = outcome.point
    if math.isnan(outcome.validation_score) or not isinstance(point, GridPoint):
        return None
    unit = next(
        unit
        for unit in units
        if unit.trained.best is not None and unit.points[unit.trained.best] == point
    )
    stack = ProbeStack(
        [point],
        [0],
        reading=plan.kind.reading(unit.inputs, point),
        n_labels=plan.kind.n_labels,
        outputs=plan.kind.outputs(fold),
        dtype=torch.float32,
    )
    stack.restore(0, unit.trained.weights or {})
    return Chosen(stack, unit.inputs)
