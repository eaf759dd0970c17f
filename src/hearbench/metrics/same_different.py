"""Same or different: are clips that are the same nearer to each other than others are?

Every pair of clips is a trial: accepted as the same where its distance is at most a threshold.
The false rejection rate (FRR) is the share of same pairs that are above it, the false acceptance
rate (FAR) that of different pairs that aren't.

- AUC: the probability that a same pair is nearer than a different one, ties counting half; the
  area under the ROC curve, ``sklearn.metrics.roc_auc_score`` of minus the distances.
- Equal error rate (EER): where FRR and FAR are equal. Between the two neighbouring thresholds
  where one overtakes the other, both are taken as linear: the ROC curve's own straight lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DistanceCounts", "Ladder", "PairCounts", "SameDifferent", "SameDifferentSum"]

# Thresholds at which the curves are kept, for intervals: quantiles of either kind of pair.
_RUNGS = 2048
_PAGE_BITS = np.uint32(16)
_PAGE = 1 << 16
_OFFSET = np.uint32(_PAGE - 1)
_BUFFER_KEYS = 1 << 21
# Keys are added in parts, as each needs an index of 8 bytes on the way.
_PART = 1 << 20


@dataclass(frozen=True)
class DistanceCounts:
    """Consecutive distinct distances and the number of pairs at each.

    Attributes:
        bits: (n,) uint32, of the float32 distances, ascending.
        same: (n,) pairs of clips that are the same.
        different: (n,) pairs of different clips.
    """

    bits: npt.NDArray[np.uint32]
    same: npt.NDArray[np.int64]
    different: npt.NDArray[np.int64]


class PairCounts:
    """Counts the pairs at each distance, exactly and in bounded memory.

    Keys (`hearbench.metrics.distance_blocks`) are counted in pages of 65536 counters that are made
    when first needed. Where there are more pages than memory allows, the lowest are counted first
    and the others in further passes over the same pairs.

    Args:
        n_pairs: How many there will be, by which the counters' size is chosen.
        memory_limit_bytes: Limit of the counters; at least a page is used.
    """

    def __init__(self, n_pairs: int, memory_limit_bytes: int) -> None:
        self._dtype = np.dtype(np.uint32 if n_pairs < 1 << 32 else np.uint64)
        self._capacity = max(1, min(_PAGE, memory_limit_bytes // (_PAGE * self._dtype.itemsize)))
        self._low, self._high = 0, _PAGE
        self._waiting: list[npt.NDArray[np.uint32]] = []
        self._n_waiting = 0
        self._counters: npt.NDArray[np.unsignedinteger] | None = None
        self._slots = np.full(_PAGE, -1, dtype=np.int64)
        self._free = list(range(self._capacity - 1, -1, -1))

    def add(self, keys: npt.NDArray[np.uint32]) -> None:
        """Counts keys (n,), which may be a view; those of other passes are passed over."""
        if self._low > 0 or self._high < _PAGE:
            pages = keys >> _PAGE_BITS
            keys = keys[(pages >= self._low) & (pages < self._high)]
        self._waiting.append(keys.copy())
        self._n_waiting += len(keys)
        if self._n_waiting > _BUFFER_KEYS:
            self._flush()

    def counts(self) -> Iterator[DistanceCounts]:
        """The distances of this pass, ascending, and above those of the passes before."""
        if self._counters is None:
            # Few pairs would lie scattered over many pages.
            keys, times = np.unique(np.concatenate(self._waiting or [_NONE]), return_counts=True)
            yield _by_distance(keys >> np.uint32(1), keys & np.uint32(1) != 0, times)
            return
        self._flush()
        for page in np.flatnonzero(self._slots >= 0):
            # An even key differs, the odd one after it is the same.
            both = self._page(int(page)).reshape(-1, 2)
            there = np.flatnonzero(both[:, 0] | both[:, 1])
            bits = (np.uint32(page) << np.uint32(15)) + there.astype(np.uint32)
            counted = both[there].astype(np.int64)
            yield DistanceCounts(bits, counted[:, 1], counted[:, 0])

    def next_pass(self) -> bool:
        """Prepares for what didn't fit into memory; whether there is any."""
        if self._high == _PAGE:
            return False
        self._low, self._high = self._high, _PAGE
        if self._counters is not None:
            self._counters[:] = 0
        self._slots[:] = -1
        self._free = list(range(self._capacity - 1, -1, -1))
        return True

    def _page(self, page: int) -> npt.NDArray[np.unsignedinteger]:
        if self._counters is None:
            raise ValueError("Nothing has been counted yet.")
        first = int(self._slots[page]) << 16
        return self._counters[first : first + _PAGE]

    def _flush(self) -> None:
        if self._counters is None:
            # What isn't touched takes no memory.
            self._counters = np.zeros(self._capacity << 16, dtype=self._dtype)
        waiting = np.concatenate(self._waiting or [_NONE])
        self._waiting, self._n_waiting = [], 0
        one = self._dtype.type(1)
        for start in range(0, len(waiting), _PART):
            part = waiting[start : start + _PART]
            pages = (part >> _PAGE_BITS).astype(np.int64)
            self._make_room(np.flatnonzero(np.bincount(pages, minlength=_PAGE)))
            if int(pages.max(initial=0)) >= self._high:
                kept = pages < self._high
                part, pages = part[kept], pages[kept]
            index = self._slots[pages]
            index <<= 16
            index |= part & _OFFSET
            np.add.at(self._counters, index, one)

    def _make_room(self, pages: npt.NDArray[np.int64]) -> None:
        """Gives pages slots; the highest lose theirs if there are too many."""
        new = [int(page) for page in pages if self._slots[page] < 0 and page < self._high]
        if len(new) > len(self._free):
            held = sorted([*np.flatnonzero(self._slots >= 0).tolist(), *new])
            self._high = held[self._capacity]
            for page in held[self._capacity :]:
                if self._slots[page] >= 0:
                    self._page(page)[:] = 0
                    self._free.append(int(self._slots[page]))
                    self._slots[page] = -1
            new = [page for page in new if page < self._high]
        for page in new:
            self._slots[page] = self._free.pop()


