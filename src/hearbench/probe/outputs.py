"""What the numbers that a probe gives stand for: classes, tags, or numbers.

An `Outputs` says what a loss compares with a network's outputs, which loss that is, and what is
predicted by them. Everything else of a training is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)

from hearbench.tasks.task_type import PredictionType, Targets

__all__ = ["MULTICLASS", "MULTILABEL", "Outputs", "Standardised", "outputs_of"]

# Shares of votes are held off 0 and 1 by this, so that the loss stays finite.
_LEAST = 1e-6


class Outputs(ABC):
    """What a probe's outputs (networks, n_labels, n_clips) stand for.

    Attributes:
        nearest_more: By how much more than the farthest the nearest of some neighbours counts.
    """

    nearest_more: ClassVar[float] = 0.5

    @abstractmethod
    def labels(self, targets: Targets) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
        """Targets (n, n_labels) as the loss wants them: (n, n_labels), or (n,) indices."""

    def tensor(self, targets: Targets, device: str) -> torch.Tensor:
        """The same on a device."""
        return torch.from_numpy(self.labels(targets)).to(device)

    @abstractmethod
    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of each network (networks,).

        Args:
            logits: (networks, n_labels, n_clips).
            y: What `labels` gave.
        """

    @abstractmethod
    def predictions(self, logits: torch.Tensor) -> npt.NDArray[np.float32]:
        """What one network's outputs (n_labels, n_clips) predict, (n_clips, n_labels)."""

    @abstractmethod
    def votes(self, y: torch.Tensor, n_labels: int) -> torch.Tensor:
        """What neighbours with these labels say of each label, (n, n_labels)."""

    @abstractmethod
    def of_votes(self, mean: torch.Tensor) -> torch.Tensor:
        """The outputs that stand for a mean of votes, of the same shape."""


class _Multiclass(Outputs):
    def labels(self, targets: Targets) -> npt.NDArray[np.int64]:
        indices: npt.NDArray[np.int64] = targets.argmax(axis=1)
        return indices

    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        of_each = F.cross_entropy(logits, y.expand(len(logits), -1), reduction="none")
        return of_each.mean(dim=1)

    def predictions(self, logits: torch.Tensor) -> npt.NDArray[np.float32]:
        return _by_clip(torch.softmax(logits, dim=0))

    def votes(self, y: torch.Tensor, n_labels: int) -> torch.Tensor:
        return F.one_hot(y, n_labels).to(torch.bool)

    def of_votes(self, mean: torch.Tensor) -> torch.Tensor:
        return mean.clamp(_LEAST, 1.0 - _LEAST).log()


class _Multilabel(Outputs):
    def labels(self, targets: Targets) -> npt.NDArray[np.float32]:
        return targets.astype(np.float32)

    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        target = y.T.expand(len(logits), -1, -1)
        of_each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return of_each.mean(dim=(1, 2))

    def predictions(self, logits: torch.Tensor) -> npt.NDArray[np.float32]:
        return _by_clip(torch.sigmoid(logits))

    def votes(self, y: torch.Tensor, n_labels: int) -> torch.Tensor:  # noqa: ARG002
        return y.to(torch.bool)

    def of_votes(self, mean: torch.Tensor) -> torch.Tensor:
        return mean.clamp(_LEAST, 1.0 - _LEAST).logit()


MULTICLASS: Outputs = _Multiclass()
"""One label per clip: outputs are log-odds, and the loss is the cross-entropy over labels."""

MULTILABEL: Outputs = _Multilabel()
"""Any labels per clip or frame: the loss is the binary cross-entropy of each label."""


@dataclass(frozen=True, eq=False)
class Standardised(Outputs):
    """Numbers: outputs are standardised targets, and the loss is the mean squared error.

    Attributes:
        mean: (n_labels,) of the training clips, in the task's units.
        deviation: (n_labels,) their standard deviation, that of the clips themselves (divided by
            n, as scikit-learn's ``StandardScaler`` does); 1 where all are the same.
    """

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    nearest_more: ClassVar[float] = 0.0

    @classmethod
    def of(cls, targets: Targets) -> Standardised:
        """By the targets (n, n_labels) of the training clips."""
        same = (targets == targets[:1]).all(axis=0)
        deviation = np.where(same, 1.0, targets.std(axis=0, dtype=np.float64))
        return cls(targets.mean(axis=0, dtype=np.float64), deviation)

    def labels(self, targets: Targets) -> npt.NDArray[np.float32]:
        """See `Outputs.labels`."""
        standardised: npt.NDArray[np.float64] = (targets - self.mean) / self.deviation
        return standardised.astype(np.float32)

    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """See `Outputs.losses`."""
        return (logits - y.T).square().mean(dim=(1, 2))

    def predictions(self, logits: torch.Tensor) -> npt.NDArray[np.float32]:
        """See `Outputs.predictions`; in the task's units."""
        found = logits.T.cpu().numpy() * self.deviation + self.mean
        # What float32 can't hold is no prediction, as NaN isn't.
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(found, dtype=np.float32)

    def votes(self, y: torch.Tensor, n_labels: int) -> torch.Tensor:  # noqa: ARG002
        """See `Outputs.votes`."""
        return y

    def of_votes(self, mean: torch.Tensor) -> torch.Tensor:
        """See `Outputs.of_votes`."""
        return mean


def _by_clip(values: torch.Tensor) -> npt.NDArray[np.float32]:
    return values.T.contiguous().cpu().numpy()


_OUTPUTS: dict[PredictionType, Callable[[Callable[[], Targets]], Outputs]] = {
    "multiclass": lambda _: MULTICLASS,
    "multilabel": lambda _: MULTILABEL,
    "regression": lambda targets: Standardised.of(targets()),
}


def outputs_of(prediction: PredictionType, train: Callable[[], Targets]) -> Outputs:
    """What a probe's outputs stand for in a fold.

    Args:
        train: Gives the targets (n, n_labels) of the clips that are learned from.
    """
    return _OUTPUTS[prediction](train)
