"""Intervals of distance scores from standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import special

from hearbench.distance.record import IntervalRecord
from hearbench.stats.distributions import t_quantile

__all__ = ["mean_error", "share_interval"]


def mean_error(errors: Sequence[float]) -> float | None:
    """The standard error of a mean over folds, whose clips are drawn independently.

    None where that of a fold isn't known, or is 0: then the clips show no spread at all, which
    says nothing of other clips.
    """
    if not all(math.isfinite(error) for error in errors) or not any(errors):
        return None
    return math.sqrt(sum(error**2 for error in errors)) / len(errors)


def share_interval(
    mean: float, error: float | None, n_clips: int, n_folds: int, level: float
) -> IntervalRecord | None:
    """The interval of a score between 0 and 1.

    Student's t on the logit scale, on which a score near 0 or 1 has a symmetric spread.

    Args:
        mean: The score, or its mean over folds.
        error: Its standard error.
        n_clips: Clips of all folds together.
        n_folds: Test splits.
        level: Between 0 and 1.

    Returns:
        None without a standard error, and for a score of exactly 0 or 1.
    """
    if error is None or not 0 < mean < 1:
        return None
    quantile = t_quantile((1 + level) / 2, max(1, n_clips - n_folds))
    reach = quantile * error / (mean * (1 - mean))
    centre = float(special.logit(mean))
    return IntervalRecord(
        low=float(special.expit(centre - reach)), high=float(special.expit(centre + reach))
    )
