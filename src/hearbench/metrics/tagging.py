"""Ranking scores over clips: mean average precision, area under the ROC curve, d'.

Conventions: ``probabilities`` and multi-hot ``targets`` are (n_clips, n_labels); a score is
computed per label over clips, then averaged over labels with equal weight ("macro"). All
labels are handled in one pass over sorted columns; equal probabilities are one threshold.

They equal ``sklearn.metrics.average_precision_score`` and ``roc_auc_score`` with
``average="macro"``, of which the published scores were made; d' follows Gemmeke et al.,
"Audio Set", ICASSP 2017.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hearbench.metrics.scores import SceneScore

__all__ = [
    "AUCROC",
    "D_PRIME",
    "MAP",
    "area_under_roc",
    "average_precision",
    "d_prime",
    "mean_average_precision",
    "roc_auc_per_label",
]


def average_precision(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Average precision per label (n_labels,); 0 for a label without a positive clip."""
    n_clips, n_labels = probabilities.shape
    if n_clips == 0:
        return np.full(n_labels, np.nan)
    order = np.argsort(-probabilities, axis=0, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=0)
    hits = np.cumsum(np.take_along_axis(targets != 0, order, axis=0), axis=0, dtype=np.int64)
    # Only the last of equal probabilities is a threshold: the clips before it come with it.
    is_threshold = np.ones(ranked.shape, dtype=bool)
    is_threshold[:-1] = ranked[1:] != ranked[:-1]
    hits_before = np.zeros_like(hits)
    hits_before[1:] = np.maximum.accumulate(np.where(is_threshold, hits, 0), axis=0)[:-1]
    precision = hits / np.arange(1, n_clips + 1)[:, None]
    gained = np.where(is_threshold, hits - hits_before, 0)
    positives = hits[-1]
    summed = (gained * precision).sum(axis=0)
    result: npt.NDArray[np.float64] = np.divide(
        summed, positives, out=np.zeros(n_labels), where=positives > 0
    )
    return result


def mean_average_precision(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> float:
    """Mean of `average_precision` over labels."""
    return float(average_precision(probabilities, targets).mean())


def roc_auc_per_label(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Area under the ROC curve per label (n_labels,), by the rank sum of the positives.

    NaN for a label that every clip has, or none.
    """
    n_clips, n_labels = probabilities.shape
    positive = targets != 0
    n_positive = positive.sum(axis=0, dtype=np.float64)
    n_negative = n_clips - n_positive
    if n_clips == 0:
        return np.full(n_labels, np.nan)
    # It takes longer to import than most other scores take.
    from scipy import stats

    ranks = stats.rankdata(probabilities, axis=0)
    rank_sum = np.where(positive, ranks, 0.0).sum(axis=0)
    wins = rank_sum - n_positive * (n_positive + 1) / 2
    pairs = n_positive * n_negative
    result: npt.NDArray[np.float64] = np.divide(
        wins, pairs, out=np.full(n_labels, np.nan), where=pairs > 0
    )
    return result


def area_under_roc(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> float:
    """Mean of `roc_auc_per_label`; NaN where it is undefined for any label."""
    return float(roc_auc_per_label(probabilities, targets).mean())


def d_prime(probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]) -> float:
    """Mean over labels of ``sqrt(2) * Phi^-1(AUC)``.

    NaN where an AUC is undefined; infinite where a label is separated perfectly.
    """
    from scipy import special

    per_label = math.sqrt(2.0) * special.ndtri(roc_auc_per_label(probabilities, targets))
    if np.isposinf(per_label).any() and np.isneginf(per_label).any():
        return float("nan")
    return float(per_label.mean())


MAP = SceneScore("mAP", mean_average_precision, True, "mean average precision over labels")
AUCROC = SceneScore("aucroc", area_under_roc, True, "area under the ROC curve, mean over labels")
D_PRIME = SceneScore("d_prime", d_prime, True, "d', the separation in standard deviations")
