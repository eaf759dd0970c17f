"""What a probe leaves behind: the probabilities of every test clip, and how they came about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearkit.embeddings.manifest import Manifest
from hearkit.probe.protocol import Protocol
from hearkit.probe.search import Outcome
from hearkit.tasks.store import FoldSplit, PreparedTask

__all__ = ["FoldPrediction", "Predictions"]


@dataclass(frozen=True)
class FoldPrediction:
    """The test split of one training.

    Attributes:
        fold: The splits.
        clips: File names, in the order of the rows.
        probabilities: (n_clips, n_labels) float32; NaN if no grid point had a defined score.
        targets: (n_clips, n_labels) multi-hot.
        loss: Mean loss on the test split.
        outcome: How the chosen grid point fared in this training.
        seconds: Time that it took, the grid included.
    """

    fold: FoldSplit
    clips: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    targets: npt.NDArray[np.uint8]
    loss: float
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Predictions:
    """A task's test predictions by one model.

    Attributes:
        task: The task.
        embeddings: The manifest of the store that they were made from.
        embeddings_digest: Of the store's content.
        embeddings_path: Its folder.
        protocol: As applied to this task.
        seed: Of the training.
        precision: Of the products, ``float32`` or ``bfloat16``.
        device: Where it ran.
        grid: How every grid point fared on the first fold, in the protocol's order.
        chosen: Position of the one that trained the other folds.
        folds: One per test split.
    """

    task: PreparedTask
    embeddings: Manifest
    embeddings_digest: str
    embeddings_path: str
    protocol: Protocol
    seed: int
    precision: str
    device: str
    grid: tuple[Outcome, ...]
    chosen: int
    folds: tuple[FoldPrediction, ...]
