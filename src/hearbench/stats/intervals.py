"""Intervals of scores from bootstrap replicates.

From the replicates only their variance is taken; the interval is that of a score test. It holds
the values v for which ``(estimate - v)^2`` is at most ``t^2`` times the variance that the score
would have if its true value were v. How a score's variance goes with its value follows from
its bounds: for a share in [0, 1] it goes with ``v (1 - v)``, for a rate from 0 up with ``v``,
for a score without bounds it is the same everywhere. With accuracies this is Wilson's interval
("Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927), with
the number of clips that would have given the variance in place of the number of clips, as for
proportions in surveys (Korn and Graubard, "Confidence intervals for proportions with small
expected number of positive counts estimated from survey data", Survey Methodology 24, 1998),
and Student's t instead of the normal quantile. Without bounds it is ``estimate +- t sd``.

Percentiles of the replicates are not used as they fail where benchmarks are: with few clips and
scores near 1 they cover far less than they say, and the mean average precision of a resample,
which has clips several times, is larger than that of as many different clips. The replicates'
variance doesn't mind that. ``benchmarks/interval_coverage.py`` compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.stats.distributions import t_quantile

__all__ = ["UNBOUNDED", "Interval", "bootstrap_interval", "score_interval", "spread"]

# Least and largest value of a score that has neither.
UNBOUNDED = (-math.inf, math.inf)

# Variances this small next to the range of a score are rounding.
_NO_VARIANCE = 1e-24


@dataclass(frozen=True)
class Interval:
    """An interval from ``low`` to ``high``; both NaN where nothing can be said."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of ``high - low``."""
        return (self.high - self.low) / 2

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def bootstrap_interval(
    estimate: float,
    replicates: npt.NDArray[np.float64],
    *,
    n_clips: int | Sequence[int],
    level: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
    seed_scores: Sequence[float] = (),
) -> Interval:
    """The interval of a score, of a mean of scores, or of a difference.

    It is for the score that the same model gets on average on test sets of this size that are
    drawn as this one was.

    Args:
        estimate: The score on the clips as they are.
        replicates: (n_resamples,) its bootstrap replicates. Those that are NaN are left out.
        n_clips: Test clips; of each fold, if the estimate is a mean over folds.
        level: Between 0 and 1.
        bounds: Least and largest possible value, `ClipScore.bounds`. Leave it out for a
            difference.
        seed_scores: The score of each seed, if the estimate is their mean and the interval
            shall hold for the mean over all seeds that there could be. The variance of their
            mean is added; at least two to have any effect.

    Returns:
        Within the bounds; NaN if the estimate is, or if more than half of the replicates are.
        If the estimate or a replicate is infinite (a d' with a label that is told apart
        perfectly), the replicates' percentiles, of which an end may be infinite.
    """
    defined = replicates[~np.isnan(replicates)]
    if math.isnan(estimate) or 2 * len(defined) < len(replicates) or len(defined) < 2:
        return Interval(math.nan, math.nan)
    if math.isinf(estimate) or np.isinf(defined).any():
        # Percentiles that are values: an infinite one next to a finite one has no mean.
        low = float(np.quantile(defined, (1 - level) / 2, method="lower"))
        high = float(np.quantile(defined, (1 + level) / 2, method="higher"))
        return Interval(min(low, estimate), max(high, estimate))
    variance, freedom = spread(defined, n_clips, seed_scores)
    return score_interval(
        estimate,
        variance,
        freedom=freedom,
        n_clips=int(np.sum(n_clips)),
        level=level,
        bounds=bounds,
    )


def score_interval(
    estimate: float,
    variance: float,
    *,
    freedom: float,
    n_clips: int,
    level: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Interval:
    """The interval of an estimate of which the variance is known; see the module.

    Args:
        estimate: The estimate, within the bounds.
        variance: Variance of the estimate.
        freedom: Degrees of freedom of the variance.
        n_clips: Test clips in all. Where the variance is 0, as all clips are right (or all
            wrong), the interval is as wide as that of an accuracy with so many clips.
        level: Between 0 and 1.
        bounds: Both finite, one of them, or none.
    """
    low, high = bounds
    t = t_quantile((1 + level) / 2, freedom)
    if math.isinf(low) and math.isfinite(high):
        # What is missing to the highest value has a lowest one.
        missing = score_interval(
            -estimate,
            variance,
            freedom=freedom,
            n_clips=n_clips,
            level=level,
            bounds=(-high, math.inf),
        )
        return Interval(-missing.high, -missing.low)
    if math.isinf(low):
        half = t * math.sqrt(variance)
        return Interval(estimate - half, estimate + half)
    if math.isinf(high):
        value = estimate - low
        size = _size(value, variance, n_clips)
        centre = value + t * t / (2 * size)
        half = t * math.sqrt(value / size + (t / (2 * size)) ** 2)
        return Interval(low + (max(0.0, centre - half) if value > 0 else 0.0), low + centre + half)
    reach = high - low
    value = (estimate - low) / reach
    size = _size(value * (1 - value), variance / reach**2, n_clips)
    shrunk = 1 + t * t / size
    centre = (value + t * t / (2 * size)) / shrunk
    half = t / shrunk * math.sqrt(value * (1 - value) / size + (t / (2 * size)) ** 2)
    # At a bound, rounding must not take the interval's end off it.
    return Interval(
        low + reach * max(0.0, centre - half) if value > 0 else low,
        low + reach * min(1.0, centre + half) if value < 1 else high,
    )


def _size(variance_of_one: float, variance: float, n_clips: int) -> float:
    """The number of independent clips that would give that variance."""
    if variance <= _NO_VARIANCE or variance_of_one <= 0:
        return max(1.0, float(n_clips))
    return variance_of_one / variance


def spread(
    replicates: npt.NDArray[np.float64],
    n_clips: int | Sequence[int],
    seed_scores: Sequence[float] = (),
) -> tuple[float, float]:
    """Variance of the estimate that the replicates are of, and its degrees of freedom.

    The variance over resamples is that of clips with ``n`` in place of ``n - 1`` below the sum
    of squares, which is set right here (Hesterberg, "What Teachers Should Know About the
    Bootstrap", The American Statistician 69(4), 2015). The variance of the mean over seeds is
    added; degrees of freedom are Satterthwaite's.

    Args:
        replicates: (n_resamples,) finite.
        n_clips: Test clips of each fold.
        seed_scores: See `bootstrap_interval`.
    """
    sizes = np.atleast_1d(np.asarray(n_clips, dtype=np.float64))
    per_fold = float(sizes.mean())
    freedom = max(1.0, float((sizes - 1).sum()))
    variance = float(replicates.var()) * per_fold / max(1.0, per_fold - 1)
    if len(seed_scores) > 1:
        of_seeds = float(np.var(seed_scores, ddof=1)) / len(seed_scores)
        total = variance + of_seeds
        if of_seeds > 0:
            freedom = total**2 / (variance**2 / freedom + of_seeds**2 / (len(seed_scores) - 1))
        variance = total
    return variance, freedom
