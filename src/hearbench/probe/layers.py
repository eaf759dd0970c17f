"""What a probe's networks are made of: where they start, their dropout and their loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)

from hearbench.probe.protocol import GridPoint

__all__ = ["DropReLU", "Mask", "Step", "draw_weights", "mean_losses", "tensor_kind"]

Mask = tuple[int, int, torch.Tensor]
"""The first network and the one after the last that drop units by a mask."""


@dataclass(frozen=True)
class Step:
    """What a training step is given.

    Attributes:
        x: (batch, n_features) centred embeddings in the products' precision.
        y: (batch,) label indices, or (batch, n_labels) float32 if multilabel.
        keep: Of each run, per hidden layer (hidden_dim, batch) in that precision: 0 where a unit
            is dropped, else 1. Empty without dropout.
    """

    x: torch.Tensor
    y: torch.Tensor
    keep: Mapping[int, Sequence[torch.Tensor]] = field(default_factory=dict)


class DropReLU(torch.autograd.Function):
    """Dropout and ReLU, with one pass over memory backwards instead of two.

    The gradient passes where the outcome is positive, which is neither where a unit was
    dropped nor where the ReLU cut it off.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, keep: Sequence[Mask]) -> torch.Tensor:
        """The outcome, of the input's shape (networks, units, batch)."""
        outcome = x.relu()
        for start, stop, mask in keep:
            outcome[start:stop].mul_(mask)
        ctx.save_for_backward(outcome)
        return outcome

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The input's gradient."""
        (outcome,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], outcome, 0), None


def draw_weights(
    point: GridPoint, seed: int, n_features: int, n_labels: int
) -> dict[str, torch.Tensor]:
    """The weights and statistics that a network starts from, by name.

    Linear layers are Xavier's (with a gain for the ReLU before them), biases uniform as in
    PyTorch's own layers, and batch normalisation starts as the identity.

    Args:
        point: The network's shape and kind of initialisation.
        seed: Names the numbers that are drawn.
        n_features: Numbers per embedding.
        n_labels: Outputs.

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.
    """
    # Always on the CPU, so that a run starts from the same weights on every device.
    generator = torch.Generator().manual_seed(seed)
    n_in = n_features
    weights: dict[str, torch.Tensor] = {}

    def linear(name: str, n_in: int, n_out: int, gain: float) -> None:
        weight = torch.empty(n_out, n_in)
        if point.initialization == "uniform":
            torch.nn.init.xavier_uniform_(weight, gain, generator=generator)
        else:
            torch.nn.init.xavier_normal_(weight, gain, generator=generator)
        bound = 1 / math.sqrt(n_in)
        weights[f"weight_{name}"] = weight
        weights[f"bias_{name}"] = torch.empty(n_out).uniform_(-bound, bound, generator=generator)

    gain = 1.0
    for layer in range(point.hidden_layers):
        linear(str(layer), n_in, point.hidden_dim, gain)
        weights[f"gamma_{layer}"] = torch.ones(point.hidden_dim)
        weights[f"beta_{layer}"] = torch.zeros(point.hidden_dim)
        weights[f"mean_{layer}"] = torch.zeros(point.hidden_dim)
        weights[f"variance_{layer}"] = torch.ones(point.hidden_dim)
        n_in, gain = point.hidden_dim, math.sqrt(2.0)
    linear("out", n_in, n_labels, gain)
    return weights


def mean_losses(logits: torch.Tensor, y: torch.Tensor, *, multilabel: bool) -> torch.Tensor:
    """The mean loss of each network (networks,).

    Args:
        logits: (networks, n_labels, n_clips).
        y: (n_clips,) label indices, or (n_clips, n_labels) float32 if multilabel.
        multilabel: Binary cross-entropy per label instead of cross-entropy over labels.
    """
    n = len(logits)
    if multilabel:
        target = y.T.expand(n, -1, -1)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(1, 2))
    return F.cross_entropy(logits, y.expand(n, -1), reduction="none").mean(dim=1)


def tensor_kind(name: str) -> str:
    """What becomes of a tensor of `draw_weights`: ``trained``, ``running`` or ``fixed``."""
    if name.startswith(("weight_", "gamma_", "beta_")) or name == "bias_out":
        return "trained"
    return "fixed" if name.startswith("bias_") else "running"
