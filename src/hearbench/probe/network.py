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

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)

from hearbench.probe.outputs import Outputs
from hearbench.probe.parallel_steps import take_steps
from hearbench.probe.protocol import GridPoint
from hearbench.probe.randomness import stream_seed
from hearbench.probe.reading import Inputs, Reading
from hearbench.probe.sliced_adam import Learnt, adam_step, update

__all__ = [
    "EPSILON",
    "MOMENTUM",
    "DropReLU",
    "Dropout",
    "Dropped",
    "Mask",
    "Predictor",
    "ProbeStack",
    "Step",
    "Weights",
    "draw_weights",
    "tensor_kind",
]

# Of the batch normalisation; PyTorch's defaults.
MOMENTUM = 0.1
EPSILON = 1e-5
_BLOCK = 4096  # clips per block of a prediction
# From so many weights on, a processor's cache holds one network in training and not several.
_LARGE_NETWORK = 1 << 18
# Of random numbers by which units are dropped.
_LEVELS = 1 << 16

Weights = dict[str, torch.Tensor]
"""The tensors of one network by name; what `ProbeStack.snapshot` gives."""


Mask = tuple[int, int, torch.Tensor]
"""The first network and the one after the last that drop units by a mask."""

Dropped = tuple[int, int, Sequence[torch.Tensor]]
"""The first network and the one after the last that drop the same units, and their masks.

Per hidden layer there is one, (hidden_dim, batch) in the products' precision: 0 where a unit is
dropped, else 1.
"""


@dataclass(frozen=True)
class Step:
    """What a training step is given.

    Attributes:
        x: (batch, n_features) centred embeddings in the products' precision, or clips as frames.
        y: (batch,) label indices, or (batch, n_labels) float32.
        dropped: What networks drop; empty without dropout.
    """

    x: Inputs
    y: torch.Tensor
    dropped: Sequence[Dropped] = ()


