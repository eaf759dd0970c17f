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
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.metrics.pair_counts import DistanceCounts

__all__ = ["Ladder", "SameDifferent", "SameDifferentSum"]

# Thresholds at which the curves are kept, for intervals: quantiles of either kind of pair.
_RUNGS = 2048


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
