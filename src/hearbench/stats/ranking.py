"""Average precision and area under the ROC curve of many resamples at a time.

In the order of falling probability under a label, clips fall into groups of equal probability,
and only groups with a positive clip matter. Of each such group g a resample tells p_g, the
weight of its positives, and o_g, that of the negatives in it and since the group before. With
their cumulative sums TP_g and FP_g, the positives' weight P, the negatives' weight N, and n_g,
the weight of the negatives in g itself:

    AP  = sum over g of p_g TP_g / (TP_g + FP_g) / P
    AUC = sum over g of p_g (N - FP_g + n_g / 2) / (P N)

So all that touches every clip is one sparse matrix of ones per label, times the weights. Sums of
counts are whole numbers, exact in 16 bits where there are at most 65535 clips, and the fewer
bits, the more resamples fit in a register and in the cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["RankingClipScore"]

_Floats = npt.NDArray[np.float64]

# Weights of so many bytes are worked on at a time by each thread: about a core's cache.
_BYTES_PER_BLOCK = 1 << 20
_FEWEST_RESAMPLES, _MOST_RESAMPLES = 64, 1024
# Less is not worth a second thread.
_CELLS_PER_THREAD = 1 << 22


class RankingClipScore:
    """``mAP``, ``aucroc`` or ``d_prime`` under weights; see `hearbench.stats.clip_scores`.

    Args:
        probabilities: (n_clips, n_labels).
        targets: (n_clips, n_labels), multi-hot.
    """

    def __init__(
        self, name: str, probabilities: npt.NDArray[Any], targets: npt.NDArray[Any]
    ) -> None:
        self.name = name
        self.n_clips = len(probabilities)
        self.bounds = (-np.inf, np.inf) if name == "d_prime" else (0.0, 1.0)
        positive = targets != 0
        n_positive = positive.sum(axis=0)
        lacking = n_positive == 0
        if name != "mAP":
            lacking |= n_positive == self.n_clips
        self._n_lacking = int(lacking.sum())
        ones = np.ones(self.n_clips, dtype=np.uint16)
        self._rankings = [
            _ranking(probabilities[:, label], positive[:, label], ones)
            for label in np.flatnonzero(~lacking)
        ]

    def __call__(self, weights: npt.NDArray[Any]) -> _Floats:
        """(n_resamples,); see `hearbench.stats.clip_scores.ClipScore`."""
        n_resamples = len(weights)
        cells = n_resamples * sum(ranking.sums.nnz for ranking in self._rankings)
        n_threads = max(1, min(_n_cores(), cells // _CELLS_PER_THREAD))
        blocks = list(_blocks(self.n_clips, n_resamples, n_threads))
        found = np.empty(n_resamples)

        def fill(block: slice) -> None:
            found[block] = self._block(weights[block])

        if n_threads == 1:
            for block in blocks:
                fill(block)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(fill, blocks))
        return found

    def _block(self, weights: npt.NDArray[Any]) -> _Floats:
        columns = np.ascontiguousarray(weights.T, dtype=np.float64)
        total = columns.sum(axis=0)
        most = total.max(initial=0.0)
        counts = columns.astype(np.uint16 if most < 1 << 16 else np.int64)
        # Labels that no clip has: 0 each in a mean average precision.
        n_defined = np.full(len(total), self._n_lacking if self.name == "mAP" else 0)
        summed = np.zeros(len(total))
        for ranking in self._rankings:
            if self.name == "mAP":
                found = _average_precision(ranking, counts)
            else:
                found = _area_under_roc(ranking, counts, total)
                if self.name == "d_prime":
                    from scipy import special

                    found = np.sqrt(2.0) * special.ndtri(found)
            undefined = np.isnan(found)
            found[undefined] = 0.0
            n_defined += ~undefined
            # Labels told apart perfectly and perfectly wrongly: no mean.
            with np.errstate(invalid="ignore"):
                summed += found
        if self._n_lacking and self.name != "mAP":
            return np.full(len(total), np.nan)
        mean: _Floats = np.divide(
            summed, n_defined, out=np.full(len(total), np.nan), where=n_defined > 0
        )
        return mean


@dataclass(frozen=True)
class _Ranking:
    """One label's groups with positives, as matrices of ones.

    Attributes:
        sums: (2 n_groups, n_clips) sparse: first o_g of all groups, then p_g.
        ties: (n_tied, n_clips) sparse: n_g where it isn't empty.
        tied: (n_tied,) the groups of these.
    """

    sums: Any
    ties: Any
    tied: npt.NDArray[np.intp]


def _ranking(
    scores: npt.NDArray[Any], positive: npt.NDArray[np.bool_], ones: npt.NDArray[np.uint16]
) -> _Ranking:
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], positive[order]
    group = np.zeros(len(order), dtype=np.int64)
    group[1:] = np.cumsum(ranked[1:] != ranked[:-1])
    holds = np.zeros(int(group[-1]) + 1, dtype=bool)
    holds[group[hit]] = True
    # Groups with positives are counted; any other belongs to the next one of these.
    number = (np.cumsum(holds) - holds)[group]
    n_groups = int(holds.sum())
    used = number < n_groups
    in_tie = used & ~hit & holds[group]
    tied, row = np.unique(number[in_tie], return_inverse=True)
    return _Ranking(
        _ones_at((number + hit * n_groups)[used], order[used], (2 * n_groups, len(order)), ones),
        _ones_at(row, order[in_tie], (len(tied), len(order)), ones),
        tied,
    )


def _ones_at(
    row: npt.NDArray[np.integer],
    column: npt.NDArray[np.integer],
    shape: tuple[int, int],
    ones: npt.NDArray[np.uint16],
) -> Any:
    by_row = np.argsort(row, kind="stable")
    first = np.searchsorted(row[by_row], np.arange(shape[0] + 1)).astype(np.int32)
    # A matrix, not an array, for SciPy's older versions.
    from scipy import sparse

    return sparse.csr_matrix(
        (ones[: len(row)], column[by_row].astype(np.int32), first), shape=shape
    )


def _average_precision(ranking: _Ranking, counts: npt.NDArray[Any]) -> _Floats:
    """(n_resamples,); NaN without a positive."""
    others, positives = _sums(ranking, counts)
    true = np.cumsum(positives, axis=1)
    chosen = np.cumsum(others, axis=1)
    chosen += true
    # No weight was met yet: 0 / 1 instead of 0 / 0.
    np.maximum(chosen, 1.0, out=chosen)
    n_positive = true[:, -1].copy()
    true *= positives
    true /= chosen
    found: _Floats = np.divide(
        true.sum(axis=1), n_positive, out=np.full(len(n_positive), np.nan), where=n_positive > 0
    )
    return found


def _area_under_roc(ranking: _Ranking, counts: npt.NDArray[Any], total: _Floats) -> _Floats:
    """(n_resamples,); NaN without a positive or without a negative."""
    others, positives = _sums(ranking, counts)
    n_positive = positives.sum(axis=1)
    n_negative = total - n_positive
    below = n_negative[:, None] - np.cumsum(others, axis=1)
    if len(ranking.tied):
        below[:, ranking.tied] += (ranking.ties @ counts).T / 2
    below *= positives
    pairs = n_positive * n_negative
    found: _Floats = np.divide(
        below.sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0
    )
    return found


def _sums(ranking: _Ranking, counts: npt.NDArray[Any]) -> tuple[_Floats, _Floats]:
    """o_g and p_g of all groups, (n_resamples, n_groups) each: cumulative sums go along rows."""
    sums = (ranking.sums @ counts).T.astype(np.float64, order="C")
    n_groups = sums.shape[1] // 2
    return sums[:, :n_groups], sums[:, n_groups:]


def _blocks(n_clips: int, n_resamples: int, n_threads: int) -> Iterator[slice]:
    """Resamples that are worked on together."""
    fits = _BYTES_PER_BLOCK // (2 * max(1, n_clips))
    share = -(-n_resamples // n_threads)
    size = max(1, min(share, max(_FEWEST_RESAMPLES, min(_MOST_RESAMPLES, fits))))
    for start in range(0, n_resamples, size):
        yield slice(start, min(n_resamples, start + size))


def _n_cores() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
