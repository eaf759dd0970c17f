"""Variance of a mean score by its sources: test clips, seeds, and what folds have beside.

A score of one training is taken to be a sum of independent effects, of which those of each kind
have one variance::

    y[s, k] = mean + fold[k] + clips[k] + seed[s] + run[s, k] + clips_of_run[s, k]

``fold`` is what another choice of training and test clips would change, ``clips`` the luck of the
test clips drawn, which every seed shares, ``seed`` and ``run`` the luck of the training, in all
folds alike or in each by itself, and ``clips_of_run`` the luck of the test clips in as far as it
differs from seed to seed. What is known of them, with S seeds and K folds:

- ``C``, the variance of the mean over resamples of the test clips. It is that of ``clips`` and,
  divided by S, that of ``clips_of_run``.
- ``A``, the variance over seeds of the mean over folds, expected to be
  ``seed + run / K + W`` where ``W``, the part of ``clips_of_run``, is known from the resamples of
  each seed's difference from the mean over seeds.
- ``M``, the mean square of what seeds and folds leave, expected to be ``run + K W``.
- ``B``, the variance over folds of the mean over seeds, expected to be ``fold + K C + run / S``.

Solved for the variances, none below 0, the variance of the mean is::

    C  +  max(0, A - W) / S  +  max(0, B - K C - max(0, M - K W) / S) / K

So noise of the test clips, of which seeds and folds have theirs as well, is counted once. With
one seed ``seed`` can't be known, and ``run`` is in what the folds have beside; with one fold
``fold`` can't be. The degrees of freedom are Satterthwaite's ("An approximate distribution of
estimates of variance components", Biometrics Bulletin 2(6), 1946).

The difference of two models on the same test clips is a mean of this kind too: C and B are those
of the difference, and each model adds the variance of its own seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.stats.distributions import t_tail
from hearbench.stats.intervals import UNBOUNDED, Interval, score_interval
from hearbench.stats.paired import difference_interval

__all__ = ["NO_VARIANCE", "Term", "Variance", "variance_of"]

NO_VARIANCE = 1e-24
"""A variance this small is rounding."""

_ROUNDING = 1e-9

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """The scores of one model.

    Attributes:
        points: (n_seeds, n_folds) scores on the test clips.
        replicates: (n_seeds, n_folds, n_resamples) scores on their resamples, which are the same
            for all seeds.
        sign: 1, or -1 for the one that is subtracted.
    """

    points: _Floats
    replicates: _Floats
    sign: float = 1.0


@dataclass(frozen=True)
class Variance:
    """Variance of a mean, or of a difference of two, by source; a sum.

    Attributes:
        clips: Variance by the choice of test clips.
        seeds: Variance by the seeds beyond that by the test clips; None with one seed.
        folds: Variance by the folds beyond clips and seeds; None with one fold.
        degrees: Degrees of freedom of the sum.
        n_clips: Test clips in all.
    """

    clips: float
    seeds: float | None
    folds: float | None
    degrees: float
    n_clips: int

    @property
    def total(self) -> float:
        """The sum of what is known."""
        return self.clips + (self.seeds or 0.0) + (self.folds or 0.0)

    def interval(
        self, estimate: float, level: float, bounds: tuple[float, float] = UNBOUNDED
    ) -> Interval:
        """The interval of an estimate with this variance, within bounds.

        See `hearbench.stats.intervals.score_interval`.
        """
        return score_interval(
            estimate,
            self.total,
            freedom=self.degrees,
            n_clips=self.n_clips,
            level=level,
            bounds=bounds,
        )

    def difference_interval(self, difference: float, level: float, reach: float) -> Interval:
        """The interval of a difference with this variance.

        Args:
            difference: The number that has this variance.
            level: Between 0 and 1.
            reach: How large it could be at most.
        """
        if self.total <= NO_VARIANCE:  # nothing varies
            found = difference_interval(
                difference,
                np.full(2, difference),
                n_clips=self.n_clips,
                level=level,
                # Such that what a score can take is as far apart as that.
                bounds=(0.0, reach),
            )
        else:
            found = self.interval(difference, level)
        return Interval(max(-reach, found.low), min(reach, found.high))

    def p_value(self, estimate: float, reach: float = math.inf) -> float:
        """Two-sided, of the hypothesis that what is estimated is 0.

        Args:
            estimate: The number that has this variance.
            reach: How large it could be at most. Where nothing varies, p is one minus the level at
                which the interval of `hearbench.stats.paired.difference_interval` touches 0.
        """
        # No more can be said than if every clip had spoken for the same model.
        least = min(1.0, 2.0 ** (1 - self.n_clips))
        if self.total <= NO_VARIANCE:
            if abs(estimate) <= math.sqrt(NO_VARIANCE):
                return 1.0
            share = min(1.0, abs(estimate) / reach) if math.isfinite(reach) else 1.0
            return max(least, min(1.0, 2 * (1 - share) ** self.n_clips))
        p = 2 * t_tail(abs(estimate) / math.sqrt(self.total), self.degrees)
        return max(least, p)


def variance_of(terms: Sequence[Term], n_clips: Sequence[int]) -> Variance | None:
    """The variance of a sum of means over seeds and folds; see the module.

    A fold on which a model's score is undefined with every seed is left out, and so are resamples
    in which a score is.

    Args:
        terms: One model, or the two of a difference, with the same folds and resamples.
        n_clips: Test clips of each fold.

    Returns:
        None if nothing is left, if a score is infinite, or undefined with some seeds of a fold
        only, or is infinite in a resample, or undefined in more than half of them.
    """
    there = ~np.any([np.isnan(term.points).all(axis=0) for term in terms], axis=0)
    if not there.all():
        terms = [
            Term(term.points[:, there], term.replicates[:, there], term.sign) for term in terms
        ]
    if not there.any() or not all(np.isfinite(term.points).all() for term in terms):
        return None
    replicates = _usable([term.replicates for term in terms])
    if replicates is None:
        return None
    sizes = np.asarray(n_clips, dtype=np.float64)[there]
    n_folds = len(sizes)
    # A resample's variance has n clips in the place of n - 1.
    larger = sizes / np.maximum(1.0, sizes - 1)
    of_folds = sum(term.sign * r.mean(axis=0) for term, r in zip(terms, replicates, strict=True))
    clips = float((np.var(of_folds, axis=1) * larger).sum()) / n_folds**2
    seeds: float | None = None
    run_part = 0.0  # of the mean over seeds, in one fold
    # What each mean square adds, with its degrees of freedom, if its variance isn't 0.
    parts: list[tuple[float, float]] = [(clips, max(1.0, float((sizes - 1).sum())))]
    run_parts: list[tuple[float, float]] = []
    for term, resampled in zip(terms, replicates, strict=True):
        n_seeds = len(term.points)
        if n_seeds < 2:
            continue
        shared = _clips_of_run(resampled, larger)
        among = float(np.var(term.points.mean(axis=1), ddof=1))
        beyond = _positive(among - shared, among)
        seeds = (seeds or 0.0) + beyond / n_seeds
        if beyond:
            parts.append((among / n_seeds, n_seeds - 1))
        if n_folds > 1:
            left = _left_over(term.points)
            run = _positive(left - n_folds * shared, left)
            run_part += run / n_seeds
            if run:
                run_parts.append((left / (n_seeds * n_folds), (n_seeds - 1) * (n_folds - 1)))
    folds: float | None = None
    if n_folds > 1:
        means = sum(term.sign * term.points.mean(axis=0) for term in terms)
        among = float(np.var(means, ddof=1))
        beyond = _positive(among - n_folds * clips - run_part, among)
        folds = beyond / n_folds
        if beyond:
            parts += [(among / n_folds, n_folds - 1), *run_parts]
    total = clips + (seeds or 0.0) + (folds or 0.0)
    spread = sum(amount**2 / degrees for amount, degrees in parts)
    degrees = max(1.0, total**2 / spread) if spread else math.inf
    return Variance(clips, seeds, folds, degrees, int(sizes.sum()))


def _positive(left: float, of: float) -> float:
    """What is left of a variance; 0 where it is negative, or rounding."""
    return left if left > _ROUNDING * of else 0.0


def _usable(replicates: Sequence[_Floats]) -> list[_Floats] | None:
    """The resamples in which everything is defined, if they are enough to tell a variance."""
    if any(np.isinf(array).any() for array in replicates):
        return None
    there = ~np.any([np.isnan(array).any(axis=(0, 1)) for array in replicates], axis=0)
    if there.sum() < 2 or 2 * there.sum() < len(there):
        return None
    return [array if there.all() else array[..., there] for array in replicates]


def _clips_of_run(replicates: _Floats, larger: _Floats) -> float:
    """The part of the variance over seeds that resampling clips makes."""
    n_seeds, n_folds, _ = replicates.shape
    apart = replicates - replicates.mean(axis=0)
    of_folds = np.var(apart, axis=2).sum(axis=0) / (n_seeds - 1)
    return float((of_folds * larger).sum()) / float(n_folds**2)


def _left_over(points: _Floats) -> float:
    """Mean square of what neither seeds nor folds explain."""
    n_seeds, n_folds = points.shape
    left = points - points.mean(axis=0) - points.mean(axis=1, keepdims=True) + points.mean()
    return float((left**2).sum()) / float((n_seeds - 1) * (n_folds - 1))
