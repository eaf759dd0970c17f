"""What a probe is trained on: one fold's embeddings and labels, on the device.

The order of the training examples is part of the protocol: the clips of every split are put in
a random order once, by one generator that goes over the splits in their order, and batches are
cut from that order in every epoch alike.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from hearbench.errors import ProbeError
from hearbench.probe.grid import batch_bounds
from hearbench.probe.network import Predictor
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.standardize import Moments, Standardizer

__all__ = [
    "Batch",
    "ProbeData",
    "TrainingData",
    "epoch_order",
    "label_array",
    "label_tensor",
    "published_order",
    "resident_data",
    "to_probabilities",
    "validations",
]

_ORDER_SEED = 0


def published_order(sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """The order of the clips of each split, as indices into its files' order.

    Args:
        sizes: Number of clips per split, the splits in the task's order.
    """
    generator = random.Random(_ORDER_SEED)
    orders = {}
    for split, size in sizes.items():
        order = list(range(size))
        generator.shuffle(order)
        orders[split] = order
    return orders


Batch = tuple[torch.Tensor, torch.Tensor]
"""Embeddings (batch, n_features) and labels of one training step."""


class TrainingData(Protocol):
    """What a training needs to know of one fold, of clips or of frames."""

    @property
    def n_batches(self) -> int:
        """Training steps per epoch."""

    def epoch(self, number: int) -> Iterable[Batch]:
        """The batches of an epoch (from 1); the same in every epoch unless they are shuffled."""

    @property
    def inputs(self) -> Standardizer:
        """What was done to the embeddings."""

    @property
    def n_labels(self) -> int:
        """Number of labels."""

    @property
    def multilabel(self) -> bool:
        """Whether labels are (batch, n_labels) float32, not (batch,) indices."""

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""


def to_probabilities(logits: torch.Tensor, multilabel: bool) -> npt.NDArray[np.float32]:
    """Probabilities (n_clips, n_labels) of one network's logits (n_labels, n_clips)."""
    probabilities = torch.sigmoid(logits) if multilabel else torch.softmax(logits, dim=0)
    return probabilities.T.contiguous().cpu().numpy()


@dataclass(frozen=True)
class ProbeData:
    """One fold on the device.

    Attributes:
        x: (n_train, n_features) embeddings as `inputs` gives them, in the products' precision.
        y: (n_train,) label indices, or (n_train, n_labels) float32.
        bounds: Where each batch begins and ends.
        valid_x: (n_valid, n_features) float32, as `inputs` gives them.
        valid_y: As the training labels.
        valid_targets: (n_valid, n_labels) multi-hot, for the score.
        inputs: What was done to the embeddings.
        multilabel: Which of the two forms the labels have.
        shuffle: Names the random order of each epoch; None keeps the order.
    """

    x: torch.Tensor
    y: torch.Tensor
    bounds: Sequence[tuple[int, int]]
    valid_x: torch.Tensor
    valid_y: torch.Tensor
    valid_targets: npt.NDArray[np.uint8]
    inputs: Standardizer
    multilabel: bool
    shuffle: int | None = None

    @property
    def n_batches(self) -> int:
        """Training steps per epoch."""
        return len(self.bounds)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch (from 1)."""
        if self.shuffle is None:
            for start, end in self.bounds:
                yield self.x[start:end], self.y[start:end]
            return
        drawn = epoch_order(len(self.x), self.shuffle, number)
        order = torch.from_numpy(drawn).to(self.x.device)
        for start, end in self.bounds:
            yield self.x[order[start:end]], self.y[order[start:end]]

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.valid_targets.shape[1])

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""
        logits = stack.predict(self.valid_x, which)
        return validations(
            stack, logits, self.valid_y, self.valid_targets, self.multilabel, objective
        )


def validations(
    predictor: Predictor,
    logits: torch.Tensor,
    y: torch.Tensor,
    targets: npt.NDArray[np.uint8],
    multilabel: bool,
    objective: Objective,
) -> list[Validation]:
    """What each network's logits on the validation clips are worth.

    Args:
        predictor: Which gave them.
        logits: (networks, n_labels, n_clips).
        y: Labels as a loss wants them.
        targets: (n_clips, n_labels) multi-hot, as a score wants them.
        multilabel: Which of the two forms the labels have.
        objective: A loss or a score.
    """
    if objective.on_loss:
        return [Validation(loss) for loss in predictor.losses(logits, y).tolist()]
    found = []
    for one in logits:
        probabilities = to_probabilities(one, multilabel)
        # A ranking has a place for NaN too, but it says nothing.
        score = (
            objective.function(probabilities, targets)
            if np.isfinite(probabilities).all()
            else math.nan
        )
        found.append(Validation(score))
    return found


def resident_data(
    train_x: Sequence[npt.NDArray[np.float32]],
    train_y: Sequence[npt.NDArray[np.uint8]],
    valid_x: npt.NDArray[np.float32],
    valid_y: npt.NDArray[np.uint8],
    *,
    multilabel: bool,
    batch_size: int,
    device: str,
    dtype: torch.dtype,
    standardise: bool = False,
    shuffle: int | None = None,
) -> ProbeData:
    """Puts one fold on the device.

    Args:
        train_x: Embeddings (n_clips, n_features) of each training split, in training order.
        train_y: Multi-hot labels (n_clips, n_labels) likewise.
        valid_x: Embeddings of the validation split.
        valid_y: Its multi-hot labels.
        multilabel: Binary labels, instead of one index per clip.
        batch_size: Examples per step.
        device: A torch device.
        dtype: Precision of the products.
        standardise: Divide by the training clips' standard deviation.
        shuffle: Put the training clips in another order in every epoch, by this seed.

    Raises:
        ProbeError: There are fewer than two training clips, or none to validate on.
    """
    x = np.concatenate([np.asarray(part, dtype=np.float32) for part in train_x])
    y = np.concatenate(list(train_y))
    if len(x) < 2 or len(valid_x) < 1:
        raise ProbeError(
            f"A probe needs at least 2 clips to train on and 1 to validate on, but has {len(x)} "
            f"and {len(valid_x)}. Use a larger task or other splits."
        )
    moments = Moments(x.shape[1])
    moments.add(x, squares=standardise)
    inputs = Standardizer.of(moments, device, standardise=standardise)
    return ProbeData(
        x=inputs(torch.from_numpy(x)).to(dtype),
        y=label_tensor(y, multilabel, device),
        bounds=batch_bounds(len(x), batch_size),
        valid_x=inputs(torch.from_numpy(np.array(valid_x, dtype=np.float32))),
        valid_y=label_tensor(valid_y, multilabel, device),
        valid_targets=valid_y,
        inputs=inputs,
        multilabel=multilabel,
        shuffle=shuffle,
    )


def epoch_order(count: int, shuffle: int, epoch: int) -> npt.NDArray[np.int64]:
    """A random order (count,) for an epoch, the same whoever asks."""
    return np.random.default_rng([shuffle, epoch]).permutation(count)


def label_tensor(targets: npt.NDArray[np.uint8], multilabel: bool, device: str) -> torch.Tensor:
    """Labels as a loss wants them: (n, n_labels) float32 if multilabel, else (n,) indices."""
    return torch.from_numpy(label_array(targets, multilabel)).to(device)


def label_array(
    targets: npt.NDArray[np.uint8], multilabel: bool
) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
    """As `label_tensor`, in NumPy."""
    return targets.astype(np.float32) if multilabel else targets.argmax(axis=1)
