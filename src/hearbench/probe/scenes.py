"""Clips as training data: in memory where they fit, else read from the store in every epoch.

Both go over the embeddings in the same blocks and order, so the batches, and with them the
result, are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hearbench.embeddings.scenes import SceneRows
from hearbench.errors import ProbeError
from hearbench.probe.data import (
    Batch,
    ProbeData,
    epoch_order,
    label_array,
    label_tensor,
    validations,
)
from hearbench.probe.grid import batch_bounds
from hearbench.probe.network import Predictor
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.reading import read_ahead
from hearbench.probe.standardize import Moments, Standardizer
from hearbench.probe.transfer import room_bytes, stream_to

__all__ = ["OrderedClips", "SceneData", "predict_clips", "scene_data", "whole"]

# Clips that are read at once; a prediction is cut into the same blocks.
_BLOCK = 4096


@dataclass(frozen=True)
class OrderedClips:
    """Clips of one or several splits, one after the other in a given order.

    Attributes:
        parts: Each split's embeddings, and the positions (n,) of the clips in their order.
    """

    parts: Sequence[tuple[SceneRows, npt.NDArray[np.int64]]]

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


def whole(rows: SceneRows) -> OrderedClips:
    """A split in its own order."""
    return OrderedClips([(rows, np.arange(len(rows)))])


@dataclass(frozen=True)
class SceneData:
    """One fold whose embeddings stay on disk; otherwise as `ProbeData`.

    Attributes:
        train: The training clips in the protocol's order.
        targets: (n_train, n_labels) multi-hot.
        bounds: Where each batch begins and ends.
        valid: The clips that are validated on.
        valid_targets: (n_valid, n_labels) multi-hot.
        inputs: What is done to the embeddings.
        multilabel: Binary labels, instead of one index per clip.
        dtype: Precision of the batches.
        shuffle: Names the random order of each epoch; None keeps the order.
    """

    train: OrderedClips
    targets: npt.NDArray[np.uint8]
    bounds: Sequence[tuple[int, int]]
    valid: OrderedClips
    valid_targets: npt.NDArray[np.uint8]
    inputs: Standardizer
    multilabel: bool
    dtype: torch.dtype
    shuffle: int | None = None

    @property
    def n_batches(self) -> int:
        """Training steps per epoch."""
        return len(self.bounds)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return int(self.valid_targets.shape[1])

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch (from 1)."""
        count = len(self.train)
        if self.shuffle is None:
            order = np.arange(count)
        else:
            order = epoch_order(count, self.shuffle, number)
        chosen = (order[start:end] for start, end in self.bounds)
        read = (
            (self.train.read(which), label_array(self.targets[which], self.multilabel))
            for which in chosen
        )
        for x, y in stream_to(self.inputs.mean.device, read):
            yield self.inputs(x).to(self.dtype), y

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates the networks at some positions of the stack."""
        logits = predict_clips(stack, self.inputs, self.valid, which)
        device = str(self.inputs.mean.device)
        y = label_tensor(self.valid_targets, self.multilabel, device)
        return validations(stack, logits, y, self.valid_targets, self.multilabel, objective)


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


def scene_data(
    train: OrderedClips,
    targets: npt.NDArray[np.uint8],
    valid: SceneRows,
    valid_targets: npt.NDArray[np.uint8],
    *,
    multilabel: bool,
    batch_size: int,
    device: str,
    dtype: torch.dtype,
    max_memory_bytes: int,
    standardise: bool = False,
    shuffle: int | None = None,
) -> ProbeData | SceneData:
    """One fold of a scene task.

    Args:
        train: The training clips in the protocol's order.
        targets: Their multi-hot labels (n_clips, n_labels), likewise.
        valid: The clips that are validated on.
        valid_targets: Their multi-hot labels.
        multilabel: Binary labels, instead of one index per clip.
        batch_size: Clips per step.
        device: A torch device.
        dtype: Precision of the products.
        max_memory_bytes: What the embeddings may take where they are kept in the host's memory,
            see `room_bytes`; beyond it they are read from the store in every epoch.
        standardise: Divide by the training clips' standard deviation.
        shuffle: Put the training clips in another order in every epoch, by this seed.

    Raises:
        ProbeError: There are fewer than two training clips, or none to validate on.
        EmbeddingError: The store is damaged.
    """
    if len(train) < 2 or len(valid) < 1:
        raise ProbeError(
            f"A probe needs at least 2 clips to train on and 1 to validate on, but has "
            f"{len(train)} and {len(valid)}. Use a larger task or other splits."
        )
    moments = Moments(train.size)
    for x in train.blocks():
        moments.add(x, squares=standardise)
    inputs = Standardizer.of(moments, device, standardise=standardise)
    bounds = batch_bounds(len(train), batch_size)
    needed = train.size * (len(train) * dtype.itemsize + len(valid) * 4)
    if needed > room_bytes(device, max_memory_bytes):
        return SceneData(
            train=train,
            targets=targets,
            bounds=bounds,
            valid=whole(valid),
            valid_targets=valid_targets,
            inputs=inputs,
            multilabel=multilabel,
            dtype=dtype,
            shuffle=shuffle,
        )
    return ProbeData(
        x=_together(train, inputs, dtype),
        y=label_tensor(targets, multilabel, device),
        bounds=bounds,
        valid_x=_together(whole(valid), inputs, torch.float32),
        valid_y=label_tensor(valid_targets, multilabel, device),
        valid_targets=valid_targets,
        inputs=inputs,
        multilabel=multilabel,
        shuffle=shuffle,
    )


def _together(clips: OrderedClips, inputs: Standardizer, dtype: torch.dtype) -> torch.Tensor:
    """All embeddings (n_clips, size), never held in another form at the same time."""
    result = torch.empty((len(clips), clips.size), dtype=dtype, device=inputs.mean.device)
    first = 0
    for x in clips.blocks_on(result.device):
        result[first : first + len(x)] = inputs(x)
        first += len(x)
    return result
