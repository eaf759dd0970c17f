"""How fast probes train and are scored here, by a few steps on random embeddings."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hearbench.metrics import get_event_score, get_scene_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.planning.facts import TaskFacts
from hearbench.probe.data import Batch, BatchSpec
from hearbench.probe.events import events_from_frames, postprocessing_grid
from hearbench.probe.network import Predictor
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.protocol import GridPoint, Protocol, by_shape
from hearbench.probe.scenes import SceneData, array_data
from hearbench.probe.training_loop import train

__all__ = ["GroupSpeed", "ProbeShape", "ProbeSpeed", "measure_probe"]

_STEPS = 2
# Steps of this many examples take long enough for one epoch of them to be timed.
_LARGE_BATCH = 512
_MOST_VALID = 2048
_MOST_CELLS = 1 << 20
_SEED = 0


@dataclass(frozen=True)
class ProbeShape:
    """What the speed of a training depends on.

    Attributes:
        n_features: Numbers per embedding.
        n_labels: Size of the vocabulary.
        multilabel: Whether there can be several labels.
        batch: Examples of a step.
        n_valid: Examples of a validation, as many as are tried.
        steps: Of an epoch, as many as are tried: networks that are trained side by side take them
            in less time than one by one.
    """

    n_features: int
    n_labels: int
    multilabel: bool
    batch: int
    n_valid: int
    steps: int


@dataclass(frozen=True)
class GroupSpeed:
    """Networks of one shape.

    Attributes:
        points: The grid points.
        step_s: Seconds per training step of all of them side by side.
        step_alone_s: Of one of them alone.
        valid_s: Seconds of a validation per example, for all of them.
        valid_alone_s: For one.
    """

    points: tuple[GridPoint, ...]
    step_s: float
    step_alone_s: float
    valid_s: float
    valid_alone_s: float


@dataclass(frozen=True)
class ProbeSpeed:
    """What a protocol's grid took.

    Attributes:
        shape: What was tried.
        groups: By the networks' shape.
        steps: That were timed of each.
    """

    shape: ProbeShape
    groups: tuple[GroupSpeed, ...]
    steps: int


def shape_of(facts: TaskFacts, n_features: int, frames_per_s: float, batch: int) -> ProbeShape:
    """What to try for a task: its own numbers, as far as trying them takes seconds."""
    fold = facts.folds[0]
    frames = facts.clip_s * frames_per_s if facts.kind == "event" else 1.0
    most = max(64, min(_MOST_VALID, _MOST_CELLS // max(1, facts.n_labels)))
    rows = fold.train * frames
    return ProbeShape(
        n_features=n_features,
        n_labels=facts.n_labels,
        multilabel=facts.multilabel,
        batch=max(2, int(min(batch, rows))),
        n_valid=max(1, int(min(most, fold.valid * frames))),
        steps=_STEPS if rows > batch else 1,
    )


def measure_probe(
    shape: ProbeShape,
    facts: TaskFacts,
    protocol: Protocol,
    *,
    frames_per_s: float,
    device: str,
    dtype: torch.dtype,
    seeds: int = 1,
) -> ProbeSpeed:
    """Trains the grid for some epochs of one or two steps on random embeddings.

    Args:
        shape: What is tried.
        facts: Of the task, for its scores.
        protocol: As applied to the task.
        frames_per_s: Of an event task.
        device: A torch device.
        dtype: Precision of the products.
        seeds: Trained side by side.

    Returns:
        No groups where nothing is trained.
    """
    objective = _objective(shape, facts, frames_per_s)
    groups = []
    timed = _timed_epochs(shape)
    for positions in by_shape(protocol.networks):
        points = [protocol.networks[i] for i in positions]
        exact = dtype if points[0].hidden_layers else torch.float32
        data = _data(shape, device, exact)
        every = _timed(points, data, objective, exact, seeds, timed)
        one = every
        if len(points) > 1:
            one = _timed(points[:1], data, objective, exact, seeds, timed)
        groups.append(GroupSpeed(tuple(points), every[0], one[0], every[1], one[1]))
    return ProbeSpeed(shape, tuple(groups), shape.steps * timed)


def _timed_epochs(shape: ProbeShape) -> int:
    """As many as make at least two steps, and four of small ones."""
    return (2 if shape.batch >= _LARGE_BATCH else 4) // shape.steps


class _Timed:
    """Training data that notes when its parts are asked for."""

    def __init__(self, data: SceneData, device: str) -> None:
        self._data = data
        self._device = torch.device(device)
        self.n_batches = data.n_batches
        self.inputs = data.inputs
        self.n_labels = data.n_labels
        self.multilabel = data.multilabel
        self.epochs: list[float] = []
        self.validation: tuple[float, float] = (0.0, 0.0)

    def epoch(self, number: int) -> Iterable[Batch]:
        self.epochs.append(self._now())
        return self._data.epoch(number)

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        started = self._now()
        found = self._data.validate(stack, which, objective)
        self.validation = (started, self._now())
        return found

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _timed(
    points: Sequence[GridPoint],
    data: SceneData,
    objective: Objective,
    dtype: torch.dtype,
    seeds: int,
    epochs: int,
) -> tuple[float, float]:
    """Seconds per step, and per example of a validation."""
    # The first epoch warms up.
    last = 1 + epochs
    short = [
        point.model_copy(update={"max_epochs": last, "check_every": last, "patience": 1})
        for point in points
    ]
    timed = _Timed(data, str(data.inputs.mean.device))
    train(dict.fromkeys(range(seeds), short), timed, objective, fold=0, dtype=dtype)
    started, ended = timed.validation
    step_s = (started - timed.epochs[1]) / (epochs * data.n_batches)
    return step_s, (ended - started) / len(data.valid_targets)


def _data(shape: ProbeShape, device: str, dtype: torch.dtype) -> SceneData:
    rng = np.random.default_rng(_SEED)

    def drawn(count: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        x = rng.standard_normal((count, shape.n_features)).astype(np.float32)
        y = np.zeros((count, shape.n_labels), dtype=np.uint8)
        y[np.arange(count), np.arange(count) % shape.n_labels] = 1
        return x, y

    return array_data(
        drawn(shape.steps * shape.batch),
        drawn(shape.n_valid),
        multilabel=shape.multilabel,
        spec=BatchSpec(shape.batch, device, dtype),
    )


def _objective(shape: ProbeShape, facts: TaskFacts, frames_per_s: float) -> Objective:
    if facts.kind == "event":
        score = get_event_score(facts.scores[0])
        function = _event_function(shape, facts, frames_per_s)
        return Objective(function, score.maximise, facts.on_loss, nan_ends_point=False)
    scene = get_scene_score(facts.scores[0])
    return Objective(scene.function, scene.maximise, facts.on_loss, nan_ends_point=False)


def _event_function(
    shape: ProbeShape, facts: TaskFacts, frames_per_s: float
) -> Callable[..., float]:
    """Frames to events and their score, on events as frequent as the task's."""
    rng = np.random.default_rng(_SEED)
    hop_ms, n = 1000.0 / frames_per_s, shape.n_valid
    per_clip = max(1, int(facts.clip_s * frames_per_s))
    bounds = np.unique([*range(0, n, per_clip), n])
    times = (np.arange(n) % per_clip) * hop_ms
    on = np.zeros((n, shape.n_labels), dtype=bool)
    length = max(1, int(0.5 * frames_per_s))
    for _ in range(max(1, round(facts.events_per_s * n / frames_per_s))):
        start = int(rng.integers(n))
        on[start : start + length, int(rng.integers(shape.n_labels))] = True
    grid = postprocessing_grid(facts.evaluation_params)
    labels = tuple(map(str, range(shape.n_labels)))
    score = get_event_score(facts.scores[0])
    reference: EventArrays = events_from_frames(on, bounds, times, grid[:1])[0]

    def function(probabilities: npt.NDArray[np.float32], _targets: Any) -> float:
        found = events_from_frames(on & (probabilities > -1), bounds, times, grid)
        return max(score(reference, dataclasses.replace(one), labels) for one in found)

    return function
