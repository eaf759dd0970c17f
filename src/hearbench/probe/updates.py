"""Steps of Adam on a large matrix, a slice at a time.

Adam reads four numbers and writes three for every weight, and before and after it a gradient is
widened and a weight rounded. Done for a whole matrix one after the other, each of these fetches
it from memory anew. Done for some rows at a time, they find it in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.optim.adam import adam

__all__ = ["ADAM_BETAS", "ADAM_EPSILON", "Learnt", "update"]

# PyTorch's defaults.
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8

# Numbers per slice: with its gradient and moments 4 MiB.
_SLICE = 1 << 18


@dataclass(frozen=True)
class Learnt:
    """A tensor that is learnt, and what a step needs of it.

    Attributes:
        weight: float32, changed in place.
        first: Adam's first moment, likewise.
        second: Its second moment.
        gradient: In any precision.
        rounded: Gets the new weight in its own precision; None if it isn't kept in another.
        before: Called with the first row and the one after the last before they change.
    """

    weight: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    gradient: torch.Tensor
    rounded: torch.Tensor | None = None
    before: Callable[[int, int], None] | None = None


@torch.no_grad()
def update(tensors: Sequence[Learnt], *, lr: float, steps: int) -> None:
    """One step of Adam, the same as PyTorch's fused one on whole tensors but for rounding.

    Args:
        tensors: Of one network.
        lr: Learning rate.
        steps: Taken before this one.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """
    for one in tensors:
        n_rows = len(one.weight)
        rows = max(1, _SLICE // max(1, math.prod(one.weight.shape[1:])))
        for start in range(0, n_rows, rows):
            part = slice(start, min(start + rows, n_rows))
            if one.before is not None:
                one.before(part.start, part.stop)
            weight = one.weight[part]
            adam(
                [weight],
                [one.gradient[part].float()],
                [one.first[part]],
                [one.second[part]],
                [],
                [torch.tensor(float(steps))],
                fused=True,
                amsgrad=False,
                beta1=ADAM_BETAS[0],
                beta2=ADAM_BETAS[1],
                lr=lr,
                weight_decay=0.0,
                eps=ADAM_EPSILON,
                maximize=False,
            )
            if one.rounded is not None:
                one.rounded[part].copy_(weight)
