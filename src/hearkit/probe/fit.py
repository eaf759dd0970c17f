"""From embeddings to test predictions: the grid on the first fold, its winner on the others."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as TypingProtocol

import numpy as np
import numpy.typing as npt
import torch

from hearkit.digest import digest_json, short
from hearkit.embeddings.store import EmbeddingStore
from hearkit.errors import ProbeError
from hearkit.probe.checkpoint import Checkpoint
from hearkit.probe.data import TrainingData
from hearkit.probe.kinds import TaskKind, kind_of
from hearkit.probe.network import ProbeStack
from hearkit.probe.objective import Objective
from hearkit.probe.precision import resolve_precision
from hearkit.probe.predictions import EventFoldPrediction, FoldPrediction, Predictions
from hearkit.probe.protocol import DEFAULT_SEED, GridPoint, Protocol, get_protocol
from hearkit.probe.search import Outcome, Trained, by_shape, train
from hearkit.settings import Settings
from hearkit.tasks.store import FoldSplit, PreparedTask

__all__ = ["PROBE_FORMAT", "ProbeProgress", "fit_probe", "work_folder"]

PROBE_FORMAT = 1
"""Raised whenever the numbers that a training gives change, so that none are mixed."""


class ProbeProgress(TypingProtocol):
    """Told how a probe gets on."""

    def __call__(
        self, fold: int, n_folds: int, what: str, epoch: int, max_epochs: int, best: float
    ) -> None:
        """After every validation.

        Args:
            fold: Which fold is trained, from 0.
            n_folds: How many there are.
            what: The grid points in training, in words.
            epoch: Epochs done.
            max_epochs: Epochs at most.
            best: The best validation so far, NaN if there is none yet.
        """


@dataclass(frozen=True)
class _Fit:
    """What all trainings of one probe share."""

    kind: TaskKind
    protocol: Protocol
    seed: int
    device: str
    dtype: torch.dtype
    folder: Path
    progress: ProbeProgress | None


def work_folder(
    store: EmbeddingStore,
    task: PreparedTask,
    protocol: Protocol,
    *,
    seed: int,
    dtype: torch.dtype,
    device: str,
    settings: Settings,
) -> Path:
    """Where a probe keeps what it has finished; named by all that its result depends on."""
    key = digest_json(
        {
            "format": PROBE_FORMAT,
            "embeddings": store.digest,
            "task": store.manifest.task.digest,
            "scores": task.metadata.evaluation,
            "on_loss": not task.metadata.use_scoring_for_early_stopping,
            "evaluation_params": task.metadata.evaluation_params,
            "protocol": protocol.model_dump(mode="json"),
            "seed": seed,
            "precision": str(dtype),
            "device": torch.device(device).type,
            "torch": torch.__version__,
        }
    )
    return settings.cache_dir / "probes" / task.name / store.manifest.model.name / short(key)


def fit_probe(
    store: EmbeddingStore,
    protocol: str | Protocol = "hear2021",
    *,
    seed: int = DEFAULT_SEED,
    precision: str = "auto",
    settings: Settings | None = None,
    progress: ProbeProgress | None = None,
    checkpoint_every_s: float = 30.0,
) -> Predictions:
    """Learns probes on a store's embeddings and predicts every test split.

    The grid is searched on the first fold; the point with the best validation trains the
    others. What is finished is kept in the cache, and a training that was interrupted goes on
    from its last checkpoint; the result is the same, bit for bit.

    Args:
        store: Embeddings of a task.
        protocol: A protocol or its name.
        seed: Of initial weights and dropout. The grid doesn't depend on it.
        precision: Of the matrix products in training: ``auto``, ``float32`` or ``bfloat16``.
        settings: Cache, device and memory; by default from the environment.
        progress: Told after every validation.
        checkpoint_every_s: Seconds between checkpoints.

    Raises:
        ProbeError: The task is too small.
        EmbeddingError: The store is damaged.
        UnknownNameError: There is no such protocol, or the task asks for an unknown score.
    """
    settings = settings or Settings.from_environment()
    task = store.task
    protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    protocol = protocol.for_task(task.metadata.task_name)
    device = settings.torch_device()
    dtype = resolve_precision(precision, device)
    folder = work_folder(
        store, task, protocol, seed=seed, dtype=dtype, device=device, settings=settings
    )
    kind = kind_of(
        store,
        protocol,
        device=device,
        folder=folder,
        max_memory_bytes=settings.memory_budget_bytes(),
    )
    objective = kind.objective
    fit = _Fit(kind, protocol, seed, device, dtype, folder, progress)
    folds = task.folds()
    grid: tuple[Outcome, ...] = ()
    chosen = 0
    predictions: list[FoldPrediction | EventFoldPrediction] = []
    for number, fold in enumerate(folds):
        # Read lazily: a fold whose trainings are all finished needs no training data.
        data = _FoldData(kind, fold)
        points = list(protocol.grid) if number == 0 else [protocol.grid[chosen]]
        units = [
            _unit(fit, number, len(folds), [points[i] for i in group], data, checkpoint_every_s)
            for group in by_shape(points)
        ]
        outcomes = _in_order(points, units)
        best = _best(outcomes, objective)
        if number == 0:
            grid, chosen = outcomes, best
        stack = _network(kind, points[best], outcomes[best], units)
        seconds = sum(unit.seconds for unit in units)
        predictions.append(kind.predict(fold, stack, outcomes[best], seconds))
    return Predictions(
        task=task,
        embeddings=store.manifest,
        embeddings_digest=store.digest,
        embeddings_path=str(store.folder),
        protocol=protocol,
        seed=seed,
        precision=str(dtype).removeprefix("torch."),
        device=device,
        grid=grid,
        chosen=chosen,
        folds=tuple(predictions),
    )


class _FoldData:
    """One fold's data, read when first asked for."""

    def __init__(self, kind: TaskKind, fold: FoldSplit) -> None:
        self.fold = fold
        self._kind = kind
        self._data: dict[torch.dtype, TrainingData] = {}

    def training(self, dtype: torch.dtype) -> TrainingData:
        if dtype not in self._data:
            # One at a time: two copies might not fit.
            self._data = {dtype: self._kind.training(self.fold, dtype)}
        return self._data[dtype]


