"""Clips as training data: in memory where they fit, else read from the store in every epoch.

Both go over the embeddings in the same blocks and order, so the batches, and with them the
result, are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from hearbench.errors import ProbeError
from hearbench.probe.data import (
    Batch,
    BatchSpec,
    epoch_order,
    validations,
)
from hearbench.probe.grid import batch_bounds
from hearbench.probe.network import Predictor
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.outputs import Outputs
from hearbench.probe.reading import Inputs
from hearbench.probe.standardize import Moments, Standardizer
from hearbench.probe.transfer import read_ahead, room_bytes, stream_to
from hearbench.tasks.task_type import Targets

__all__ = [
    "ArrayRows",
    "BatchedClips",
    "ClipRows",
    "KeptClips",
    "OrderedClips",
    "ReadClips",
    "SceneData",
    "array_data",
    "check_enough_clips",
    "predict_clips",
    "scene_data",
    "whole",
]

# Clips that are read at once; a prediction is cut into the same blocks.
_BLOCK = 4096


class ClipRows(Protocol):
    """Embeddings of clips: in a store, or in an array."""

    @property
    def size(self) -> int:
        """Numbers per embedding."""

    def __len__(self) -> int: ...

    def read(self, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings (n, size) of the clips at some positions (n,), in that order."""


@dataclass(frozen=True)
class ArrayRows:
    """Embeddings in an array.

    Attributes:
        x: (n_clips, size).
    """

    x: npt.NDArray[np.floating]

    @property
    def size(self) -> int:
        """Numbers per embedding."""
        return int(self.x.shape[1])

    def __len__(self) -> int:
        return len(self.x)

    def read(self, clips: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings (n, size) of the clips at some positions (n,), in that order."""
        return self.x[clips].astype(np.float32, copy=False)


@dataclass(frozen=True)
class OrderedClips:
    """Clips of one or several splits, one after the other in a given order.

    Attributes:
        parts: Each split's embeddings, and the positions (n,) of the clips in their order.
    """

    parts: Sequence[tuple[ClipRows, npt.NDArray[np.int64]]]

    def __len__(self) -> int:
        return sum(len(order) for _, order in self.parts)

    @property
    def size(self) -> int:
        """Numbers per embedding."""
        return self.parts[0][0].size

    def read(self, which: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The embeddings (n, size) at some positions (n,) of the whole sequence."""
        result = np.empty((len(which), self.size), dtype=np.float32)
        first = 0
        for rows, order in self.parts:
            here = np.flatnonzero((which >= first) & (which < first + len(order)))
            if len(here):
                result[here] = rows.read(order[which[here] - first])
            first += len(order)
        return result

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """All of them in blocks of bounded size."""
        # Blocks are large: one in advance is enough.
        return read_ahead(self._blocks(), 1)

    def blocks_on(self, device: torch.device) -> Iterator[torch.Tensor]:
        """The same on a device."""
        return (x for (x,) in stream_to(device, ((x,) for x in self._blocks()), 1))

    def _blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        count = len(self)
        for start in range(0, max(1, count), _BLOCK):
            yield self.read(np.arange(start, min(start + _BLOCK, count)))


def whole(rows: ClipRows) -> OrderedClips:
    """A split in its own order."""
    return OrderedClips([(rows, np.arange(len(rows)))])


class BatchedClips(Protocol):
    """Clips that are learned from or validated on."""

    @property
    def y(self) -> torch.Tensor:
        """Labels as a loss wants them."""

    def batches(
        self, bounds: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None
    ) -> Iterator[tuple[Inputs, torch.Tensor]]:
        """The clips in batches; see `KeptClips.batches`."""

    def predict(self, predictor: Predictor, which: Sequence[int]) -> torch.Tensor:
        """Logits (networks, n_labels, n_clips)."""


@dataclass(frozen=True)
class KeptClips:
    """Clips that are kept on the device.

    Attributes:
        x: (n_clips, size) embeddings as the probe gets them.
        y: Labels as a loss wants them.
    """

    x: torch.Tensor
    y: torch.Tensor

    def batches(
        self, bounds: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None
    ) -> Iterator[Batch]:
        """The clips in batches.

        Args:
            bounds: Where each batch begins and ends.
            order: Positions of the clips; None for their own order.
        """
        if order is None:
            for start, end in bounds:
                yield self.x[start:end], self.y[start:end]
            return
        which = torch.from_numpy(order).to(self.x.device)
        for start, end in bounds:
            yield self.x[which[start:end]], self.y[which[start:end]]

    def predict(self, predictor: Predictor, which: Sequence[int]) -> torch.Tensor:
        """Logits (networks, n_labels, n_clips)."""
        return predictor.predict(self.x, which)


@dataclass(frozen=True)
class ReadClips:
    """Clips that are read whenever they are needed.

    Attributes:
        clips: Their embeddings.
        targets: (n_clips, n_labels).
        inputs: How embeddings are prepared.
        outputs: What a network's outputs stand for.
        dtype: Precision of the batches.
    """

    clips: OrderedClips
    targets: Targets
    inputs: Standardizer
    outputs: Outputs
    dtype: torch.dtype

    @property
    def y(self) -> torch.Tensor:
        """Labels as a loss wants them."""
        return self.outputs.tensor(self.targets, str(self.inputs.mean.device))

    def batches(
        self, bounds: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None
    ) -> Iterator[Batch]:
        """The clips in batches; see `KeptClips.batches`."""
        order = np.arange(len(self.clips)) if order is None else order
        chosen = (order[start:end] for start, end in bounds)
        read = (
            (self.clips.read(which), self.outputs.labels(self.targets[which])) for which in chosen
        )
        for x, y in stream_to(self.inputs.mean.device, read):
            yield self.inputs(x).to(self.dtype), y

    def predict(self, predictor: Predictor, which: Sequence[int]) -> torch.Tensor:
        """Logits (networks, n_labels, n_clips)."""
        return predict_clips(predictor, self.inputs, self.clips, which)


@dataclass(frozen=True)
class SceneData:
    """One fold of a scene task.

    Attributes:
        train: The training clips in the protocol's order, in the products' precision.
        bounds: Where each batch begins and ends.
        valid: The clips that are validated on, in float32.
        valid_targets: (n_valid, n_labels), for the score.
        inputs: How embeddings are prepared.
        outputs: What a network's outputs stand for.
        shuffle: Names the random order of each epoch; None keeps the order.
    """

    train: BatchedClips
    bounds: Sequence[tuple[int, int]]
    valid: BatchedClips
    valid_targets: Targets
    inputs: Standardizer
    outputs: Outputs
    shuffle: int | None = None

    @property
    def n_batches(self) -> int:
        """Training steps per epoch."""
        return len(self.bounds)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.valid_targets.shape[1])

    def epoch(self, number: int) -> Iterator[tuple[Inputs, torch.Tensor]]:
        """The batches of an epoch (from 1)."""
        order = None
        if self.shuffle is not None:
            order = epoch_order(self.bounds[-1][1], self.shuffle, number)
        return self.train.batches(self.bounds, order)

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""
        logits = self.valid.predict(stack, which)
        return validations(stack, logits, self.valid.y, self.valid_targets, self.outputs, objective)


