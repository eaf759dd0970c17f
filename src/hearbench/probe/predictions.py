"""What a probe leaves behind: the probabilities of every test clip, and how they came about."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.manifest import Manifest
from hearbench.metrics.event_lists import EventArrays
from hearbench.probe.grid import GridResult
from hearbench.probe.layers import LayersRecord
from hearbench.probe.protocol import Protocol
from hearbench.tasks.store import FoldSplit, PreparedTask
from hearbench.tasks.task_type import Targets

__all__ = ["EventFoldPrediction", "FittedProbe", "FoldPrediction", "SceneFoldPrediction"]


@dataclass(frozen=True, kw_only=True)
class FoldPrediction:
    """The test split of one training.

    Attributes:
        clips: File names, in the order of their predictions.
        probabilities: (n_clips or n_frames, n_labels) float32, on disk if they are many; of a
            regression task what was predicted, in its units. All are NaN if there is no prediction.
        loss: Mean loss on the test split; NaN if there is no prediction, as no grid point was
            validated or what it predicts isn't finite.
        outcome: How the chosen grid point fared in this training.
        seconds: Time that it took, the grid included.
        peak_memory_mb: The most memory that the process had had resident by then, MiB; None where
            the system doesn't tell.
        peak_device_memory_mb: The most on the GPU by then, MiB; None on a CPU.
        device_utilisation: Mean share of the training's time in which the GPU was busy, 0 to 1;
            None on a CPU, and where it isn't known.
    """

    fold: FoldSplit
    clips: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    loss: float
    outcome: GridResult
    seconds: float
    peak_memory_mb: float | None = None
    peak_device_memory_mb: float | None = None
    device_utilisation: float | None = None

    @property
    def is_blank(self) -> bool:
        """Whether there is no prediction, so that every score is undefined."""
        return math.isnan(self.loss) or math.isnan(self.outcome.validation_score)


@dataclass(frozen=True, kw_only=True)
class SceneFoldPrediction(FoldPrediction):
    """The test split of one training of a scene task.

    Attributes:
        targets: (n_clips, n_labels): multi-hot, or numbers of a regression task.
    """

    targets: Targets


@dataclass(frozen=True, kw_only=True)
class EventFoldPrediction(FoldPrediction):
    """The test split of one training of an event task.

    Attributes:
        bounds: (n_clips + 1,) first frame of each clip, and the number of frames.
        timestamps_ms: (n_frames,) float64.
        reference: The annotated events.
        estimate: The events that were found with the best validation's postprocessing.
    """

    bounds: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.float64]
    reference: EventArrays
    estimate: EventArrays


@dataclass(frozen=True)
class FittedProbe:
    """Probes that were learned on one model's embeddings of a task, by what they predict.

    Attributes:
        embeddings: The manifest of the store that they were made from.
        embeddings_digest: Digest of the store's content.
        protocol: The protocol as it is applied to this task.
        seed: Seed for weight initialisation and dropout.
        precision: Precision of the matrix products, ``float32`` or ``bfloat16``.
        device: Device that the probes were trained on.
        grid: How every grid point fared on the first fold, in the protocol's order.
        chosen: Position of the one that trained the other folds.
        folds: One per test split, all of the task's kind.
        notes: Sentences on the embeddings that a reader of the scores should know.
        layers: The layers that were learned from; None where embeddings were read as they are.
    """

    task: PreparedTask
    embeddings: Manifest
    embeddings_digest: str
    embeddings_path: str
    protocol: Protocol
    seed: int
    precision: str
    device: str
    grid: tuple[GridResult, ...]
    chosen: int
    folds: tuple[FoldPrediction, ...]
    notes: tuple[str, ...] = ()
    layers: LayersRecord | None = None

    def scene_folds(self) -> tuple[SceneFoldPrediction, ...]:
        """The folds of a scene task; empty for an event task."""
        return tuple(fold for fold in self.folds if isinstance(fold, SceneFoldPrediction))

    def event_folds(self) -> tuple[EventFoldPrediction, ...]:
        """The folds of an event task; empty for a scene task."""
        return tuple(fold for fold in self.folds if isinstance(fold, EventFoldPrediction))
