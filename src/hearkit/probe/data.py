"""What a probe is trained on: one fold's embeddings and labels, on the device.

The order of the training examples is part of the protocol: the clips of every split are put in
a random order once, by one generator that goes over the splits in their order, and batches are
cut from that order in every epoch alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from hearkit.errors import ProbeError
from hearkit.probe.network import ProbeStack
from hearkit.probe.objective import Objective, Validation

__all__ = [
    "ProbeData",
    "TrainingData",
    "batch_bounds",
    "probabilities",
    "published_order",
    "resident_data",
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


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Starts and ends of an epoch's batches.

    The last one may be smaller, but a single example can't be normalised over its batch: it
    joins the batch before it.
    """
    bounds = [(i, min(i + batch_size, count)) for i in range(0, count, batch_size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds


class _Batches(Protocol):
    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]: ...


class TrainingData(Protocol):
    """What a training needs to know of one fold, of clips or of frames."""

    @property
    def batches(self) -> _Batches:
        """An epoch's (embeddings, labels), the same in every epoch."""

    @property
    def offset(self) -> torch.Tensor:
        """(n_features,) float32, what was subtracted from the embeddings."""

    @property
    def n_labels(self) -> int:
        """Number of labels."""

    @property
    def multilabel(self) -> bool:
        """Whether labels are (batch, n_labels) float32, not (batch,) indices."""

    def validate(
        self, stack: ProbeStack, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""


def probabilities(logits: torch.Tensor, multilabel: bool) -> npt.NDArray[np.float32]:
    """Probabilities (n_clips, n_labels) of one network's logits (n_labels, n_clips)."""
    chances = torch.sigmoid(logits) if multilabel else torch.softmax(logits, dim=0)
    return chances.T.contiguous().cpu().numpy()


@dataclass(frozen=True)
class ProbeData:
    """One fold on the device.

    Attributes:
        batches: Of an epoch, in order: (batch, n_features) centred embeddings in the products'
            precision, and (batch,) label indices or (batch, n_labels) float32.
        valid_x: (n_valid, n_features) float32, centred.
        valid_y: As the batches' labels.
        valid_targets: (n_valid, n_labels) multi-hot, for the score.
        offset: (n_features,) float32, the training mean that was subtracted.
        multilabel: Which of the two forms the labels have.
    """

    batches: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    valid_x: torch.Tensor
    valid_y: torch.Tensor
    valid_targets: npt.NDArray[np.uint8]
    offset: torch.Tensor
    multilabel: bool

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.valid_targets.shape[1])

    def validate(
        self, stack: ProbeStack, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""
        logits = stack.predict(self.valid_x, which)
        if objective.on_loss:
            return [Validation(float(loss)) for loss in stack.losses(logits, self.valid_y)]
        return [
            Validation(objective.function(probabilities(one, self.multilabel), self.valid_targets))
            for one in logits
        ]

    def centred(self, x: npt.NDArray[np.float32]) -> torch.Tensor:
        """Other embeddings (n, n_features) as `valid_x`."""
        return torch.from_numpy(x).to(self.offset.device) - self.offset


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
    offset = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    x -= offset
    centred = torch.from_numpy(x).to(device)
    labels = _labels(y, multilabel, device)
    return ProbeData(
        batches=tuple(
            (centred[start:end].to(dtype), labels[start:end])
            for start, end in batch_bounds(len(x), batch_size)
        ),
        valid_x=torch.from_numpy(np.asarray(valid_x, dtype=np.float32) - offset).to(device),
        valid_y=_labels(valid_y, multilabel, device),
        valid_targets=valid_y,
        offset=torch.from_numpy(offset).to(device),
        multilabel=multilabel,
    )


def _labels(targets: npt.NDArray[np.uint8], multilabel: bool, device: str) -> torch.Tensor:
    if multilabel:
        return torch.from_numpy(targets.astype(np.float32)).to(device)
    return torch.from_numpy(targets.argmax(axis=1)).to(device)
