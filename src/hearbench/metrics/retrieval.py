"""Retrieval: are the clips nearest to a clip those that are the same?

Every clip with at least one other that is the same is a query; the others are ranked by
distance. A query's scores don't depend on the order of clips at equal distance:

- average precision: equal distances are one threshold, all of whose clips come at once, as in
  ``sklearn.metrics.average_precision_score`` of minus the distances. mAP is its mean over queries.
- precision at k: the share of same clips among the k nearest, where k is at most the number of
  clips that are the same, so that 1 can be reached by every query. Where the k-th distance is
  that of several clips, the mean over all orders of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["RetrievalScores", "retrieval_scores"]

_ONE = np.uint32(1)


@dataclass(frozen=True)
class RetrievalScores:
    """Scores per query; NaN for a clip that no other is the same as.

    Attributes:
        average_precision: (n_queries,) average precisions.
        precision_at: (n_queries,) precisions at k, by k.
    """

    average_precision: npt.NDArray[np.float64]
    precision_at: Mapping[int, npt.NDArray[np.float64]]


def retrieval_scores(ranked: npt.NDArray[np.uint32], ks: Sequence[int]) -> RetrievalScores:
    """Computes the scores of some queries.

    Args:
        ranked: (n_queries, n_clips - 1) keys of each query with the other clips, ascending.
        ks: For precision at k.
    """
    n_queries = len(ranked)
    query, rank = np.nonzero(ranked & _ONE)
    n_same = np.bincount(query, minlength=n_queries)
    first = np.cumsum(n_same) - n_same
    hits = np.arange(1, len(query) + 1) - first[query]
    keys = ranked[query, rank]
    # The last of equal keys is where their threshold is reached; it counts for all of them.
    last = np.ones(len(keys), dtype=bool)
    last[:-1] = (keys[1:] != keys[:-1]) | (query[1:] != query[:-1])
    ends = np.flatnonzero(last)
    at = ends[np.searchsorted(ends, np.arange(len(keys)))]
    precision = hits[at] / (rank[at] + 1)
    summed = np.bincount(query, weights=precision, minlength=n_queries)
    undefined = np.full(n_queries, np.nan)
    average = np.divide(summed, n_same, out=undefined.copy(), where=n_same > 0)
    return RetrievalScores(average, {k: _precision_at(k, ranked, n_same) for k in ks})


def _precision_at(
    k: int, ranked: npt.NDArray[np.uint32], n_same: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    n_queries, n_others = ranked.shape
    result = np.full(n_queries, np.nan)
    if n_others == 0:
        return result
    depth = np.minimum(k, n_same)
    width = min(k, n_others)
    hits = np.cumsum(ranked[:, :width] & _ONE, axis=1, dtype=np.int64)
    queries = np.flatnonzero(n_same > 0)
    result[queries] = hits[queries, depth[queries] - 1] / depth[queries]
    bits = ranked[:, : width + 1] >> _ONE
    more = queries[depth[queries] < n_others]
    tied = more[bits[more, depth[more] - 1] == bits[more, depth[more]]]
    for query in tied:
        row, reached = ranked[query], int(depth[query])
        nearest = bits[query, reached - 1] << _ONE
        start, middle = np.searchsorted(row, np.array([nearest, nearest | _ONE], np.uint32))
        end = np.searchsorted(row, nearest | _ONE, side="right")
        certain = hits[query, start - 1] if start else 0
        chance = (end - middle) / (end - start)
        result[query] = (certain + (reached - start) * chance) / reached
    return result
