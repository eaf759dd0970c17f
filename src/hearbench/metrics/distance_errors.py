"""Standard errors of distance scores: how they would vary with other clips.

Pairs share clips and all queries search the same clips, so neither pairs nor queries are
independent. What is drawn is clips:

- Retrieval: the jackknife. Each clip is left out once, as a query and from among what the other
  queries find; the average precision of every one of those is corrected exactly, from its
  ranks. At precision at k, clips at equal distance are taken in some order.
- AUC: the influence of each clip, from its mean placement values (DeLong et al., "Comparing the
  areas under two or more correlated receiver operating characteristic curves", Biometrics 44,
  1988), for pairs that share clips.
- EER: the influence of each clip on both rates at the threshold, weighted by how
  steeply the two curves cross.

Of many clips, those of a random sample are looked at: as queries, and for their influence. Only
the standard error is an estimate then, never the score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hearbench.metrics.distance import DistanceMeasures, RetrievalScores
from hearbench.metrics.distance_blocks import SELF, Sameness, key_blocks
from hearbench.metrics.same_different import SameDifferent
from hearbench.progress import Update

__all__ = ["StandardErrors", "n_looked_at", "standard_errors"]

# Distances that are looked at again; all of them up to 5792 clips.
_PAIRS = 1 << 25
_ONE = np.uint32(1)


@dataclass(frozen=True)
class StandardErrors:
    """Standard errors; NaN where a score or its spread isn't defined.

    Attributes:
        mean_average_precision: Error of retrieval's mean average precision.
        precision_at: Errors of the precisions at k, by k.
        auc: Error of the AUC of same-different.
        eer: Error of the EER of same-different.
    """

    mean_average_precision: float
    precision_at: Mapping[int, float]
    auc: float
    eer: float


def n_looked_at(n_clips: int) -> int:
    """Number of clips whose influence is looked at."""
    return min(n_clips, max(2, _PAIRS // max(1, n_clips)))


def standard_errors(
    embeddings: npt.NDArray[np.float32],
    sameness: Sameness,
    measures: DistanceMeasures,
    *,
    seed: int = 0,
    device: str = "cpu",
    update: Update | None = None,
) -> StandardErrors:
    """Standard errors over clips of what `measure_distances` gave.

    Args:
        embeddings: (n_clips, size) embeddings that were measured.
        seed: Seed of the sample of clips.
        device: The torch device that computes the distances.
        update: Receives progress in clips after every block.
    """
    n_clips = len(embeddings)
    ks = tuple(measures.retrieval.precision_at)
    if n_clips < 3:
        return StandardErrors(math.nan, dict.fromkeys(ks, math.nan), math.nan, math.nan)
    n_rows = n_looked_at(n_clips)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(n_clips, n_rows, replace=False))
    retrieval = _Jackknife(measures.retrieval, len(rows) / n_clips)
    pairs = _PairInfluence(measures.pairs, n_clips)
    done = 0
    for block, keys in key_blocks(
        embeddings, sameness, rows, distance=measures.distance, device=device
    ):
        for query, row in zip(block, keys, strict=True):
            retrieval.add(int(query), row)
            pairs.add(row)
        done += len(block)
        if update is not None:
            update(done, n_rows)
    return StandardErrors(
        retrieval.mean_average_precision(),
        {k: retrieval.precision_at(k) for k in ks},
        pairs.of_auc(),
        pairs.of_eer(),
    )


class _PairInfluence:
    """The influence of clips on AUC and EER.

    Args:
        n_clips: Clips of the split.
    """

    def __init__(self, pairs: SameDifferent, n_clips: int) -> None:
        self._pairs = pairs
        self._n_clips = n_clips
        ladder = pairs.ladder
        # Between two rungs a distance is taken to lie in the middle; half of its equals count.
        self._same_nearer = _middles(ladder.same)
        self._different_nearer = _middles(ladder.different)
        self._weights = _steepness(pairs)
        threshold = np.float32(pairs.eer_threshold) if not math.isnan(pairs.eer) else np.float32(0)
        self._threshold = threshold.view(np.uint32)
        self._auc: list[float] = []
        self._eer: list[float] = []

    @property
    def _defined(self) -> bool:
        return not math.isnan(self._pairs.auc)

    def add(self, row: npt.NDArray[np.uint32]) -> None:
        """Adds the keys of a clip with all clips (n_clips,)."""
        if not self._defined:
            return
        others = row[row != SELF]
        is_same = (others & _ONE).astype(bool)
        bits = others >> _ONE
        rung = np.searchsorted(self._pairs.ladder.bits, bits)
        same, different = rung[is_same], rung[~is_same]
        auc, eer = self._pairs.auc, self._pairs.eer
        # How often the clip is in a same pair, against the average clip; so of different ones.
        per_same = self._n_clips / (2 * self._pairs.n_same)
        per_different = self._n_clips / (2 * self._pairs.n_different)
        placed = (1 - self._different_nearer[same] - auc).sum() * per_same
        passed = (self._same_nearer[different] - auc).sum() * per_different
        self._auc.append(2 * float(placed + passed))
        above = bits > self._threshold
        rejected = (above[is_same] - eer).sum() * per_same
        accepted = (~above[~is_same] - eer).sum() * per_different
        self._eer.append(2 * float(self._weights[0] * rejected + self._weights[1] * accepted))

    def of_auc(self) -> float:
        """The standard error of the AUC."""
        return self._error(self._auc)

    def of_eer(self) -> float:
        """The standard error of the equal error rate."""
        return self._error(self._eer)

    def _error(self, influences: list[float]) -> float:
        if len(influences) < 2:
            return math.nan
        return float(np.std(influences, ddof=1) / math.sqrt(self._n_clips))


def _middles(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    edges = np.concatenate([[0.0], shares, [1.0]])
    middles: npt.NDArray[np.float64] = (edges[1:] + edges[:-1]) / 2
    return middles


def _steepness(pairs: SameDifferent) -> tuple[float, float]:
    """The weights of a change in FRR and in FAR for the EER; they sum to 1.

    The rate moves along the flatter curve: the steeper one gives way.
    """
    ladder = pairs.ladder
    if math.isnan(pairs.eer) or len(ladder.bits) < 2:
        return 0.5, 0.5
    gap = 1 - ladder.same - ladder.different
    crossing = int(np.searchsorted(-gap, 0))
    first = int(np.searchsorted(-gap, -pairs.eer / 2))
    last = int(np.searchsorted(-gap, pairs.eer / 2))
    first = max(0, min(first, crossing - 1))
    last = min(len(gap) - 1, max(last, crossing))
    same = float(ladder.same[last] - ladder.same[first])
    different = float(ladder.different[last] - ladder.different[first])
    if same + different <= 0:
        return 0.5, 0.5
    return different / (same + different), same / (same + different)


class _Changes(NamedTuple):
    """Losses and gains of queries by each clip's absence, summed over queries."""

    total: npt.NDArray[np.float64]
    squared: npt.NDArray[np.float64]


