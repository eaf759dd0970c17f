"""Training of a fold's grid points: epochs, validation, stopping, checkpoints.

Grid points of one shape are trained together; one that stops leaves, and the others go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from typing import Protocol as TypingProtocol

import numpy.typing as npt
import torch

from hearkit.probe.checkpoint import Checkpoint
from hearkit.probe.data import TrainingData
from hearkit.probe.events import Postprocessing
from hearkit.probe.network import ProbeStack, Weights
from hearkit.probe.objective import Objective
from hearkit.probe.protocol import GridPoint
from hearkit.probe.randomness import Dropout, stream_seed

__all__ = [
    "Outcome",
    "Trained",
    "TrainingProgress",
    "by_shape",
    "train",
]


@dataclass(frozen=True)
class Outcome:
    """How a grid point fared.

    Attributes:
        point: The grid point.
        validation_score: Its best (a loss where the objective is one); NaN if there was none.
        best_epoch: The epoch after which it was validated, 0 if there was none.
        epochs: How many it was trained.
        ended: ``"patience"``, ``"max_epochs"`` or ``"undefined_score"``.
        postprocessing: The way from frames to events of that validation (event tasks).
    """

    point: GridPoint
    validation_score: float
    best_epoch: int
    epochs: int
    ended: str
    postprocessing: Postprocessing | None = None

    def record(self) -> dict[str, Any]:
        """As JSON, without the point."""
        return {key: value for key, value in asdict(self).items() if key != "point"}

    @classmethod
    def from_record(cls, point: GridPoint, record: Mapping[str, Any]) -> Outcome:
        """From a `record`."""
        return cls(**{**record, "point": point, "postprocessing": _way(record)})


def _way(record: Mapping[str, Any]) -> Postprocessing | None:
    stored = record["postprocessing"]
    return None if stored is None else Postprocessing(**stored)


@dataclass(frozen=True)
class Trained:
    """Outcomes in the points' order, with the best one's weights (None if none is defined)."""

    outcomes: tuple[Outcome, ...]
    best: int | None
    weights: Weights | None


class TrainingProgress(TypingProtocol):
    """Told after every validation."""

    def __call__(self, epoch: int, max_epochs: int, active: int, best: float) -> None:
        """Epochs done, at most to be done, grid points still in training, best score so far."""


def by_shape(grid: Sequence[GridPoint]) -> list[list[int]]:
    """Positions of the points that can be trained together, in order of appearance."""
    groups: dict[tuple[int, int, float], list[int]] = {}
    for i, point in enumerate(grid):
        groups.setdefault(point.shape, []).append(i)
    return list(groups.values())


@dataclass
class _Run:
    """One grid point in training."""

    position: int
    point: GridPoint
    best_score: float = math.nan
    best_epoch: int = 0
    waited: int = 0
    ended: str = ""
    postprocessing: Postprocessing | None = None
    weights: Weights = field(default_factory=dict, repr=False)

    def outcome(self, epochs: int) -> Outcome:
        return Outcome(
            self.point, self.best_score, self.best_epoch, epochs, self.ended, self.postprocessing
        )


def train(
    points: Sequence[GridPoint],
    data: TrainingData,
    objective: Objective,
    *,
    stream: Sequence[str | int],
    dtype: torch.dtype,
    checkpoint: Checkpoint | None = None,
    progress: TrainingProgress | None = None,
) -> Trained:
    """Trains grid points of one shape side by side.

    Args:
        points: The grid points.
        data: One fold.
        objective: What is validated.
        stream: Names the random numbers: the run's seed and the fold.
        dtype: Precision of the products.
        checkpoint: Where the state is kept now and then, and read from at the start.
        progress: Told after every validation.

    Returns:
        Outcomes, and the weights of the point with the best validation (the first of equals).
    """
    checkpoint = checkpoint or Checkpoint(None)
    state = _State.begin(points, data, stream, dtype)
    state.resume(checkpoint)
    stack, last_epoch = state.stack, max(point.max_epochs for point in points)
    dropout = Dropout(
        stack.dropout, stream_seed(*stream, "dropout"), stack.dtype, data.offset.device
    )
    while state.runs:
        state.epoch += 1
        for i, (x, y) in enumerate(data.batches):
            step = (state.epoch - 1) * len(data.batches) + i
            stack.train_step(x, y, dropout.masks(step, stack.layers, stack.width, len(x)))
        due = [i for i, run in enumerate(state.runs) if state.epoch % run.point.check_every == 0]
        if due:
            _validate(state, due, data, objective)
        state.retire(objective)
        if due and progress:
            progress(state.epoch, last_epoch, len(state.runs), state.best_score(objective))
        if due and state.runs and checkpoint.due():
            checkpoint.save(*state.dump())
    outcomes = tuple(state.outcomes[i] for i in range(len(points)))
    if state.champion is None:
        return Trained(outcomes, None, None)
    return Trained(outcomes, state.champion.position, state.champion.weights)


def _validate(state: _State, due: list[int], data: TrainingData, objective: Objective) -> None:
    for i, validation in zip(due, data.validate(state.stack, due, objective), strict=True):
        run, score = state.runs[i], validation.score
        if math.isnan(score) and objective.nan_ends_point:
            run.best_score, run.best_epoch, run.weights = math.nan, 0, {}
            run.postprocessing = None
            run.ended = "undefined_score"
            continue
        score = 0.0 if math.isnan(score) else score
        if objective.goodness(score) > objective.goodness(run.best_score):
            run.best_score, run.best_epoch, run.waited = score, state.epoch, 0
            run.weights = state.stack.snapshot(i)
            run.postprocessing = validation.postprocessing
        else:
            run.waited += 1
        if run.waited >= run.point.patience:
            run.ended = "patience"


@dataclass
class _State:
    """A training between two epochs."""

    stack: ProbeStack
    runs: list[_Run]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    champion: _Run | None = None
    epoch: int = 0

    @classmethod
    def begin(
        cls,
        points: Sequence[GridPoint],
        data: TrainingData,
        stream: Sequence[str | int],
        dtype: torch.dtype,
    ) -> _State:
        stack = ProbeStack(
            points,
            [stream_seed(*stream, "weights", point.model_dump_json()) for point in points],
            offset=data.offset,
            n_labels=data.n_labels,
            multilabel=data.multilabel,
            dtype=dtype,
        )
        return cls(stack, [_Run(i, point) for i, point in enumerate(points)])

    def retire(self, objective: Objective) -> None:
        """Takes out the runs that have ended; the best of all that did keeps its weights."""
        for run in self.runs:
            # Training on without another validation to come can't change anything.
            next_check = (self.epoch // run.point.check_every + 1) * run.point.check_every
            if not run.ended and next_check > run.point.max_epochs:
                run.ended = "max_epochs"
            if run.ended:
                self.outcomes[run.position] = run.outcome(self.epoch)
                self._crown(run, objective)
        going = [i for i, run in enumerate(self.runs) if not run.ended]
        if going and len(going) < len(self.runs):
            self.stack.keep_only(going)
        self.runs = [self.runs[i] for i in going]

    def _crown(self, run: _Run, objective: Objective) -> None:
        if not run.weights:
            return
        if self.champion is None:
            self.champion = run
            return
        new, old = (objective.goodness(r.best_score) for r in (run, self.champion))
        if new > old or (new == old and run.position < self.champion.position):
            self.champion = run

    def best_score(self, objective: Objective) -> float:
        """The best validation so far, NaN if there is none."""
        scores = [outcome.validation_score for outcome in self.outcomes.values()]
        scores += [run.best_score for run in self.runs]
        return max(scores, key=objective.goodness)

    def dump(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The state as JSON and arrays."""
        kept = [*self.runs, *([self.champion] if self.champion else [])]
        meta = {
            "epoch": self.epoch,
            "runs": [_describe(run) for run in self.runs],
            "champion": _describe(self.champion) if self.champion else None,
            "outcomes": {
                str(position): outcome.record() for position, outcome in self.outcomes.items()
            },
        }
        arrays = {f"stack/{k}": v.cpu().numpy() for k, v in self.stack.state().items()}
        for run in kept:
            for name, tensor in run.weights.items():
                arrays[f"best/{run.position}/{name}"] = tensor.cpu().numpy()
        return meta, arrays

    def resume(self, checkpoint: Checkpoint) -> None:
        """Goes on from what was saved, if anything was."""
        loaded = checkpoint.load()
        if loaded is None:
            return
        meta, arrays = loaded
        device = self.stack.offset.device
        points = list(self.stack.points)
        self.epoch = meta["epoch"]
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

        def rebuild(record: Mapping[str, Any]) -> _Run:
            prefix = f"best/{record['position']}/"
            weights = {
                name.removeprefix(prefix): tensor.to(device)
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            point = points[record["position"]]
            given = {**record, "postprocessing": _way(record)}
            return _Run(**given, point=point, weights=weights)

        self.runs = [rebuild(record) for record in meta["runs"]]
        self.champion = rebuild(meta["champion"]) if meta["champion"] else None
        self.outcomes = {
            int(position): Outcome.from_record(points[int(position)], record)
            for position, record in meta["outcomes"].items()
        }
        self.stack.keep_only([run.position for run in self.runs])
        self.stack.load_state(
            {
                name.removeprefix("stack/"): tensor
                for name, tensor in tensors.items()
                if name.startswith("stack/")
            }
        )


def _describe(run: _Run) -> dict[str, Any]:
    names = ("position", "best_score", "best_epoch", "waited", "ended")
    way = run.postprocessing
    described = {name: getattr(run, name) for name in names}
    return {**described, "postprocessing": None if way is None else asdict(way)}
