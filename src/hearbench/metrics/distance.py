"""Scores of embeddings by their distances alone: nothing is learned.

The distance of two clips is that of their scene embeddings: the unnormalised L1 distance, which is
the sum of the absolute differences of their numbers, or the Euclidean or cosine distance. It is
computed in float32, as embeddings are: each difference is rounded to 24 bits and so is every step
of the sum, whose order is torch's and may differ between kinds of processors. Distances are equal
where these numbers are, bit for bit. Where sums might not fit, all embeddings are divided by one
power of two before.

All pairs count: nothing is searched approximately and no pair is left out. Memory stays bounded,
as queries go in blocks and pairs are counted per distinct distance.

For retrieval, every clip with at least one other that is the same is a query; the others are ranked
by distance. A query's scores don't depend on the order of clips at equal distance:

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

from hearbench.metrics.distance_blocks import Distance, Sameness, key_blocks, key_scale
from hearbench.metrics.same_different import PairCounts, SameDifferent, SameDifferentSum
from hearbench.progress import Update

__all__ = ["KS", "DistanceMeasures", "RetrievalScores", "measure_distances", "retrieval_scores"]

KS = (1, 5, 10)
"""The k of precision at k."""

MEMORY_LIMIT_BYTES = 1 << 30
_ONE = np.uint32(1)


@dataclass(frozen=True)
class DistanceMeasures:
    """Scores of the distances between a split's clips.

    Attributes:
        retrieval: Per clip; NaN where it isn't a query.
        pairs: Over all pairs; distances in it are as `hearbench.metrics.distance_blocks.key_blocks`
            takes them: times ``scale``, and Euclidean ones for cosines.
        scale: See `hearbench.metrics.distance_blocks.key_scale`.
        distance: Which distance was measured.
    """

    retrieval: RetrievalScores
    pairs: SameDifferent
    scale: float = 1.0
    distance: Distance = "l1"

    @property
    def eer_threshold(self) -> float:
        """The distance at which the equal error rate is reached, or the largest below that."""
        if self.distance == "cosine":
            return self.pairs.eer_threshold**2 / 2
        return self.pairs.eer_threshold / self.scale

    @property
    def n_queries(self) -> int:
        """Number of clips that at least one other is the same as."""
        return int(np.count_nonzero(~np.isnan(self.retrieval.average_precision)))


def measure_distances(
    embeddings: npt.NDArray[np.float32],
    sameness: Sameness,
    *,
    distance: Distance = "l1",
    ks: Sequence[int] = KS,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    device: str = "cpu",
    update: Update | None = None,
) -> DistanceMeasures:
    """Computes retrieval and same-different scores from one pass over the distances.

    Only if the counters of distinct distances don't fit into their memory are there more passes.

    Args:
        embeddings: (n_clips, size), finite.
        ks: For precision at k, each at least 1.
        memory_limit_bytes: Limit of the counters, which take 64 MiB for each doubling of the
            distance at most (128 MiB above 92682 clips).
        device: The torch device that computes the distances.
        update: Receives progress in clips after every block.

    Raises:
        ValueError: An embedding isn't finite.
    """
    n_clips = len(embeddings)
    if not np.isfinite(embeddings).all():
        raise ValueError("Embeddings must be finite to have distances.")
    counts = PairCounts(n_clips * (n_clips - 1) // 2, memory_limit_bytes)
    average = np.full(n_clips, np.nan)
    precision = {k: np.full(n_clips, np.nan) for k in ks}
    rows = np.arange(n_clips)
    n_same = done = 0
    for block, keys in key_blocks(embeddings, sameness, rows, distance=distance, device=device):
        n_same += _count(counts, keys, block)
        keys.sort(axis=1)
        found = retrieval_scores(keys[:, :-1], ks)
        average[block] = found.average_precision
        for k, values in found.precision_at.items():
            precision[k][block] = values
        done += len(block)
        if update is not None:
            update(done, n_clips)
    total = SameDifferentSum(n_same, n_clips * (n_clips - 1) // 2 - n_same)
    total.add(counts.counts())
    while counts.next_pass():
        for block, keys in key_blocks(embeddings, sameness, rows, distance=distance, device=device):
            _count(counts, keys, block)
            if update is not None:
                update(int(block[-1]) + 1, n_clips)
        total.add(counts.counts())
    return DistanceMeasures(
        RetrievalScores(average, precision),
        total.result(),
        key_scale(embeddings, distance),
        distance,
    )


def _count(counts: PairCounts, keys: npt.NDArray[np.uint32], block: npt.NDArray[np.int64]) -> int:
    """Counts each pair once: that of a clip with those after it; how many are the same."""
    start, stop = int(block[0]), int(block[-1]) + 1
    corner = keys[:, start:stop][np.triu_indices(len(block), 1)]
    rest = keys[:, stop:].ravel()
    n_same = 0
    for part in (corner, rest):
        counts.add(part)
        n_same += int(np.count_nonzero(part & np.uint32(1)))
    return n_same


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