@dataclass(frozen=True)
class _Unit:
    """One finished training: the points of one shape on one fold."""

    points: Sequence[GridPoint]
    trained: Trained
    offset: torch.Tensor
    seconds: float


def _unit(
    fit: _Fit,
    number: int,
    n_folds: int,
    points: Sequence[GridPoint],
    data: _FoldData,
    checkpoint_every_s: float,
) -> _Unit:
    name = f"{data.fold.test}-{len(points)}x-{short(digest_json([p.model_dump() for p in points]))}"
    finished = Checkpoint(fit.folder / f"{name}.finished.npz")
    loaded = finished.load()
    if loaded is not None:
        return _read_unit(fit, points, *loaded)
    what = points[0].label() if len(points) == 1 else f"{len(points)} grid points"

    def report(epoch: int, max_epochs: int, active: int, best: float) -> None:
        if fit.progress:
            running = what if len(points) == 1 else f"{active} of {what}"
            fit.progress(number, n_folds, running, epoch, max_epochs, best)

    unfinished = Checkpoint(fit.folder / f"{name}.unfinished.npz", checkpoint_every_s)
    started = time.perf_counter()
    dtype = fit.dtype if points[0].hidden_layers else torch.float32
    trained = train(
        points,
        data.training(dtype),
        fit.kind.objective,
        stream=(fit.seed, number),
        dtype=dtype,
        checkpoint=unfinished,
        progress=report,
    )
    unit = _Unit(points, trained, data.training(dtype).offset, time.perf_counter() - started)
    arrays = {"offset": unit.offset.cpu().numpy()}
    for key, tensor in (trained.weights or {}).items():
        arrays[f"weights/{key}"] = tensor.cpu().numpy()
    records = [outcome.record() for outcome in trained.outcomes]
    finished.save({"outcomes": records, "best": trained.best, "seconds": unit.seconds}, arrays)
    unfinished.clear()
    return unit


def _read_unit(
    fit: _Fit,
    points: Sequence[GridPoint],
    meta: Mapping[str, object],
    arrays: Mapping[str, npt.NDArray[np.float32]],
) -> _Unit:
    records, best, seconds = meta["outcomes"], meta["best"], meta["seconds"]
    if not isinstance(records, list) or not isinstance(seconds, float):
        raise ProbeError(f"What is kept in {fit.folder} can't be read; delete that folder.")
    weights = {
        name.removeprefix("weights/"): torch.from_numpy(array).to(fit.device)
        for name, array in arrays.items()
        if name.startswith("weights/")
    }
    outcomes = tuple(
        Outcome.from_record(point, record) for record, point in zip(records, points, strict=True)
    )
    trained = Trained(outcomes, best if isinstance(best, int) else None, weights or None)
    return _Unit(points, trained, torch.from_numpy(arrays["offset"]).to(fit.device), seconds)


def _in_order(points: Sequence[GridPoint], units: Sequence[_Unit]) -> tuple[Outcome, ...]:
    found = {outcome.point: outcome for unit in units for outcome in unit.trained.outcomes}
    return tuple(found[point] for point in points)


def _best(outcomes: Sequence[Outcome], objective: Objective) -> int:
    # max gives the first of equals, as the protocol does.
    return max(range(len(outcomes)), key=lambda i: objective.goodness(outcomes[i].validation_score))


def _network(
    kind: TaskKind, point: GridPoint, outcome: Outcome, units: Sequence[_Unit]
) -> ProbeStack | None:
    """The best validation's network; None if no grid point had a defined score."""
    if math.isnan(outcome.validation_score):
        return None
    unit = next(
        unit
        for unit in units
        if unit.trained.best is not None and unit.points[unit.trained.best] == point
    )
    stack = ProbeStack(
        [point],
        [0],
        offset=unit.offset,
        n_labels=kind.n_labels,
        multilabel=kind.multilabel,
        dtype=torch.float32,
    )
    stack.restore(0, unit.trained.weights or {})
    return stack
