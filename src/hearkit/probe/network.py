"""Probes of one shape, trained side by side as one stack of networks.

A probe is ``hidden_layers`` times [Linear -> BatchNorm -> Dropout -> ReLU], then Linear. All
grid points of one shape read the same batch, so their first layers are one matrix product and
the others batched ones. Nothing is shared between the networks: gradients, statistics, moments
and stopping are each network's own, so what one learns doesn't depend on its neighbours.

Three things are written differently from a plain PyTorch module, each equal to it but for
rounding:

* Activations are (networks, units, batch): a unit's batch lies contiguously in memory, which is
  what batch normalisation reads.
* The embedding is centred on its training mean before it is rounded to the precision of the
  products. Batch normalisation removes any constant from its input, so training doesn't see
  it. Evaluation does, through the running mean, which lags behind the weights: the product of
  the weights with that mean is therefore tracked in the running mean as if it had been there.
* The bias of a layer before batch normalisation has a gradient of exactly zero. It isn't added
  to the batch (normalisation would remove it) but kept, constant, in the running mean, where
  it fades over the first steps as it does in PyTorch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)

from hearkit.probe.protocol import GridPoint

__all__ = ["EPSILON", "MOMENTUM", "Predictor", "ProbeStack", "Weights", "mean_losses"]

MOMENTUM = 0.1
EPSILON = 1e-5
_BLOCK = 4096  # clips per block of a prediction
_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}

Weights = dict[str, torch.Tensor]
"""The tensors of one network by name; what `ProbeStack.snapshot` gives."""


class Predictor(Protocol):
    """Some learned things side by side that predict labels: networks, or neighbours."""

    def predict(self, x: torch.Tensor, which: Sequence[int] | None = None) -> torch.Tensor:
        """Logits (networks, n_labels, n_clips) of inputs (n_clips, n_features)."""

    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of each (networks,) on logits that `predict` gave."""


_Mask = tuple[int, int, torch.Tensor]
"""The first network and the one after the last that drop units by a mask."""


