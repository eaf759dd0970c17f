"""Training of a fold's grid points: epochs, validation, stopping, checkpoints.

Grid points of one shape are trained together, and so are those of several seeds; one that stops
leaves, and the others go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch

from hearbench.probe.checkpoint import Checkpoint
from hearbench.probe.data import TrainingData
from hearbench.probe.events import Postprocessing
from hearbench.probe.grid import GridResult
from hearbench.probe.network import ProbeStack, Step, Weights
from hearbench.probe.objective import Objective
from hearbench.probe.protocol import GridPoint, Racing
from hearbench.probe.randomness import Dropout, stream_seed
from hearbench.progress import Update

__all__ = [
    "Trained",
    "train",
]


@dataclass(frozen=True)
class Trained:
    """A seed's outcomes in the points' order.

    Attributes:
        outcomes: One per point.
        best: The position of the one with the best validation, the first of equals; None if
            there was no validation.
        weights: The weights of that point.
    """

    outcomes: tuple[GridResult, ...]
    best: int | None
    weights: Weights | None


@dataclass
class _Run:
    """One grid point in training, with one seed."""

    position: int
    seed: int
    point: GridPoint
    best_score: float = math.nan
    best_epoch: int = 0
    waited: int = 0
    ended: str = ""
    postprocessing: Postprocessing | None = None
    # The best so far after each validation; kept where points race.
    history: list[float] = field(default_factory=list)
    weights: Weights = field(default_factory=dict, repr=False)

    def outcome(self, epochs: int) -> GridResult:
        return GridResult(
            point=self.point,
            validation_score=self.best_score,
            best_epoch=self.best_epoch,
            epochs=epochs,
            ended=self.ended,
            postprocessing=self.postprocessing,
        )


def train(
    points: Mapping[int, Sequence[GridPoint]],
    data: TrainingData,
    objective: Objective,
    *,
    fold: int,
    dtype: torch.dtype,
    racing: Racing | None = None,
    to_beat: Mapping[int, float] | None = None,
    checkpoint: Checkpoint | None = None,
    update: Update | None = None,
) -> dict[int, Trained]:
    """Trains grid points of one shape side by side.

    What a point learns depends on its seed, and not on what is trained beside it but for rounding.
    Points of different seeds never race against each other.

    Args:
        points: Grid points by seed.
        data: One fold.
        objective: The score or loss that is validated.
        fold: Number of the fold; with the seeds, it names the random numbers.
        dtype: Precision of the products.
        racing: When points are given up; None for never.
        to_beat: Best validation of points that were trained before, by seed.
        checkpoint: File that the state is saved to now and then, and read from at the start.
        update: Receives progress in epochs after every validation.

    Returns:
        By seed, outcomes, and the weights of the point with the best validation.
    """
    checkpoint = checkpoint or Checkpoint(None)
    state = _State.begin(points, data, fold, dtype)
    try:
        state.resume(checkpoint)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
        checkpoint.tell_unusable()  # of another version
        state = _State.begin(points, data, fold, dtype)
    last_epoch = max(point.max_epochs for own in points.values() for point in own)
    dropouts = {
        seed: Dropout(
            state.stack.dropout,
            stream_seed(seed, fold, "dropout"),
            state.stack.dtype,
            data.inputs.mean.device,
        )
        for seed in points
    }
    while state.runs:
        state.epoch += 1
        _train_epoch(state, data, dropouts)
        due = [i for i, run in enumerate(state.runs) if state.epoch % run.point.check_every == 0]
        if due:
            _validate(state, due, data, objective)
            if racing:
                _race(state, due, objective, racing, to_beat or {})
        state.retire(objective)
        if due and update is not None:
            update(state.epoch, last_epoch, _how_far(state, points, last_epoch, objective))
        if due and state.runs and checkpoint.due():
            checkpoint.save(*state.dump())
    return state.trained(points)


def _how_far(
    state: _State,
    points: Mapping[int, Sequence[GridPoint]],
    last_epoch: int,
    objective: Objective,
) -> str:
    """How far a training is, as ``epoch 6 of at most 500, 3 of 8 grid points, best 0.731``."""
    every_point = [point for own in points.values() for point in own]
    running = f"{len(state.runs)} of {len(every_point)} grid points"
    if len(every_point) == 1:
        running = every_point[0].label()
    elif len(points) > 1:
        running += f" of {len(points)} seeds"
    best = state.best_score(objective)
    shown = f", best {best:.3f}" if math.isfinite(best) else ""
    return f"epoch {state.epoch} of at most {last_epoch}, {running}{shown}"


def _train_epoch(state: _State, data: TrainingData, dropouts: Mapping[int, Dropout]) -> None:
    stack = state.stack
    seeds = dict.fromkeys(stack.runs)

    def steps() -> Iterator[Step]:
        for i, (x, y) in enumerate(data.epoch(state.epoch)):
            number = (state.epoch - 1) * data.n_batches + i
            masks = {
                seed: dropouts[seed].masks(number, stack.layers, stack.width, len(x))
                for seed in seeds
            }
            yield Step(x, y, {seed: own for seed, own in masks.items() if own})

    stack.train_steps(steps())


def _validate(state: _State, due: list[int], data: TrainingData, objective: Objective) -> None:
    for i, validation in zip(due, data.validate(state.stack, due, objective), strict=True):
        run, score = state.runs[i], validation.score
        if math.isnan(score):
            score = objective.worst if objective.nan_ends_point else 0.0
        # The first one counts whatever it is, so that there are weights to test.
        if not run.weights or objective.goodness(score) > objective.goodness(run.best_score):
            run.best_score, run.best_epoch, run.waited = score, state.epoch, 0
            run.weights = state.stack.snapshot(i)
            run.postprocessing = validation.postprocessing
        else:
            run.waited += 1
        if objective.nan_ends_point and not math.isfinite(score):
            run.ended = "undefined_score"
            continue
        if run.waited >= run.point.patience:
            run.ended = "patience"


def _race(
    state: _State,
    due: Sequence[int],
    objective: Objective,
    racing: Racing,
    to_beat: Mapping[int, float],
) -> None:
    """Ends the points that can't win any more."""
    leaders = {seed: objective.goodness(score) for seed, score in to_beat.items()}
    rivals = [(run.seed, run.best_score) for run in [*state.runs, *state.champions.values()]]
    for seed, score in rivals:
        leaders[seed] = max(leaders.get(seed, -math.inf), objective.goodness(score))
    for i in due:
        run = state.runs[i]
        best = objective.goodness(run.best_score)
        run.history.append(best)
        if run.ended or len(run.history) <= racing.window:
            continue
        before = run.history[-1 - racing.window]
        # From an undefined score there is no saying how far it may rise.
        if math.isfinite(before) and best + racing.slack * (best - before) < leaders[run.seed]:
            run.ended = "raced"