class _Jackknife:
    """Adds up what leaving out each clip changes for some queries.

    Args:
        scores: Scores of all clips.
        share: Share of the clips whose rows will be added.
    """

    def __init__(self, scores: RetrievalScores, share: float) -> None:
        self._scores = scores
        self._share = share
        self._n_clips = len(scores.average_precision)
        self._is_query = ~np.isnan(scores.average_precision)
        self._average = self._no_changes()
        self._precision = {k: self._no_changes() for k in scores.precision_at}
        # Queries that have nothing to find without the clip.
        self._ended = np.zeros(self._n_clips)

    def add(self, query: int, row: npt.NDArray[np.uint32]) -> None:
        """Adds the keys (n_clips,) of a clip with all clips."""
        if not self._is_query[query]:
            return
        is_same = (row & _ONE).astype(bool)
        is_same[query] = False
        found = np.flatnonzero(is_same)
        change = _average_precision_changes(row, is_same, found)
        change[query] = 0.0
        self._average.total[:] += change
        self._average.squared[:] += change**2
        if len(found) == 1:
            self._ended[found] += 1
        deepest = min(max(self._precision, default=1), len(found))
        depth = min(deepest + 1, self._n_clips - 1)
        nearest = np.argpartition(row, depth - 1)[:depth]
        nearest = nearest[np.argsort(row[nearest], kind="stable")]
        for k, changes in self._precision.items():
            clips, values = _precision_changes(k, nearest, is_same, found)
            changes.total[clips] += values
            changes.squared[clips] += values**2

    def mean_average_precision(self) -> float:
        """The standard error of the mean over queries."""
        return self._error(self._scores.average_precision, self._average)

    def precision_at(self, k: int) -> float:
        """The standard errors of the mean precisions at k, by k."""
        return self._error(self._scores.precision_at[k], self._precision[k])

    def _no_changes(self) -> _Changes:
        return _Changes(np.zeros(self._n_clips), np.zeros(self._n_clips))

    def _error(self, values: npt.NDArray[np.float64], changes: _Changes) -> float:
        n_queries = int(self._is_query.sum())
        own = np.where(self._is_query, values, 0.0)
        left = n_queries - self._is_query - self._ended / self._share
        if n_queries < 2 or (left <= 0).any():
            return math.nan
        without = (own.sum() - own + changes.total / self._share) / left
        spread = float(((without - without.mean()) ** 2).sum())
        # What a sample of the queries adds to the spread by chance.
        chance = (1 - self._share) / self._share**2 * changes.squared / left**2
        spread = max(0.0, spread - float(chance.sum()))
        return math.sqrt((self._n_clips - 1) / self._n_clips * spread)


