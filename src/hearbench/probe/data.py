"""What a probe is trained on: one fold's embeddings and labels, on the device.

The order of the training examples is part of the protocol: the clips of every split are put in
a random order once, by one generator that goes over the splits in their order, and batches are
cut from that order in every epoch alike.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from hearbench.probe.network import Predictor
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.outputs import Outputs
from hearbench.probe.reading import Inputs
from hearbench.probe.standardize import Standardizer
from hearbench.tasks.task_type import Targets

__all__ = [
    "Batch",
    "BatchSpec",
    "TrainingData",
    "epoch_order",
    "published_order",
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

    def epoch(self, number: int) -> Iterable[tuple[Inputs, torch.Tensor]]:
        """The batches of an epoch (from 1); the same in every epoch unless they are shuffled."""

    @property
    def inputs(self) -> Standardizer:
        """What was done to the embeddings."""

    @property
    def n_labels(self) -> int:
        """Number of labels."""

    @property
    def outputs(self) -> Outputs:
        """What the outputs of a network stand for."""

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""


@dataclass(frozen=True)
class BatchSpec:
    """How a fold's embeddings are put into batches.

    Attributes:
        batch_size: Clips or frames per training step.
        device: A torch device.
        dtype: Precision of the products.
        max_memory_bytes: Memory that embeddings may take where the host keeps them, see
            `hearbench.probe.transfer.room_bytes`; beyond it they are read again in every epoch.
        standardise: Divide by the training examples' standard deviation.
        shuffle: Put the training examples in another order in every epoch, named by this seed.
    """

    batch_size: int
    device: str
    dtype: torch.dtype
    max_memory_bytes: int = sys.maxsize
    standardise: bool = False
    shuffle: int | None = None


def validations(
    predictor: Predictor,
    logits: torch.Tensor,
    y: torch.Tensor,
    targets: Targets,
    outputs: Outputs,
    objective: Objective,
) -> list[Validation]:
    """What each network's logits on the validation clips are worth.

    Args:
        predictor: The predictor that gave the logits.
        logits: (networks, n_labels, n_clips).
        y: Labels as a loss wants them.
        targets: (n_clips, n_labels), as a score wants them.
        outputs: What the logits stand for.
        objective: A loss or a score.
    """
    if objective.on_loss:
        return [Validation(loss) for loss in predictor.losses(logits, y).tolist()]
    found = []
    for one in logits:
        predicted = outputs.predictions(one)
        # A ranking has a place for NaN too, but it says nothing.
        score = objective.function(predicted, targets) if np.isfinite(predicted).all() else math.nan
        found.append(Validation(score))
    return found


def epoch_order(count: int, shuffle: int, epoch: int) -> npt.NDArray[np.int64]:
    """A random order (count,) for an epoch, the same whoever asks."""
    return np.random.default_rng([shuffle, epoch]).permutation(count)