class _DropReLU(torch.autograd.Function):
    """Dropout and ReLU, with one pass over memory backwards instead of two.

    The gradient passes where the outcome is positive, which is neither where a unit was
    dropped nor where the ReLU cut it off.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, keep: Sequence[_Mask]) -> torch.Tensor:
        outcome = x.relu()
        for start, stop, mask in keep:
            outcome[start:stop].mul_(mask)
        ctx.save_for_backward(outcome)
        return outcome

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (outcome,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], outcome, 0), None


class ProbeStack:
    """Networks of equal shape over one embedding, with their optimiser.

    Args:
        points: Grid points of equal ``hidden_layers``, ``hidden_dim`` and ``dropout``.
        seeds: One seed per point, for its initial weights.
        runs: Which run each point belongs to, equal ones next to each other; those of a run
            drop the same units. By default all are of one run.
        offset: (n_features,) float32, what has been subtracted from the embeddings.
        n_labels: Outputs of a network.
        multilabel: Binary cross-entropy per label instead of cross-entropy over labels.
        dtype: Precision of the products; weights, statistics and moments are float32. A linear
            probe has no normalisation that would absorb what rounding does to its input:
            give it float32.
    """

    def __init__(
        self,
        points: Sequence[GridPoint],
        seeds: Sequence[int],
        *,
        runs: Sequence[int] | None = None,
        offset: torch.Tensor,
        n_labels: int,
        multilabel: bool,
        dtype: torch.dtype,
    ) -> None:
        shapes = {point.shape for point in points}
        if len(shapes) != 1 or len(seeds) != len(points):
            raise ValueError(f"one shape and one seed per point, not {sorted(shapes)}")
        self.points = list(points)
        self.runs = list(runs) if runs is not None else [0] * len(points)
        self.layers, self.width, self.dropout = shapes.pop()
        self.offset = offset
        self.n_labels = n_labels
        self.multilabel = multilabel
        self.dtype = dtype
        drawn = [self._draw(point, seed) for point, seed in zip(points, seeds, strict=True)]
        device = offset.device
        stacked = {
            name: torch.stack([weights[name] for weights in drawn]).to(device) for name in drawn[0]
        }
        self._trained = {
            name: tensor for name, tensor in stacked.items() if _kind(name) == "trained"
        }
        self._fixed = {name: tensor for name, tensor in stacked.items() if _kind(name) == "fixed"}
        self._running = {
            name: tensor for name, tensor in stacked.items() if _kind(name) == "running"
        }
        self._first_moment = {name: torch.zeros_like(t) for name, t in self._trained.items()}
        self._second_moment = {name: torch.zeros_like(t) for name, t in self._trained.items()}
        self._step = torch.zeros(len(points))
        self._build_optimiser()

    def __len__(self) -> int:
        return len(self.points)

    @property
    def _spans(self) -> list[tuple[int, int, int]]:
        """Of each run, the first network and the one after the last."""
        spans, start = [], 0
        for run, networks in itertools.groupby(self.runs):
            stop = start + sum(1 for _ in networks)
            spans.append((run, start, stop))
            start = stop
        return spans

    def _draw(self, point: GridPoint, seed: int) -> Weights:
        # Always on the CPU, so that a run starts from the same weights on every device.
        generator = torch.Generator().manual_seed(seed)
        n_in, weights = len(self.offset), {}

        def linear(name: str, n_in: int, n_out: int, gain: float) -> None:
            weight = torch.empty(n_out, n_in)
            if point.initialization == "uniform":
                torch.nn.init.xavier_uniform_(weight, gain, generator=generator)
            else:
                torch.nn.init.xavier_normal_(weight, gain, generator=generator)
            bound = 1 / math.sqrt(n_in)
            weights[f"weight_{name}"] = weight
            weights[f"bias_{name}"] = torch.empty(n_out).uniform_(
                -bound, bound, generator=generator
            )

        gain = 1.0
        for layer in range(self.layers):
            linear(str(layer), n_in, self.width, gain)
            weights[f"gamma_{layer}"] = torch.ones(self.width)
            weights[f"beta_{layer}"] = torch.zeros(self.width)
            weights[f"mean_{layer}"] = torch.zeros(self.width)
            weights[f"variance_{layer}"] = torch.ones(self.width)
            n_in, gain = self.width, math.sqrt(2.0)
        linear("out", n_in, self.n_labels, gain)
        return weights

    def _build_optimiser(self) -> None:
        # A parameter per network, because each has its own learning rate: views into the
        # stacked tensors, with their moments likewise.
        self._views = [
            {name: tensor[i] for name, tensor in self._trained.items()} for i in range(len(self))
        ]
        self._optimiser = torch.optim.Adam(
            [
                {"params": list(views.values()), "lr": point.lr, **_ADAM}
                for views, point in zip(self._views, self.points, strict=True)
            ],
            fused=True,
        )
        device = self.offset.device
        for i, views in enumerate(self._views):
            for name, view in views.items():
                self._optimiser.state[view] = {
                    "step": self._step[i].clone().to(device),
                    "exp_avg": self._first_moment[name][i],
                    "exp_avg_sq": self._second_moment[name][i],
                }

    def train_step(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        keep: Mapping[int, Sequence[torch.Tensor]] | None = None,
    ) -> None:
        """One step of Adam on a batch, for every network.

        Args:
            x: (batch, n_features) centred embeddings in `dtype`.
            y: (batch,) label indices, or (batch, n_labels) float32 if multilabel.
            keep: Of each run, per hidden layer (hidden_dim, batch) in `dtype`: 0 where a unit is
                dropped, else 1. None without dropout.
        """
        for tensor in self._trained.values():
            tensor.requires_grad_(True)
        loss = mean_losses(self._forward(x, keep or {}), y, multilabel=self.multilabel).sum()
        gradients = torch.autograd.grad(loss, list(self._trained.values()))
        for tensor in self._trained.values():
            tensor.requires_grad_(False)
        self._track_constants()
        for name, gradient in zip(self._trained, gradients, strict=True):
            for i, views in enumerate(self._views):
                views[name].grad = gradient[i]
        self._optimiser.step()
        self._step += 1

    def _forward(self, x: torch.Tensor, keep: Mapping[int, Sequence[torch.Tensor]]) -> torch.Tensor:
        n, batch = len(self), len(x)
        activation: torch.Tensor | None = None
        # Scaling what is kept can be done before the ReLU, thus in the normalisation.
        scale = 1.0 / (1.0 - self.dropout) if keep else 1.0
        for layer in range(self.layers):
            weight = self._trained[f"weight_{layer}"]
            if activation is None:
                z = weight.to(self.dtype).flatten(0, 1) @ x.T
            else:
                z = torch.bmm(weight.to(self.dtype), activation)
            normalised = F.batch_norm(
                z.view(1, n * self.width, batch),
                self._running[f"mean_{layer}"].view(-1),
                self._running[f"variance_{layer}"].view(-1),
                (self._trained[f"gamma_{layer}"] * scale).view(-1),
                (self._trained[f"beta_{layer}"] * scale).view(-1),
                training=True,
                momentum=MOMENTUM,
                eps=EPSILON,
            )
            activation = normalised.view(n, self.width, batch)
            masks = [
                (start, stop, keep[run][layer]) for run, start, stop in self._spans if run in keep
            ]
            activation = _DropReLU.apply(activation, masks)  # type: ignore[no-untyped-call]
        return self._output(x, activation)

    def _track_constants(self) -> None:
        # What batch normalisation would have seen on top of what it was given.
        for layer in range(self.layers):
            constant = self._fixed[f"bias_{layer}"]
            if layer == 0:
                constant = constant + self._trained["weight_0"] @ self.offset
            self._running[f"mean_{layer}"].add_(constant, alpha=MOMENTUM)

    def _output(self, x: torch.Tensor, activation: torch.Tensor | None) -> torch.Tensor:
        weight, bias = self._trained["weight_out"], self._trained["bias_out"]
        if activation is None:
            z = (weight.flatten(0, 1) @ x.T).view(len(self), self.n_labels, len(x))
            return z + (weight @ self.offset + bias)[:, :, None]
        logits = torch.bmm(weight.to(activation.dtype), activation)
        return logits.float() + bias[:, :, None]

    @torch.no_grad()
    def predict(self, x: torch.Tensor, which: Sequence[int] | None = None) -> torch.Tensor:
        """Logits in evaluation mode, computed in float32, in blocks of bounded size.

        Args:
            x: (n_clips, n_features) float32, centred.
            which: Positions of the networks that are wanted; all by default.

        Returns:
            (networks, n_labels, n_clips).
        """
        every = which is None or list(which) == list(range(len(self)))
        index = None if every else torch.tensor(which, device=x.device)
        blocks = [self._predict(block, index) for block in torch.split(x, _BLOCK)]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)

    def _predict(self, x: torch.Tensor, index: torch.Tensor | None) -> torch.Tensor:
        tensors = self._tensors()

        def pick(name: str) -> torch.Tensor:
            return tensors[name] if index is None else tensors[name].index_select(0, index)

        activation: torch.Tensor | None = None
        for layer in range(self.layers):
            weight = pick(f"weight_{layer}")
            shift = pick(f"mean_{layer}") - pick(f"bias_{layer}")
            if activation is None:
                z = weight.flatten(0, 1) @ x.T
                shift = shift - weight @ self.offset
            else:
                z = torch.bmm(weight, activation)
            normalised = F.batch_norm(
                z.view(1, -1, len(x)),
                shift.view(-1),
                pick(f"variance_{layer}").view(-1),
                pick(f"gamma_{layer}").view(-1),
                pick(f"beta_{layer}").view(-1),
                training=False,
                eps=EPSILON,
            )
            activation = normalised.view(-1, self.width, len(x)).relu_()
        weight, bias = pick("weight_out"), pick("bias_out")
        if activation is None:
            z = (weight.flatten(0, 1) @ x.T).view(-1, self.n_labels, len(x))
            return z + (weight @ self.offset + bias)[:, :, None]
        return torch.bmm(weight, activation) + bias[:, :, None]

    @torch.no_grad()
    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of each network (networks,) on logits that `predict` gave."""
        return mean_losses(logits, y, multilabel=self.multilabel)

    def snapshot(self, i: int) -> Weights:
        """A copy of one network's weights and statistics, enough to predict with."""
        return {name: tensor[i].clone() for name, tensor in self._tensors().items()}

    def restore(self, i: int, weights: Mapping[str, torch.Tensor]) -> None:
        """Puts a snapshot back into one network."""
        for name, tensor in self._tensors().items():
            tensor[i].copy_(weights[name])

    def keep_only(self, which: Sequence[int]) -> None:
        """Drops all other networks; these go on as if nothing had happened."""
        index = torch.tensor(which, device=self.offset.device, dtype=torch.long)
        for tensors in (
            self._trained,
            self._fixed,
            self._running,
            self._first_moment,
            self._second_moment,
        ):
            for name in tensors:
                tensors[name] = tensors[name].index_select(0, index)
        self._step = self._step[index.cpu()]
        self.points = [self.points[i] for i in which]
        self.runs = [self.runs[i] for i in which]
        self._build_optimiser()

    def _tensors(self) -> Weights:
        return {**self._trained, **self._fixed, **self._running}

    def state(self) -> Weights:
        """Everything that training goes on from, by name; tensors are not copied."""
        moments = {
            **{f"first_{name}": tensor for name, tensor in self._first_moment.items()},
            **{f"second_{name}": tensor for name, tensor in self._second_moment.items()},
        }
        return {**self._tensors(), **moments, "step": self._step}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Goes on from a `state` of a stack of the same points."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self._build_optimiser()


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


def _kind(name: str) -> str:
    if name.startswith(("weight_", "gamma_", "beta_")) or name == "bias_out":
        return "trained"
    return "fixed" if name.startswith("bias_") else "running"
