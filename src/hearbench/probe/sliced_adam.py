"""Steps of Adam on a large matrix, a slice at a time.

Adam reads four numbers and writes three for every weight, and before and after it a gradient is
widened and a weight rounded. Done for a whole matrix one after the other, each of these fetches
it from memory again. Done for some rows at a time, they find it in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

__all__ = ["Learnt", "adam_step", "update"]

# PyTorch's defaults.
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8

# Numbers per slice: with its gradient and moments 4 MiB.
_SLICE = 1 << 18


@dataclass(frozen=True)
class Learnt:
    """A tensor that is learnt, and what a step needs of it.

    Attributes:
        weight: float32, changed in place.
        first: Adam's first moment; like the second it is changed in place.
        second: Its second moment.
        gradient: The gradient, in any precision.
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
def adam_step(
    weights: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    firsts: Sequence[torch.Tensor],
    seconds: Sequence[torch.Tensor],
    *,
    lr: float,
    step: torch.Tensor,
) -> None:
    """One step of Adam on some tensors, whose values and moments change in place.

    This is what ``torch.optim.Adam(fused=True)`` does, bit for bit, by the same function. Making
    one of these would import PyTorch's compiler, which takes longer than many a training.

    Args:
        weights: float32.
        gradients: Gradients of the same shapes, in float32.
        step: The number of this step, counted from 1; a scalar on the weights' device.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
    """
    torch._fused_adam_(
        list(weights),
        list(gradients),
        list(firsts),
        list(seconds),
        [],
        [step] * len(weights),
        lr=lr,
        beta1=_BETAS[0],
        beta2=_BETAS[1],
        weight_decay=0.0,
        eps=_EPSILON,
        amsgrad=False,
        maximize=False,
    )


@torch.no_grad()
def update(tensors: Sequence[Learnt], *, lr: float, steps: int) -> None:
    """`adam_step` in slices, the same as on whole tensors but for rounding.

    Args:
        tensors: The tensors of one network.
        steps: Taken before this one.
    """
    step = torch.tensor(steps + 1.0)
    for one in tensors:
        n_rows = len(one.weight)
        rows = max(1, _SLICE // max(1, math.prod(one.weight.shape[1:])))
        for start in range(0, n_rows, rows):
            part = slice(start, min(start + rows, n_rows))
            if one.before is not None:
                one.before(part.start, part.stop)
            weight = one.weight[part]
            adam_step(
                [weight],
                [one.gradient[part].float()],
                [one.first[part]],
                [one.second[part]],
                lr=lr,
                step=step,
            )
            if one.rounded is not None:
                one.rounded[part].copy_(weight)