@dataclass
class _State:
    """A training between two epochs.

    Attributes:
        stack: The networks of `runs`, in their order.
        runs: Grid points that are still in training.
        outcomes: Outcomes of the points that have ended, by position.
        champions: Best of the points that have ended, by seed.
        epoch: Epochs done.
    """

    stack: ProbeStack
    runs: list[_Run]
    outcomes: dict[int, GridResult] = field(default_factory=dict)
    champions: dict[int, _Run] = field(default_factory=dict)
    epoch: int = 0

    @classmethod
    def begin(
        cls,
        points: Mapping[int, Sequence[GridPoint]],
        data: TrainingData,
        fold: int,
        dtype: torch.dtype,
    ) -> _State:
        members = [(seed, point) for seed, own in points.items() for point in own]
        stack = ProbeStack(
            [point for _, point in members],
            [
                stream_seed(seed, fold, "weights", point.model_dump_json())
                for seed, point in members
            ],
            runs=[seed for seed, _ in members],
            offset=data.inputs.offset,
            n_labels=data.n_labels,
            multilabel=data.multilabel,
            dtype=dtype,
        )
        return cls(stack, [_Run(i, seed, point) for i, (seed, point) in enumerate(members)])

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
        champion = self.champions.get(run.seed)
        if champion is None:
            self.champions[run.seed] = run
            return
        new, old = (objective.goodness(r.best_score) for r in (run, champion))
        if new > old or (new == old and run.position < champion.position):
            self.champions[run.seed] = run

    def trained(self, points: Mapping[int, Sequence[GridPoint]]) -> dict[int, Trained]:
        """What came of each seed, once all has ended."""
        found, start = {}, 0
        for seed, own in points.items():
            outcomes = tuple(self.outcomes[start + i] for i in range(len(own)))
            champion = self.champions.get(seed)
            found[seed] = (
                Trained(outcomes, None, None)
                if champion is None
                else Trained(outcomes, champion.position - start, champion.weights)
            )
            start += len(own)
        return found

    def best_score(self, objective: Objective) -> float:
        """The best validation so far, NaN if there is none."""
        scores = [outcome.validation_score for outcome in self.outcomes.values()]
        scores += [run.best_score for run in self.runs]
        return max(scores, key=objective.goodness)

    def dump(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The state as JSON and arrays."""
        kept = [*self.runs, *self.champions.values()]
        meta = {
            "epoch": self.epoch,
            "runs": [_describe(run) for run in self.runs],
            "champions": [_describe(run) for run in self.champions.values()],
            "outcomes": {
                str(position): outcome.model_dump(exclude={"point"})
                for position, outcome in self.outcomes.items()
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
            stored = record["postprocessing"]
            postprocessing = None if stored is None else Postprocessing.model_validate(stored)
            given = {**record, "postprocessing": postprocessing}
            return _Run(**given, point=point, weights=weights)

        self.runs = [rebuild(record) for record in meta["runs"]]
        self.champions = {run.seed: run for run in map(rebuild, meta["champions"])}
        self.outcomes = {
            int(position): GridResult(point=points[int(position)], **record)
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
    names = ("position", "seed", "best_score", "best_epoch", "waited", "ended", "history")
    postprocessing = run.postprocessing
    described = {name: getattr(run, name) for name in names}
    return {
        **described,
        "postprocessing": None if postprocessing is None else postprocessing.model_dump(),
    }
