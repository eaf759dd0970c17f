"""Training of a fold's grid points: epochs, validation, stopping, checkpoints.

Grid points of one shape are trained together, and so are those of several seeds; one that stops
leaves, and the others go on.
"""

from __future__ import annotations

import itertools
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
from hearbench.probe.network import Dropout, ProbeStack, Step, Weights
from hearbench.probe.objective import Objective
from hearbench.probe.protocol import GridPoint, Racing
from hearbench.probe.randomness import stream_seed
from hearbench.probe.reading import Reading
from hearbench.progress import Update

__all__ = ["Trained", "Training"]


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


class Training:
    """Grid points of one shape in training on one fold, side by side.

    What a point learns depends on its seed, and not on what is trained beside it but for rounding.

    Args:
        points: Grid points by seed.
        data: One fold.
        objective: The score or loss that is validated.
        fold: Number of the fold; with the seeds, it names the random numbers.
        dtype: Precision of the products.
        reading: How networks read embeddings; by default as they are.
    """

    def __init__(
        self,
        points: Mapping[int, Sequence[GridPoint]],
        data: TrainingData,
        objective: Objective,
        *,
        fold: int,
        dtype: torch.dtype,
        reading: Reading | None = None,
    ) -> None:
        self._points = points
        self._data = data
        self._objective = objective
        self._fold = fold
        self._dtype = dtype
        self._reading = reading or Reading(data.inputs.offset)
        self._begin()

    def _begin(self) -> None:
        members = [(seed, point) for seed, own in self._points.items() for point in own]
        self._stack = ProbeStack(
            [point for _, point in members],
            [
                stream_seed(seed, self._fold, "weights", point.model_dump_json())
                for seed, point in members
            ],
            reading=self._reading,
            n_labels=self._data.n_labels,
            outputs=self._data.outputs,
            dtype=self._dtype,
        )
        # Grid points that are still in training, in the order of the stack's networks.
        self._runs = [_Run(i, seed, point) for i, (seed, point) in enumerate(members)]
        # Of the points that have ended: outcomes by position, and the best by seed.
        self._outcomes: dict[int, GridResult] = {}
        self._champions: dict[int, _Run] = {}
        self._epoch = 0

    def run(
        self,
        *,
        racing: Racing | None = None,
        to_beat: Mapping[int, float] | None = None,
        checkpoint: Checkpoint | None = None,
        update: Update | None = None,
    ) -> dict[int, Trained]:
        """Trains all points to their ends.

        Args:
            racing: When points are given up; None for never. Points of different seeds never race
                against each other.
            to_beat: Best validation of points that were trained before, by seed.
            checkpoint: File that the state is saved to now and then, and read from at the start.
            update: Receives progress in epochs after every validation.

        Returns:
            By seed, outcomes, and the weights of the point with the best validation.
        """
        checkpoint = checkpoint or Checkpoint(None)
        try:
            self._resume(checkpoint)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
            checkpoint.tell_unusable()  # of another version
            self._begin()
        last_epoch = max(point.max_epochs for own in self._points.values() for point in own)
        stack = self._stack
        dropouts = {
            seed: Dropout(
                stack.dropout,
                stream_seed(seed, self._fold, "dropout"),
                stack.dtype,
                self._data.inputs.mean.device,
            )
            for seed in self._points
        }
        while self._runs:
            self._epoch += 1
            stack.train_steps(self._steps(dropouts))
            epoch = self._epoch
            due = [i for i, run in enumerate(self._runs) if epoch % run.point.check_every == 0]
            if due:
                self._validate(due)
                if racing:
                    self._race(due, racing, to_beat or {})
            self._retire()
            if due and update is not None:
                update(epoch, last_epoch, self._how_far(last_epoch))
            if due and self._runs and checkpoint.due():
                checkpoint.save(*self._dump())
        return self._trained()

    def _steps(self, dropouts: Mapping[int, Dropout]) -> Iterator[Step]:
        """The steps of an epoch; networks of one seed drop the same units."""
        stack = self._stack
        spans, start = [], 0
        for seed, runs in itertools.groupby(self._runs, key=lambda run: run.seed):
            stop = start + len(list(runs))
            spans.append((start, stop, dropouts[seed]))
            start = stop
        for i, (x, y) in enumerate(self._data.epoch(self._epoch)):
            number = (self._epoch - 1) * self._data.n_batches + i
            drawn = (
                (start, stop, dropout.masks(number, stack.layers, stack.width, len(x)))
                for start, stop, dropout in spans
            )
            yield Step(x, y, [own for own in drawn if own[2]])

    def _how_far(self, last_epoch: int) -> str:
        """How far it is, as ``epoch 6 of at most 500, 3 of 8 grid points, best 0.731``."""
        every_point = [point for own in self._points.values() for point in own]
        running = f"{len(self._runs)} of {len(every_point)} grid points"
        if len(every_point) == 1:
            running = every_point[0].label()
        elif len(self._points) > 1:
            running += f" of {len(self._points)} seeds"
        scores = [outcome.validation_score for outcome in self._outcomes.values()]
        scores += [run.best_score for run in self._runs]
        best = max(scores, key=self._objective.goodness)
        shown = f", best {best:.3f}" if math.isfinite(best) else ""
        return f"epoch {self._epoch} of at most {last_epoch}, {running}{shown}"

    def _validate(self, due: Sequence[int]) -> None:
        objective = self._objective
        validations = self._data.validate(self._stack, due, objective)
        for i, validation in zip(due, validations, strict=True):
            run, score = self._runs[i], validation.score
            if math.isnan(score):
                score = objective.worst if objective.nan_ends_point else 0.0
            # The first one counts whatever it is, so that there are weights to test.
            if not run.weights or objective.goodness(score) > objective.goodness(run.best_score):
                run.best_score, run.best_epoch, run.waited = score, self._epoch, 0
                run.weights = self._stack.snapshot(i)
                run.postprocessing = validation.postprocessing
            else:
                run.waited += 1
            if objective.nan_ends_point and not math.isfinite(score):
                run.ended = "undefined_score"
                continue
            if run.waited >= run.point.patience:
                run.ended = "patience"

    def _race(self, due: Sequence[int], racing: Racing, to_beat: Mapping[int, float]) -> None:
        """Ends the points that can't win any more, and those that have waited long enough."""
        goodness = self._objective.goodness
        leaders = {seed: goodness(score) for seed, score in to_beat.items()}
        for rival in [*self._runs, *self._champions.values()]:
            best = goodness(rival.best_score)
            leaders[rival.seed] = max(leaders.get(rival.seed, -math.inf), best)
        for i in due:
            run = self._runs[i]
            best = goodness(run.best_score)
            run.history.append(best)
            if run.ended:
                continue
            if racing.patience and run.waited >= racing.patience:
                run.ended = "patience"
                continue
            if self._falls_out(run, racing):
                run.ended = "raced"
                continue
            if len(run.history) <= racing.window:
                continue
            before = run.history[-1 - racing.window]
            # From an undefined score there is no saying how far it may rise.
            if math.isfinite(before) and best + racing.slack * (best - before) < leaders[run.seed]:
                run.ended = "raced"

    def _falls_out(self, run: _Run, racing: Racing) -> bool:
        """Whether a point is of the worse half of those that are trained beside it."""
        validated = len(run.history)
        if validated not in racing.halvings:
            return False
        halved = sum(validated >= after for after in racing.halvings)
        places = math.ceil(len(self._points[run.seed]) / (1 << halved))

        def rank(one: _Run) -> tuple[float, int]:
            return self._objective.goodness(one.best_score), -one.position

        rivals = [one for one in self._runs if one.seed == run.seed]
        return sum(rank(one) > rank(run) for one in rivals) >= places

    def _retire(self) -> None:
        """Takes out the runs that have ended; the best of all that did keeps its weights."""
        for run in self._runs:
            # Training on without another validation to come can't change anything.
            next_check = (self._epoch // run.point.check_every + 1) * run.point.check_every
            if not run.ended and next_check > run.point.max_epochs:
                run.ended = "max_epochs"
            if run.ended:
                self._outcomes[run.position] = run.outcome(self._epoch)
                self._crown(run)
        going = [i for i, run in enumerate(self._runs) if not run.ended]
        if going and len(going) < len(self._runs):
            self._stack.keep_only(going)
        self._runs = [self._runs[i] for i in going]

    def _crown(self, run: _Run) -> None:
        if not run.weights:
            return
        champion = self._champions.get(run.seed)
        if champion is None:
            self._champions[run.seed] = run
            return
        new, old = (self._objective.goodness(r.best_score) for r in (run, champion))
        if new > old or (new == old and run.position < champion.position):
            self._champions[run.seed] = run

    def _trained(self) -> dict[int, Trained]:
        """What came of each seed, once all has ended."""
        found, start = {}, 0
        for seed, own in self._points.items():
            outcomes = tuple(self._outcomes[start + i] for i in range(len(own)))
            champion = self._champions.get(seed)
            found[seed] = (
                Trained(outcomes, None, None)
                if champion is None
                else Trained(outcomes, champion.position - start, champion.weights)
            )
            start += len(own)
        return found

    def _dump(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The state as JSON and arrays."""
        meta = {
            "epoch": self._epoch,
            "runs": [_describe(run) for run in self._runs],
            "champions": [_describe(run) for run in self._champions.values()],
            "outcomes": {
                str(position): outcome.model_dump(exclude={"point"})
                for position, outcome in self._outcomes.items()
            },
        }
        arrays = {f"stack/{k}": v.cpu().numpy() for k, v in self._stack.state().items()}
        for run in [*self._runs, *self._champions.values()]:
            for name, tensor in run.weights.items():
                arrays[f"best/{run.position}/{name}"] = tensor.cpu().numpy()
        return meta, arrays

    def _resume(self, checkpoint: Checkpoint) -> None:
        """Goes on from what was saved, if anything was."""
        loaded = checkpoint.load()
        if loaded is None:
            return
        meta, arrays = loaded
        device = self._stack.device
        points = list(self._stack.points)
        self._epoch = meta["epoch"]
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

        def below(prefix: str) -> Weights:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }

        def rebuild(record: Mapping[str, Any]) -> _Run:
            weights = below(f"best/{record['position']}/")
            stored = record["postprocessing"]
            postprocessing = None if stored is None else Postprocessing.model_validate(stored)
            return _Run(
                **{**record, "postprocessing": postprocessing},
                point=points[record["position"]],
                weights={name: tensor.to(device) for name, tensor in weights.items()},
            )

        self._runs = [rebuild(record) for record in meta["runs"]]
        self._champions = {run.seed: run for run in map(rebuild, meta["champions"])}
        self._outcomes = {
            int(position): GridResult(point=points[int(position)], **record)
            for position, record in meta["outcomes"].items()
        }
        self._stack.keep_only([run.position for run in self._runs])
        self._stack.load_state(below("stack/"))


def _describe(run: _Run) -> dict[str, Any]:
    names = ("position", "seed", "best_score", "best_epoch", "waited", "ended", "history")
    postprocessing = run.postprocessing
    described = {name: getattr(run, name) for name in names}
    return {
        **described,
        "postprocessing": None if postprocessing is None else postprocessing.model_dump(),
    }
