"""Labels by vote of the nearest training examples: a probe without training.

The `k` nearest training embeddings vote with their labels. What is predicted for a label is its
share of the votes; nearer neighbours count slightly more, by so little that they decide between
equal votes alone. Of numbers, the mean of the neighbours' is predicted.

Distances are exact and in float32, or in float64 where embeddings are so large
or small that squares would overflow or vanish; queries and training examples are gone through
block by block, so that memory stays bounded.

Source: Cover and Hart, "Nearest Neighbor Pattern Classification", IEEE Transactions on
Information Theory 13(1), 1967.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 (PyTorch's own convention)

from hearbench.probe.data import TrainingData
from hearbench.probe.protocol import NeighbourPoint
from hearbench.probe.reading import Inputs, as_tensor
from hearbench.probe.standardize import LARGE, SMALL

__all__ = ["Neighbours"]

_QUERIES = 2048
# Below it PyTorch's normalisation takes this for the length.
_LEAST_NORM = 1e-12


class Neighbours:
    """Several ways to ask neighbours, over the same training examples.

    Args:
        points: How many neighbours are asked, and by which distance.
        data: One fold, in float32.
    """

    def __init__(self, points: Sequence[NeighbourPoint], data: TrainingData) -> None:
        self._points = list(points)
        self._data = data
        self._offset = data.inputs.offset
        self._largest = 0.0
        votes = []
        for x, y in data.epoch(1):
            votes.append(data.outputs.votes(y, data.n_labels))
            self._largest = max(self._largest, _largest(as_tensor(x)))
        self._votes = torch.cat(votes)

    @torch.no_grad()
    def predict(self, x: Inputs, which: Sequence[int] | None = None) -> torch.Tensor:
        """The shares of the votes, as the logits (points, n_labels, n) that would give them.

        Args:
            x: (n, n_features) float32, as the fold's inputs give them.
            which: Positions of the points that are wanted; all by default.
        """
        chosen = range(len(self._points)) if which is None else which
        points = [self._points[i] for i in chosen]
        blocks = [self._predict(block, points) for block in torch.split(as_tensor(x), _QUERIES)]
        return torch.cat(blocks, dim=2)

    def losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The mean loss of each point (points,) on logits that `predict` gave."""
        return self._data.outputs.losses(logits, y)

    def _predict(self, x: torch.Tensor, points: Sequence[NeighbourPoint]) -> torch.Tensor:
        nearest = {
            metric: self._nearest(x, metric, max(p.k for p in points if p.metric == metric))
            for metric in dict.fromkeys(point.metric for point in points)
        }
        return torch.stack([self._logits(nearest[p.metric][:, : p.k]) for p in points])

    def _logits(self, nearest: torch.Tensor) -> torch.Tensor:
        """Of positions (n, k) of neighbours, the nearest first."""
        k = nearest.shape[1]
        # The sum of all that is added to the first one is less than one vote.
        more = self._data.outputs.nearest_more
        weight = 1.0 + torch.linspace(more, 0.0, k, device=nearest.device) / k
        shares = torch.zeros(len(nearest), self._votes.shape[1], device=nearest.device)
        for i in range(k):
            shares += weight[i] * self._votes[nearest[:, i]]
        return self._data.outputs.of_votes(shares / weight.sum()).T

    def _nearest(self, x: torch.Tensor, metric: str, k: int) -> torch.Tensor:
        """Positions (n, k) of the nearest training examples, the nearest first."""
        k = min(k, len(self._votes))
        wide = metric != "cosine" and not SMALL < max(self._largest, _largest(x)) < LARGE
        query = self._prepared(x, metric, wide=wide)
        best = torch.full((len(x), 0), torch.inf, device=x.device)
        where = torch.zeros((len(x), 0), dtype=torch.long, device=x.device)
        for start, block in self._blocks(metric, wide=wide):
            distances = torch.cat([best, _distances(query, block, metric)], dim=1)
            positions = torch.arange(start, start + len(block), device=x.device)
            positions = torch.cat([where, positions.expand(len(x), -1)], dim=1)
            best, chosen = distances.topk(min(k, distances.shape[1]), dim=1, largest=False)
            where = positions.gather(1, chosen)
        return where

    def _blocks(self, metric: str, *, wide: bool) -> Iterator[tuple[int, torch.Tensor]]:
        start = 0
        for x, _ in self._data.epoch(1):
            yield start, self._prepared(as_tensor(x), metric, wide=wide)
            start += len(x)

    def _prepared(self, x: torch.Tensor, metric: str, *, wide: bool) -> torch.Tensor:
        # The angle is that of the embeddings as they are; the other distances don't see an offset.
        if metric == "cosine":
            return _directions(x + self._offset)
        return x.double() if wide else x


def _largest(x: torch.Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0


def _directions(x: torch.Tensor) -> torch.Tensor:
    """Embeddings (n, n_features) as unit vectors; zeros stay zeros."""
    found = F.normalize(x)
    largest = x.abs().amax(dim=1)
    odd = (largest >= LARGE) | ((largest <= _LEAST_NORM) & (largest > 0))
    if odd.any():
        rows = x[odd].double()
        found[odd] = (rows / rows.norm(dim=1, keepdim=True)).float()
    return found


def _distances(query: torch.Tensor, block: torch.Tensor, metric: str) -> torch.Tensor:
    """(n, block) distances, or what has the same order."""
    if metric == "l1":
        return torch.cdist(query, block, p=1)
    if metric == "cosine":
        return -(query @ block.T)
    return (block * block).sum(dim=1) - 2.0 * (query @ block.T)
