"""How the networks of a stack read embeddings: as they are, or summed with learned weights.

What a network reads of a clip x is

* the embedding itself, which all networks share (`Reading`);
* ``sum_l softmax(stride mix)_l x_l`` over the layers l of the model, or the same with shares of
  abs(mix) (`WeightedLayers`);
* ``sum_t softmax(query . x_t / sqrt(size))_t x_t`` over the clip's frames t (`Attention`).

``mix`` and ``query`` are learned together with the network, by the same optimiser. Both begin as
zeros: with the mean of the layers, or of the frames.

Adam moves every number by about the learning rate a step, whatever its gradient. A hidden layer's
weights cover their range so, which is a few hundredths. That of the layers' weights before the
softmax is some units: one layer of 13 has 0.8 of the sum when it is 3.9 above the others. With the
grid's learning rates that would take thousands of steps, and there are hundreds. As ``mix`` counts
a hundredfold, it covers its range in about as many steps as the network does. A linear probe's
weights grow to some tenths, and it sees how the layers' means differ, which normalisation removes
elsewhere: a hundredfold, ``mix`` flees from large means before anything is learned. There it
counts tenfold.

Embeddings are centred before they are read (see `hearbench.probe.network`). Weights that add up to
1 leave a constant of it, `Reading.offset_of`: of layers the sum of their means, which changes with
the weights; of frames their mean, and attention isn't changed by what all frames have in common.

Source: of layers, Peters et al., "Deep Contextualized Word Representations", NAACL 2018, and Yang
et al., "SUPERB: Speech processing Universal PERformance Benchmark", Interspeech 2021, whose
downstream models read transformers so; of frames, attention with one learned query per network,
scaled as in Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch.autograd.function import once_differentiable

__all__ = ["Attention", "Frames", "Inputs", "Piece", "Reading", "WeightedLayers", "as_tensor"]

# What the layers' weights before the softmax are of ``mix``: below hidden layers, or below none.
_STRIDE, _LINEAR_STRIDE = 100.0, 10.0


@dataclass(frozen=True)
class Piece:
    """Frames of some clips of a batch, each clip's from its first or a later one on.

    Attributes:
        clips: (n,) positions of the clips in the batch, each once.
        x: (n, frames, size) float32, centred.
        lengths: (n,) how many frames of each are its own, and not only there to fill the array;
            None where all are.
    """

    clips: torch.Tensor
    x: torch.Tensor
    lengths: torch.Tensor | None


class Frames(Protocol):
    """A batch of clips as frames, which needn't be in memory all at once."""

    def __len__(self) -> int:
        """How many clips there are."""

    def split(self, count: int) -> Sequence[Frames]:
        """The same in batches of so many clips."""

    def pieces(self) -> Iterator[Piece]:
        """All frames, each once, in the same pieces whenever they are asked for."""


Inputs = torch.Tensor | Frames
"""What networks read: embeddings (n_clips, n_features), or clips as frames."""


