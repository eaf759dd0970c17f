"""Embeddings are centred, and standardised where that is asked for, before a probe sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["LARGE", "SMALL", "Moments", "Standardizer"]

LARGE, SMALL = 1e15, 1e-15
"""Between these, sums of millions of squares are exact enough in float32; else they overflow, or
vanish."""

# From there on a mean is that of a few embeddings among others so many times smaller.
_SWALLOWS = 1e3

# A feature that doesn't vary in training is centred, and otherwise left as it is: one whose
# deviation is so small a share of its mean, squared, is rounding.
_FLAT = 1e-12
_LEAST_STD = float(np.finfo(np.float32).tiny)


class Moments:
    """Mean and variance of embeddings that come block by block, in float64.

    Args:
        size: Numbers per embedding.
    """

    def __init__(self, size: int) -> None:
        self._count = 0
        self._sum = np.zeros(size, dtype=np.float64)
        # About the first embedding, since squares about 0 would cancel where the mean is large.
        self._origin: npt.NDArray[np.float64] | None = None
        self._squares = np.zeros(size, dtype=np.float64)
        self._shifted = np.zeros(size, dtype=np.float64)
        self._largest = 0.0
        # Of each embedding's largest number, but for those of zeros alone.
        self._sum_of_logs, self._n_logs = 0.0, 0

    def add(self, x: npt.NDArray[np.floating], *, squares: bool = True) -> None:
        """Takes in a block (n, size)."""
        if not len(x):
            return
        self._count += len(x)
        self._sum += x.sum(axis=0, dtype=np.float64)
        largest = np.maximum(x.max(axis=1), -x.min(axis=1)).astype(np.float64)
        self._largest = max(self._largest, float(largest.max()))
        logs = np.log(largest[largest > 0])
        self._sum_of_logs += float(logs.sum())
        self._n_logs += len(logs)
        if squares:
            if self._origin is None:
                self._origin = x[0].astype(np.float64)
            about = x - self._origin
            self._shifted += about.sum(axis=0)
            self._squares += np.square(about).sum(axis=0)

    @property
    def is_large(self) -> bool:
        """Whether embeddings are so large that subtracting a mean would leave nothing of others."""
        if self._largest > LARGE or not self._n_logs:
            return self._largest > LARGE
        typical = math.exp(self._sum_of_logs / self._n_logs)
        return float(np.abs(self.mean).max()) > _SWALLOWS * typical

    @property
    def mean(self) -> npt.NDArray[np.float32]:
        """(size,) float32."""
        return (self._sum / self._count).astype(np.float32)

    @property
    def std(self) -> npt.NDArray[np.float32]:
        """(size,) float32, of the population (ddof 0); 1 for a feature that doesn't vary."""
        variance = self._squares / self._count - np.square(self._shifted / self._count)
        varies = variance > _FLAT * np.square(self._sum / self._count)
        varies &= variance > _LEAST_STD**2
        return np.sqrt(np.where(varies, variance, 1.0)).astype(np.float32)


@dataclass(frozen=True)
class Standardizer:
    """The embedding minus its training mean, and divided by its deviation where that is asked for.

    Attributes:
        mean: (n_features,) float32, subtracted; 0 where it would swallow other embeddings.
        std: (n_features,) float32, divided by; None where embeddings aren't standardised.
    """

    mean: torch.Tensor
    std: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Embeddings (n, n_features) as the network gets them, float32 on the means' device."""
        centred = x.to(self.mean.device, torch.float32) - self.mean
        return centred if self.std is None else centred / self.std

    @property
    def offset(self) -> torch.Tensor:
        """(n_features,) what was taken from the network's input for the sake of rounding alone.

        The published protocol doesn't centre, so a network has to be told of the mean that was
        subtracted. Standardised embeddings are the input itself: nothing was taken from them.
        """
        return self.mean if self.std is None else torch.zeros_like(self.mean)

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """As arrays by name, for a file."""
        found = {"mean": self.mean.cpu().numpy()}
        if self.std is not None:
            found["std"] = self.std.cpu().numpy()
        return found

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[np.float32]], device: str
    ) -> Standardizer:
        """From what `arrays` gave.

        Raises:
            KeyError: The mean isn't among them.
        """
        mean, std = (
            torch.from_numpy(arrays[name]).to(device) if name in arrays else None
            for name in ("mean", "std")
        )
        if mean is None:
            raise KeyError("mean")
        return cls(mean, std)

    @classmethod
    def of(cls, moments: Moments, device: str, *, standardise: bool) -> Standardizer:
        """From the training embeddings' moments."""
        mean = moments.mean
        if moments.is_large and not standardise:
            mean = np.zeros_like(mean)
        return cls(
            torch.from_numpy(mean).to(device),
            torch.from_numpy(moments.std).to(device) if standardise else None,
        )
