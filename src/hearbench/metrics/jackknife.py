"""Retrieval without each clip in turn, from the ranks of every query.

A clip that is left out is no query, and no other query finds it. The average precision of those
queries is corrected exactly; at precision at k, clips at equal distance are taken in some order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hearbench.metrics.retrieval import RetrievalScores

__all__ = ["Jackknife"]

_ONE = np.uint32(1)


class _Changes(NamedTuple):
    """What queries lose and gain by each clip's absence, summed over queries."""

    total: npt.NDArray[np.float64]
    squared: npt.NDArray[np.float64]


class Jackknife:
    """Adds up what leaving out each clip changes for some queries.

    Args:
        scores: Of all clips.
        share: Of the clips whose rows will be added.
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
        """The keys (n_clips,) of a clip with all clips."""
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
        """Likewise of precision at k."""
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
    """What leaving out each clip adds to the average precision of one query, (n_clips,)."""
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