def as_tensor(x: Inputs) -> torch.Tensor:
    """Embeddings that have to be in one array.

    Raises:
        TypeError: They are frames.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError("embeddings of clips are needed, and not their frames")
    return x


@dataclass(frozen=True)
class Reading:
    """Networks read the embeddings as they are.

    Attributes:
        offset: (n_features,) float32, what has been subtracted from the embeddings.
        ONE_BY_ONE: Whether each network may take its steps by itself; not where reading takes long
            and serves all networks at once.
    """

    offset: torch.Tensor

    ONE_BY_ONE: ClassVar[bool] = True

    @property
    def size(self) -> int:
        """How many numbers enter a network."""
        return len(self.offset)

    def draw(self) -> dict[str, torch.Tensor]:
        """What a network learns for reading, as it begins, by name."""
        return {}

    def read(
        self,
        weights: Mapping[str, torch.Tensor],  # noqa: ARG002 (others have some)
        x: Inputs,
    ) -> torch.Tensor:
        """What enters the networks.

        Args:
            weights: Tensors of the networks, (networks, ...) each.
            x: A batch of centred embeddings.

        Returns:
            (batch, size) for all networks alike, or (batch, networks, size).
        """
        return as_tensor(x)

    def offset_of(self, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:  # noqa: ARG002
        """What is missing in what enters the networks, as embeddings are centred.

        Returns:
            (size,) for all networks alike, or (networks, size).
        """
        return self.offset


@dataclass(frozen=True)
class WeightedLayers(Reading):
    """Each network reads a weighted sum of layers.

    Attributes:
        offset: (n_layers * size,) what has been subtracted from each layer's embeddings.
        n_layers: How many layers lie side by side in an embedding.
        absolute: Weights are shares of absolute numbers that begin as ones, and no softmax.
        linear: Whether the networks have no hidden layer.
    """

    n_layers: int
    absolute: bool = False
    linear: bool = False

    @property
    def size(self) -> int:
        """How many numbers enter a network."""
        return len(self.offset) // self.n_layers

    def draw(self) -> dict[str, torch.Tensor]:
        """What a network learns for reading, as it begins, by name."""
        return {"mix": torch.full((self.n_layers,), float(self.absolute))}

    def shares(self, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weights of the layers (..., n_layers), which add up to 1."""
        mix = weights["mix"]
        if self.absolute:
            return mix.abs() / mix.abs().sum(dim=-1, keepdim=True)
        return ((_LINEAR_STRIDE if self.linear else _STRIDE) * mix).softmax(dim=-1)

    def read(self, weights: Mapping[str, torch.Tensor], x: Inputs) -> torch.Tensor:
        """What enters the networks, (batch, networks, size)."""
        layers = as_tensor(x).view(len(x), self.n_layers, self.size)
        return self.shares(weights).to(layers.dtype) @ layers

    def offset_of(self, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What is missing in what enters the networks, (networks, size)."""
        return self.shares(weights) @ self.offset.view(self.n_layers, self.size)


@dataclass(frozen=True)
class Attention(Reading):
    """Each network reads a weighted sum of a clip's frames."""

    ONE_BY_ONE: ClassVar[bool] = False

    def draw(self) -> dict[str, torch.Tensor]:
        """What a network learns for reading, as it begins, by name."""
        return {"query": torch.zeros(self.size)}

    def read(self, weights: Mapping[str, torch.Tensor], x: Inputs) -> torch.Tensor:
        """What enters the networks, (batch, networks, size).

        Raises:
            TypeError: Embeddings of clips are given, and not their frames.
        """
        if isinstance(x, torch.Tensor):
            raise TypeError("frames are needed, and not the embeddings of clips")
        pooled: torch.Tensor = _Pool.apply(weights["query"], x)  # type: ignore[no-untyped-call]
        return pooled


class _Pool(torch.autograd.Function):
    """Attention over frames that are gone through piece by piece, forwards and backwards.

    No piece is kept for the way back, which reads all of them once more. So memory is bounded by a
    piece and by what enters the networks, however many frames a batch has. A clip may come in
    several pieces: what was summed before is scaled by what the new largest score leaves of it.

    Source: Milakov and Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867.
    """

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, frames: Frames) -> torch.Tensor:
        """The sums (clips, networks, size), of queries (networks, size)."""
        networks, size = query.shape
        largest = query.new_full((len(frames), networks), -torch.inf)
        total = torch.zeros_like(largest)
        summed = query.new_zeros(len(frames), networks, size)
        for piece in frames.pieces():
            scores, clips = _scores(query, piece), piece.clips
            now = torch.maximum(largest[clips], scores.amax(dim=2))
            weights = (scores - now[:, :, None]).exp_()
            left = (largest[clips] - now).exp_()
            largest[clips] = now
            total[clips] = total[clips] * left + weights.sum(dim=2)
            summed[clips] = summed[clips] * left[:, :, None] + weights @ piece.x
        pooled = summed.div_(total[:, :, None])
        ctx.frames = frames
        ctx.save_for_backward(query, largest, total, pooled)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The queries' gradient: of a score a_t, it is a_t (g . x_t - g . pooled)."""
        query, largest, total, pooled = ctx.saved_tensors
        found = torch.zeros_like(query)
        mean = (gradient * pooled).sum(dim=2)
        for piece in ctx.frames.pieces():
            clips = piece.clips
            weights = (_scores(query, piece) - largest[clips][:, :, None]).exp_()
            weights /= total[clips][:, :, None]
            along = gradient[clips] @ piece.x.transpose(1, 2)
            of_scores = weights * (along - mean[clips][:, :, None])
            found += of_scores.transpose(0, 1).flatten(1) @ piece.x.flatten(0, 1)
        return found / math.sqrt(query.shape[1]), None


def _scores(query: torch.Tensor, piece: Piece) -> torch.Tensor:
    """(clips, networks, frames); of frames that only fill the array, -inf."""
    scores = (piece.x @ query.T).transpose(1, 2) / math.sqrt(query.shape[1])
    if piece.lengths is None:
        return scores
    frame = torch.arange(piece.x.shape[1], device=scores.device)
    return scores.masked_fill(frame >= piece.lengths[:, None, None], -torch.inf)
