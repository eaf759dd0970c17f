"""Scores of embeddings by their distances alone: nothing is learned.

The distance of two clips is the unnormalised L1 distance of their scene embeddings, the sum of
the absolute differences of their numbers. It is computed in float32, as embeddings are: each
difference is rounded to 24 bits and so is every step of the sum, whose order is torch's and may
differ between kinds of processors. Distances are equal where these numbers are, bit for bit. Where
sums might not fit, all embeddings are divided by one power of two before.

All pairs count: nothing is searched approximately and no pair is left out. Memory stays bounded,
as queries go in blocks and pairs are counted per distinct distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.metrics.distance_blocks import Sameness, key_blocks, key_scale
from hearbench.metrics.pair_counts import PairCounts
from hearbench.metrics.retrieval import RetrievalScores, retrieval_scores
from hearbench.metrics.same_different import SameDifferent, SameDifferentSum
from hearbench.progress import Update

__all__ = ["KS", "DistanceMeasures", "measure_distances"]

KS = (1, 5, 10)
"""The k of precision at k."""

MEMORY_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class DistanceMeasures:
    """Scores of the distances between a split's clips.

    Attributes:
        retrieval: Per clip; NaN where it isn't a query.
        pairs: Over all pairs; distances in it are those of the embeddings times ``scale``.
        scale: See `hearbench.metrics.distance_blocks.key_scale`.
    """

    retrieval: RetrievalScores
    pairs: SameDifferent
    scale: float = 1.0

    @property
    def eer_threshold(self) -> float:
        """The distance at which the equal error rate is reached, or the largest below that."""
        return self.pairs.eer_threshold / self.scale

    @property
    def n_queries(self) -> int:
        """Number of clips that at least one other is the same as."""
        return int(np.count_nonzero(~np.isnan(self.retrieval.average_precision)))


def measure_distances(
    embeddings: npt.NDArray[np.float32],
    sameness: Sameness,
    *,
    ks: Sequence[int] = KS,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    block_rows: int | None = None,
    device: str = "cpu",
    update: Update | None = None,
) -> DistanceMeasures:
    """Computes retrieval and same-different scores from one pass over the distances.

    Only if the counters of distinct distances don't fit into their memory are there more passes.

    Args:
        embeddings: (n_clips, size), finite.
        sameness: Which clips are the same.
        ks: For precision at k, each at least 1.
        memory_limit_bytes: Of the counters, which take 64 MiB for each doubling of the distance
            at most (128 MiB above 92682 clips).
        block_rows: Queries at a time; by default about two million pairs.
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
    for block, keys in key_blocks(embeddings, sameness, rows, block_rows=block_rows, device=device):
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
        for block, keys in key_blocks(
            embeddings, sameness, rows, block_rows=block_rows, device=device
        ):
            _count(counts, keys, block)
            if update is not None:
                update(int(block[-1]) + 1, n_clips)
        total.add(counts.counts())
    return DistanceMeasures(
        RetrievalScores(average, precision), total.result(), key_scale(embeddings)
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