def _average_precision_changes(
    row: npt.NDArray[np.uint32], is_same: npt.NDArray[np.bool_], found: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Changes of one query's average precision by leaving out each clip, (n_clips,)."""
    keys = np.sort(row[found])
    n_same = len(keys)
    hits = np.searchsorted(keys, keys, side="right").astype(np.float64)
    ranks = np.searchsorted(np.sort(row), keys, side="right").astype(np.float64)
    kept = hits / ranks
    average = kept.mean()
    alone = (hits - 1) / np.maximum(ranks - 1, 1)
    fewer = hits / np.maximum(ranks - 1, 1)
    # By the number of same clips that are nearer than the one that is left out.
    slots = np.searchsorted(keys >> _ONE, row >> _ONE)
    change: npt.NDArray[np.float64] = (_joined(kept, fewer) / n_same - average)[slots]
    if n_same == 1:
        change[found] = -average
        return change
    at = slots[is_same]
    change[is_same] = (_joined(kept, alone)[at] - alone[at]) / (n_same - 1) - average
    return change


def _joined(
    below: npt.NDArray[np.float64], above: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Sums of the first i of one and the rest of the other, for i from 0 to n."""
    first = np.concatenate([[0.0], np.cumsum(below)])
    rest = np.concatenate([np.cumsum(above[::-1])[::-1], [0.0]])
    joined: npt.NDArray[np.float64] = first + rest
    return joined


def _precision_changes(
    k: int,
    nearest: npt.NDArray[np.int64],
    is_same: npt.NDArray[np.bool_],
    found: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The clips without which a query's precision at k is another one, and by how much."""
    n_same = len(found)
    depth = min(k, n_same)
    top, hit = nearest[:depth], is_same[nearest[:depth]]
    hits = float(hit.sum())
    follows = float(is_same[nearest[depth]]) if depth < len(nearest) else 0.0
    if n_same > k:
        return top, (hits - hit + follows) / depth - hits / depth
    if n_same == 1:
        return top, np.where(hit, -1.0, follows)
    # With fewer same clips than k, one less is also one less that is looked at.
    others = np.setdiff1d(found, top)
    inside = np.where(hit, (hits - 1) / (depth - 1), (hits + follows) / depth)
    outside = np.full(len(others), (hits - float(hit[-1])) / (depth - 1))
    return (
        np.concatenate([top, others]),
        np.concatenate([inside, outside]) - hits / depth,
    )