class Dropout:
    """Which units are kept, per step and layer.

    All networks of a stack drop the same units in the same step: each still drops every unit
    independently with the right probability, comparing them is less noisy, and the cost of
    drawing, which would rival that of the products, is shared.

    Args:
        rate: Share that is dropped, to within 2**-17.
        seed: Names the stream.
        dtype: Type of the masks.
        device: Device of the masks; a GPU draws its own.
    """

    def __init__(self, rate: float, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self._dropped_levels = round(rate * _LEVELS)
        self._seed = seed
        self._dtype = dtype
        self._device = device

    def masks(self, step: int, layers: int, units: int, batch: int) -> list[torch.Tensor]:
        """Per hidden layer, (units, batch) of 0 and 1; an empty list if nothing is dropped."""
        if self._dropped_levels == 0:
            return []
        return [self._mask(step, layer, units, batch) for layer in range(layers)]

    def _mask(self, step: int, layer: int, units: int, batch: int) -> torch.Tensor:
        # Integers below 2**16, as signed ones because PyTorch compares those everywhere.
        threshold = self._dropped_levels - _LEVELS // 2
        if self._device.type == "cpu":
            bits = np.random.SFC64([self._seed, step, layer])
            drawn = bits.random_raw(-(-units * batch // 4)).view(np.int16)
            level = torch.from_numpy(drawn[: units * batch]).view(units, batch)
        else:
            generator = torch.Generator(self._device)
            generator.manual_seed(stream_seed(self._seed, step, layer))
            level = torch.randint(
                -(_LEVELS // 2),
                _LEVELS // 2,
                (units, batch),
                dtype=torch.int16,
                generator=generator,
                device=self._device,
            )
        return (level >= threshold).to(self._dtype)


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


def tensor_kind(name: str) -> str:
    """What becomes of a network's tensor: ``trained``, ``running`` or ``fixed``."""
    trained = ("bias_out", "mix", "query")
    if name.startswith(("weight_", "gamma_", "beta_")) or name in trained:
        return "trained"
    return "fixed" if name.startswith("bias_") else "running"


class Predictor(Protocol):
    """Some learned things side by side that predict labels: networks, or neighbours."""

    def predict(self, x: Inputs, which: Sequence[int] | None = None) -> torch.Tensor:
        """Logits (networks, n_labels, n_clips) of embeddings as training gets them."""

    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of each (networks,) on logits that `predict` gave."""


def _product(weight: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """What a layer (networks, units, size) gives (networks, units, batch)."""
    if read.ndim == 2:
        return (weight.flatten(0, 1) @ read.T).view(len(weight), -1, len(read))
    return torch.bmm(weight, read.permute(1, 2, 0))


class ProbeStack:
    """Networks of equal shape over the same embeddings, with their optimiser.

    Args:
        points: Grid points of equal ``hidden_layers``, ``hidden_dim`` and ``dropout``.
        seeds: One seed per point, for its initial weights.
        reading: How they read embeddings.
        n_labels: Outputs of a network.
        outputs: What the outputs stand for, and so the loss.
        dtype: Precision of the products; weights, statistics and moments are float32. A linear
            probe has no normalisation that would absorb what rounding does to its input:
            give it float32.
    """

    def __init__(
        self,
        points: Sequence[GridPoint],
        seeds: Sequence[int],
        *,
        reading: Reading,
        n_labels: int,
        outputs: Outputs,
        dtype: torch.dtype,
    ) -> None:
        shapes = {point.shape for point in points}
        if len(shapes) != 1 or len(seeds) != len(points):
            raise ValueError(f"one shape and one seed per point, not {sorted(shapes)}")
        self.points = list(points)
        self.layers, self.width, self.dropout = shapes.pop()
        self.reading = reading
        self.n_labels = n_labels
        self.outputs = outputs
        self.dtype = dtype
        drawn = [
            {**draw_weights(point, seed, reading.size, n_labels), **reading.draw()}
            for point, seed in zip(points, seeds, strict=True)
        ]
        stacked = {
            name: torch.stack([weights[name] for weights in drawn]).to(self.device)
            for name in drawn[0]
        }
        self._trained = {
            name: tensor for name, tensor in stacked.items() if tensor_kind(name) == "trained"
        }
        self._fixed = {
            name: tensor for name, tensor in stacked.items() if tensor_kind(name) == "fixed"
        }
        self._running = {
            name: tensor for name, tensor in stacked.items() if tensor_kind(name) == "running"
        }
        self._first_moment = {name: torch.zeros_like(t) for name, t in self._trained.items()}
        self._second_moment = {name: torch.zeros_like(t) for name, t in self._trained.items()}
        self._step = torch.zeros(len(points))
        self._build()

    def __len__(self) -> int:
        return len(self.points)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.reading.offset.device

    @property
    def _one_by_one(self) -> bool:
        """Whether each network takes its whole step by itself.

        That is faster on a CPU where networks are large: one of them fits into its cache, and
        several are trained at a time. Otherwise few large operations are.
        """
        weights = sum(tensor[0].numel() for tensor in self._trained.values())
        possible = self.device.type == "cpu" and self.reading.ONE_BY_ONE
        return possible and len(self) > 1 and self.layers > 0 and weights >= _LARGE_NETWORK

    def _build(self) -> None:
        # The products' own copy of the weights, where networks take their steps one by one.
        self._rounded: Weights = {}
        # Each network has a learning rate, and so a step, of its own: on its parts of the stacked
        # weights and moments, and with a count of steps where these are.
        stacked = (self._trained, self._first_moment, self._second_moment)
        self._taken = self._step.clone().to(self.device)
        self._parts = [
            tuple([tensor[i] for tensor in tensors.values()] for tensors in stacked)
            for i in range(len(self))
        ]
        if self._one_by_one and self.dtype != torch.float32:
            self._rounded = {
                name: tensor.to(self.dtype)
                for name, tensor in self._trained.items()
                if name.startswith("weight_")
            }

    def train_steps(self, steps: Iterable[Step]) -> None:
        """One step of Adam on each batch in their order, for every network."""
        if self._one_by_one:
            take_steps(len(self), steps, self._step_of, threads=torch.get_num_threads())
        else:
            for step in steps:
                self._step_of_all(step)

    def _step_of_all(self, step: Step) -> None:
        for tensor in self._trained.values():
            tensor.requires_grad_(True)
        logits = self._forward(self._trained, self._running, step.x, step.dropped)
        loss = self.outputs.losses(logits, step.y).sum()
        gradients = torch.autograd.grad(loss, list(self._trained.values()))
        for tensor in self._trained.values():
            tensor.requires_grad_(False)
        self._track_constants()
        self._step += 1
        self._taken += 1
        for i, (weights, firsts, seconds) in enumerate(self._parts):
            own = [gradient[i] for gradient in gradients]
            adam_step(weights, own, firsts, seconds, lr=self.points[i].lr, step=self._taken[i])

    def _step_of(self, i: int, step: Step) -> None:
        """The whole step of one network."""
        # `data` because other networks change their part of the same tensors meanwhile.
        leaves = {
            name: self._rounded.get(name, tensor).data[i : i + 1].requires_grad_(True)
            for name, tensor in self._trained.items()
        }
        running = {name: tensor.data[i : i + 1] for name, tensor in self._running.items()}
        dropped = [(0, 1, masks) for start, stop, masks in step.dropped if start <= i < stop]
        logits = self._forward(leaves, running, step.x, dropped)
        loss = self.outputs.losses(logits, step.y).sum()
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        for layer in range(1, self.layers):
            self._running[f"mean_{layer}"][i].add_(self._fixed[f"bias_{layer}"][i], alpha=MOMENTUM)
        # As it was in this step: what it is read with is about to change, too.
        with torch.no_grad():
            offset = self.reading.offset_of(leaves).view(-1)

        def track_offset(start: int, stop: int) -> None:
            rows = slice(start, stop)
            constant = self._fixed["bias_0"][i, rows]
            constant = constant + self._trained["weight_0"][i, rows] @ offset
            self._running["mean_0"][i, rows].add_(constant, alpha=MOMENTUM)

        update(
            [
                Learnt(
                    self._trained[name][i],
                    self._first_moment[name][i],
                    self._second_moment[name][i],
                    gradient[0],
                    self._rounded[name][i] if name in self._rounded else None,
                    track_offset if name == "weight_0" else None,
                )
                for name, gradient in zip(leaves, gradients, strict=True)
            ],
            lr=self.points[i].lr,
            steps=int(self._step[i]),
        )
        self._step[i] += 1

    def _forward(
        self,
        weights: Weights,
        running: Weights,
        x: Inputs,
        dropped: Sequence[Dropped],
    ) -> torch.Tensor:
        n, batch = len(weights["weight_out"]), len(x)
        read = self.reading.read(weights, x).to(self.dtype)
        activation: torch.Tensor | None = None
        # Scaling what is kept can be done before the ReLU, thus in the normalisation.
        scale = 1.0 / (1.0 - self.dropout) if dropped else 1.0
        for layer in range(self.layers):
            weight = weights[f"weight_{layer}"].to(self.dtype)
            z = _product(weight, read) if activation is None else torch.bmm(weight, activation)
            normalised = F.batch_norm(
                z.view(1, n * self.width, batch),
                running[f"mean_{layer}"].view(-1),
                running[f"variance_{layer}"].view(-1),
                (weights[f"gamma_{layer}"] * scale).view(-1),
                (weights[f"beta_{layer}"] * scale).view(-1),
                training=True,
                momentum=MOMENTUM,
                eps=EPSILON,
            )
            activation = normalised.view(n, self.width, batch)
            masks = [(start, stop, of_each[layer]) for start, stop, of_each in dropped]
            activation = DropReLU.apply(activation, masks)  # type: ignore[no-untyped-call]
        return self._output(weights, read, activation)

    def _track_constants(self) -> None:
        # What batch normalisation would have seen on top of what it was given.
        for layer in range(self.layers):
            constant = self._fixed[f"bias_{layer}"]
            if layer == 0:
                constant = constant + self._missing("weight_0", self._trained)
            self._running[f"mean_{layer}"].add_(constant, alpha=MOMENTUM)

    def _missing(self, name: str, weights: Weights) -> torch.Tensor:
        """What a layer (networks, units) would give on top, if embeddings weren't centred."""
        weight, offset = weights[name], self.reading.offset_of(weights)
        return weight @ offset if offset.ndim == 1 else (weight @ offset[:, :, None])[:, :, 0]

    def _output(
        self, weights: Weights, read: torch.Tensor, activation: torch.Tensor | None
    ) -> torch.Tensor:
        weight, bias = weights["weight_out"], weights["bias_out"]
        if activation is None:
            missing = self._missing("weight_out", weights)
            return _product(weight, read) + (missing + bias)[:, :, None]
        logits = torch.bmm(weight.to(activation.dtype), activation)
        return logits.float() + bias[:, :, None]

    @torch.no_grad()
    def predict(self, x: Inputs, which: Sequence[int] | None = None) -> torch.Tensor:
        """Logits in evaluation mode, computed in float32, in blocks of bounded size.

        Args:
            x: (n_clips, n_features) float32, centred, or clips as frames.
            which: Positions of the networks that are wanted; all by default.

        Returns:
            (networks, n_labels, n_clips).
        """
        every = which is None or list(which) == list(range(len(self)))
        weights = self._tensors()
        if not every:
            index = torch.tensor(which, device=self.device)
            weights = {name: each.index_select(0, index) for name, each in weights.items()}
        blocks = [self._predict(block, weights) for block in x.split(_BLOCK)]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)

    def _predict(self, x: Inputs, weights: Weights) -> torch.Tensor:
        read = self.reading.read(weights, x)
        activation: torch.Tensor | None = None
        for layer in range(self.layers):
            weight = weights[f"weight_{layer}"]
            shift = weights[f"mean_{layer}"] - weights[f"bias_{layer}"]
            if activation is None:
                z = _product(weight, read)
                shift = shift - self._missing("weight_0", weights)
            else:
                z = torch.bmm(weight, activation)
            normalised = F.batch_norm(
                z.view(1, -1, len(x)),
                shift.view(-1),
                weights[f"variance_{layer}"].view(-1),
                weights[f"gamma_{layer}"].view(-1),
                weights[f"beta_{layer}"].view(-1),
                training=False,
                eps=EPSILON,
            )
            activation = normalised.view(-1, self.width, len(x)).relu_()
        return self._output(weights, read, activation)

    @torch.no_grad()
    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of each network (networks,) on logits that `predict` gave."""
        return self.outputs.losses(logits, y)

    def snapshot(self, i: int) -> Weights:
        """A copy of one network's weights and statistics, enough to predict with."""
        return {name: tensor[i].clone() for name, tensor in self._tensors().items()}

    def restore(self, i: int, weights: Mapping[str, torch.Tensor]) -> None:
        """Puts a snapshot back into one network."""
        for name, tensor in self._tensors().items():
            tensor[i].copy_(weights[name])
        self._build()

    def keep_only(self, which: Sequence[int]) -> None:
        """Drops all other networks; these go on as if nothing had happened."""
        index = torch.tensor(which, device=self.device, dtype=torch.long)
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
        self._build()

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
        self._build()