_NONE = np.zeros(0, dtype=np.uint32)


def _by_distance(
    bits: npt.NDArray[np.uint32], same: npt.NDArray[np.bool_], times: npt.NDArray[np.int64]
) -> DistanceCounts:
    distinct, which = np.unique(bits, return_inverse=True)
    totals = np.zeros((2, len(distinct)), dtype=np.int64)
    totals[same.astype(np.int64), which] = times
    return DistanceCounts(distinct, totals[1], totals[0])


@dataclass(frozen=True)
class Ladder:
    """The curves at some thresholds, ascending.

    Attributes:
        bits: (n,) uint32, the bits of the float32 thresholds.
        same: (n,) share of the same pairs that are at most that far apart.
        different: (n,) share of the different pairs.
    """

    bits: npt.NDArray[np.uint32]
    same: npt.NDArray[np.float64]
    different: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SameDifferent:
    """Scores of telling same pairs of a split from different ones by their distance.

    Attributes:
        n_same: Pairs of clips that are the same.
        n_different: Pairs of different clips.
        auc: NaN if either kind is missing.
        eer: NaN if either kind is missing.
        eer_threshold: The lower of the two distances between which the equal error rate lies.
        ladder: The curves at some thresholds.
    """

    n_same: int
    n_different: int
    auc: float
    eer: float
    eer_threshold: float
    ladder: Ladder


class SameDifferentSum:
    """Adds up the scores from counts in ascending order of distance.

    Args:
        n_same: Pairs of clips that are the same, in all.
        n_different: Pairs of different clips.
    """

    def __init__(self, n_same: int, n_different: int) -> None:
        self._totals = n_same, n_different
        self._below = 0, 0
        self._area = 0.0
        self._eer, self._threshold = math.nan, 0.0
        self._last_bits = 0
        self._rungs: list[Ladder] = []

    def add(self, parts: Iterable[DistanceCounts]) -> None:
        """Adds distances that are above all before."""
        n_same, n_different = self._totals
        for part in parts:
            if not len(part.bits):
                continue
            same = self._below[0] + np.cumsum(part.same)
            different = self._below[1] + np.cumsum(part.different)
            if n_same and n_different:
                self._add_area(part, different)
                self._find_eer(part, same, different)
                self._keep_rungs(part, same, different)
            self._below = int(same[-1]), int(different[-1])
            self._last_bits = int(part.bits[-1])

    def result(self) -> SameDifferent:
        """The scores, once all has been added."""
        n_same, n_different = self._totals
        defined = bool(n_same and n_different)
        empty = np.zeros(0)
        rungs = self._rungs or [Ladder(empty.astype(np.uint32), empty, empty)]
        return SameDifferent(
            n_same,
            n_different,
            self._area if defined else math.nan,
            self._eer,
            self._threshold if defined else math.nan,
            Ladder(
                np.concatenate([rung.bits for rung in rungs]),
                np.concatenate([rung.same for rung in rungs]),
                np.concatenate([rung.different for rung in rungs]),
            ),
        )

    def _add_area(self, part: DistanceCounts, different: npt.NDArray[np.int64]) -> None:
        n_same, n_different = self._totals
        # Of the different pairs, those farther away, and half of those as far away. Products of
        # counts would not fit into 64 bits.
        farther = (n_different - different) + part.different / 2
        self._area += float(((part.same / n_same) * (farther / n_different)).sum())

    def _find_eer(
        self,
        part: DistanceCounts,
        same: npt.NDArray[np.int64],
        different: npt.NDArray[np.int64],
    ) -> None:
        if not math.isnan(self._eer):
            return
        n_same, n_different = self._totals
        rejected, accepted = (n_same - same) / n_same, different / n_different
        met = np.flatnonzero(rejected <= accepted)
        if not len(met):
            return
        i = int(met[0])
        before = (int(same[i - 1]), int(different[i - 1])) if i else self._below
        rejected_before = (n_same - before[0]) / n_same
        accepted_before = before[1] / n_different
        gap_before = rejected_before - accepted_before
        gap = float(accepted[i] - rejected[i])
        share = gap_before / (gap_before + gap)
        self._eer = float(accepted_before + share * (accepted[i] - accepted_before))
        bits = int(part.bits[i - 1]) if i else self._last_bits
        self._threshold = float(np.uint32(bits).view(np.float32))

    def _keep_rungs(
        self,
        part: DistanceCounts,
        same: npt.NDArray[np.int64],
        different: npt.NDArray[np.int64],
    ) -> None:
        kept = np.zeros(len(part.bits), dtype=bool)
        for counted, before, total in zip(
            (same, different), self._below, self._totals, strict=True
        ):
            rung = counted.astype(np.float64) * (_RUNGS / total) // 1
            kept |= np.diff(rung, prepend=before * (_RUNGS / total) // 1) > 0
        if kept.any():
            n_same, n_different = self._totals
            self._rungs.append(
                Ladder(part.bits[kept], same[kept] / n_same, different[kept] / n_different)
            )