def predict_clips(
    predictor: Predictor,
    inputs: Standardizer,
    clips: OrderedClips,
    which: Sequence[int] | None = None,
) -> torch.Tensor:
    """Logits (networks, n_labels, n_clips), of embeddings that are read block by block."""
    read = clips.blocks_on(inputs.mean.device)
    blocks = [predictor.predict(inputs(x), which) for x in read]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def check_enough_clips(n_train: int, n_valid: int) -> None:
    """Refuses a fold of which a probe can't learn.

    Raises:
        ProbeError: There are fewer than two training clips, or none to validate on.
    """
    if n_train < 2 or n_valid < 1:
        raise ProbeError(
            f"A probe needs at least 2 clips to train on and 1 to validate on, but has "
            f"{n_train} and {n_valid}. Use a larger task or other splits."
        )


def scene_data(
    train: OrderedClips,
    targets: Targets,
    valid: ClipRows,
    valid_targets: Targets,
    *,
    outputs: Outputs,
    spec: BatchSpec,
) -> SceneData:
    """One fold of a scene task.

    Args:
        train: The training clips in the protocol's order.
        targets: Their targets (n_clips, n_labels), in the same order.
        valid: The clips that are validated on.
        valid_targets: Their targets.
        outputs: What a network's outputs stand for.
        spec: How batches are made.

    Raises:
        ProbeError: There are fewer than two training clips, or none to validate on.
        EmbeddingError: The store is damaged.
    """
    check_enough_clips(len(train), len(valid))
    moments = Moments(train.size)
    for x in train.blocks():
        moments.add(x, squares=spec.standardise)
    inputs = Standardizer.of(moments, spec.device, standardise=spec.standardise)
    needed = train.size * (len(train) * spec.dtype.itemsize + len(valid) * 4)
    keep = needed <= room_bytes(spec.device, spec.max_memory_bytes)

    def rows(clips: OrderedClips, labels: Targets, dtype: torch.dtype) -> KeptClips | ReadClips:
        if not keep:
            return ReadClips(clips, labels, inputs, outputs, dtype)
        y = outputs.tensor(labels, spec.device)
        return KeptClips(_together(clips, inputs, dtype), y)

    return SceneData(
        train=rows(train, targets, spec.dtype),
        bounds=batch_bounds(len(train), spec.batch_size),
        valid=rows(whole(valid), valid_targets, torch.float32),
        valid_targets=valid_targets,
        inputs=inputs,
        outputs=outputs,
        shuffle=spec.shuffle,
    )


def array_data(
    train: tuple[npt.NDArray[np.floating], Targets],
    valid: tuple[npt.NDArray[np.floating], Targets],
    *,
    outputs: Outputs,
    spec: BatchSpec,
) -> SceneData:
    """One fold whose embeddings are in arrays.

    Args:
        train: Embeddings (n_clips, size) in training order, and targets (n_clips,
            n_labels).
        valid: The same of the clips that are validated on.
        outputs: What a network's outputs stand for.
        spec: How batches are made.

    Raises:
        ProbeError: There are fewer than two training clips, or none to validate on.
    """
    (x, y), (valid_x, valid_y) = train, valid
    clips = whole(ArrayRows(x))
    return scene_data(clips, y, ArrayRows(valid_x), valid_y, outputs=outputs, spec=spec)


def _together(clips: OrderedClips, inputs: Standardizer, dtype: torch.dtype) -> torch.Tensor:
    """All embeddings (n_clips, size), never held in another form at the same time."""
    result = torch.empty((len(clips), clips.size), dtype=dtype, device=inputs.mean.device)
    first = 0
    for x in clips.blocks_on(result.device):
        result[first : first + len(x)] = inputs(x)
        first += len(x)
    return result
