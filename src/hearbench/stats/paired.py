"""Comparisons of models on the same test clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.metrics import get_scene_score
from hearbench.metrics.event_lists import EventArrays, concatenate_events
from hearbench.metrics.frame_arrays import FrameArrays, concatenate_frames
from hearbench.metrics.tagging import AUCROC, D_PRIME, MAP
from hearbench.stats.clip_scores import ClipScore, event_clip_score, scene_clip_score
from hearbench.stats.distributions import t_quantile, t_tail
from hearbench.stats.intervals import UNBOUNDED, Interval, bootstrap_interval, spread

__all__ = [
    "Resolution",
    "bootstrap_p_value",
    "difference_interval",
    "holm",
    "holm_divisors",
    "permutation_p_value",
    "pooled_event_clip_score",
    "pooled_scene_clip_score",
    "resolution",
]

_CELLS_PER_BLOCK = 1 << 22
# A variance this small is rounding.
_NO_VARIANCE = 1e-24
# A share of the score's range below which a width is rounding.
_NO_WIDTH = 1e-9


def difference_interval(
    difference: float,
    replicates: npt.NDArray[np.float64],
    *,
    n_clips: int | Sequence[int],
    level: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Interval:
    """The interval of the difference of two models on the same clips.

    Args:
        difference: A's score minus B's, each a mean over folds (and seeds).
        replicates: (n_resamples,) of the same difference, A and B on the same resamples: of
            `hearbench.stats.resampling.bootstrap`, ``found[a].mean(0) - found[b].mean(0)``.
        n_clips: Test clips of each fold.
        level: Between 0 and 1.
        bounds: Bounds of the score. With finite ones, models that agree on all n clips get an
            interval too: that of the share of clips on which they may differ, of which n clips
            without one say that it is at most ``1 - (tail / 2) ** (1 / n)`` (Clopper and
            Pearson, Biometrika 26, 1934), with ``tail`` being ``1 - level``.

    Returns:
        NaN where `hearbench.stats.intervals.bootstrap_interval` has it.
    """
    found = bootstrap_interval(difference, replicates, n_clips=n_clips, level=level)
    reach = bounds[1] - bounds[0]
    # Where resamples differ by rounding alone they say no more than equal ones.
    if math.isfinite(reach) and found.high - found.low <= _NO_WIDTH * reach:
        half = reach * (1 - ((1 - level) / 2) ** (1 / int(np.sum(n_clips))))
        return Interval(max(-reach, found.low - half), min(reach, found.high + half))
    return found


def bootstrap_p_value(
    difference: float, replicates: npt.NDArray[np.float64], *, n_clips: int | Sequence[int]
) -> float:
    """Two-sided p-value of no difference: 1 - the level at which the interval touches 0.

    With few clips on which the models differ, `permutation_p_value` keeps its size better.

    Args:
        difference: The observed difference of the scores.

    Returns:
        NaN where that interval is. Where all resamples have the same difference, 1 if it is 0,
        otherwise that of a sign test in which each clip speaks for the same model.
    """
    defined = replicates[~np.isnan(replicates)]
    if math.isnan(difference) or 2 * len(defined) < len(replicates) or len(defined) < 2:
        return math.nan
    if not (math.isfinite(difference) and np.isfinite(defined).all()):
        return math.nan
    variance, freedom = spread(defined, n_clips)
    if variance <= _NO_VARIANCE:
        return 1.0 if difference == 0 else min(1.0, 2 * 0.5 ** int(np.sum(n_clips)))
    return 2 * t_tail(abs(difference) / math.sqrt(variance), freedom)


def pooled_scene_clip_score(
    name: str,
    probabilities_a: npt.NDArray[np.floating],
    probabilities_b: npt.NDArray[np.floating],
    targets: npt.NDArray[np.integer],
) -> ClipScore:
    """The score of 2 n clips, A's predictions and then B's, for `permutation_p_value`.

    For scores that only look at the order of clips under a label, each model's probabilities
    are replaced by their ranks, so that a mixture of a model with small probabilities and one
    with large ones is still an order.

    Args:
        name: See `hearbench.metrics.score_names`.
        probabilities_a: A's probabilities, (n_clips, n_labels).
        probabilities_b: B's probabilities, (n_clips, n_labels).
        targets: (n_clips, n_labels), multi-hot.

    Raises:
        UnknownNameError: There is no such score.
    """
    pair = [probabilities_a, probabilities_b]
    if get_scene_score(name) in (MAP, AUCROC, D_PRIME):
        from scipy import stats

        pair = [stats.rankdata(each, axis=0) for each in pair]
    return scene_clip_score(name, np.concatenate(pair), np.concatenate([targets, targets]))


def pooled_event_clip_score(
    name: str,
    reference: EventArrays,
    estimate_a: EventArrays | FrameArrays,
    estimate_b: EventArrays | FrameArrays,
    n_clips: int,
    labels: Sequence[str],
) -> ClipScore:
    """The score of 2 n clips, A's events or frames and then B's, for `permutation_p_value`.

    Each model's probabilities of frames are replaced by their ranks under each label, as a score
    that looks at all thresholds only looks at the frames' order.

    Args:
        name: See `hearbench.metrics.event_score_names`.
        reference: Events whose clips, as in the estimates, are positions below ``n_clips``.
        estimate_a: What the score reads, of A.
        estimate_b: The same of B.
        n_clips: Clips in all, those without events too.

    Raises:
        UnknownNameError: There is no such score.
    """
    both: EventArrays | FrameArrays
    if isinstance(estimate_a, FrameArrays) and isinstance(estimate_b, FrameArrays):
        both = concatenate_frames([_ranked(estimate_a), _ranked(estimate_b)])
    elif isinstance(estimate_a, EventArrays) and isinstance(estimate_b, EventArrays):
        both = concatenate_events([estimate_a, estimate_b.shifted(n_clips)])
    else:
        raise TypeError("one estimate is of events, and the other one of frames")
    doubled = concatenate_events([reference, reference.shifted(n_clips)])
    return event_clip_score(name, doubled, both, 2 * n_clips, labels)


def _ranked(frames: FrameArrays) -> FrameArrays:
    """The same with ranks, from 0 to 1, for probabilities."""
    from scipy import stats

    ranks = stats.rankdata(frames.probabilities, axis=0) / max(1, len(frames.probabilities))
    return FrameArrays(ranks, frames.bounds, frames.timestamps_ms)


def permutation_p_value(
    pooled: Sequence[Sequence[ClipScore]], *, n_permutations: int, seed: int
) -> float:
    """Two-sided p-value of the hypothesis that on each clip the models are interchangeable.

    A permutation swaps the two models' predictions on a random half of the clips. The
    statistic is the difference of the scores, averaged over folds and seeds; the p-value is
    ``(1 + permutations with at least the observed difference) / (1 + n_permutations)``.

    Args:
        pooled: Per fold, and there per pair of seeds, a score of A's clips followed by B's:
            `pooled_scene_clip_score`, `pooled_event_clip_score`. All of a fold have the same
            clips, which swap together.
        seed: Seed of the permutations.

    Returns:
        NaN if the observed difference is undefined. A permutation of which it is undefined
        counts as one that reaches the observed difference.
    """
    observed = np.zeros(1)
    swapped = np.zeros(n_permutations)
    for fold, scores in enumerate(pooled):
        n_clips = scores[0].n_clips // 2
        one = np.ones((1, n_clips), dtype=np.float32)
        observed = observed + _difference(scores, one) / len(pooled)
        per_block = max(1, _CELLS_PER_BLOCK // max(1, n_clips))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(fold,)))
        for start in range(0, n_permutations, per_block):
            stop = min(n_permutations, start + per_block)
            keeps = rng.integers(0, 2, (stop - start, n_clips), dtype=np.int8).astype(np.float32)
            swapped[start:stop] += _difference(scores, keeps) / len(pooled)
    reached = float(np.abs(observed[0]))
    if math.isnan(reached):
        return math.nan
    # Equal differences must count as equal whatever the rounding of their sums.
    less = np.abs(swapped) < reached - 1e-9 * max(1.0, reached)
    return (1 + int((~less).sum())) / (1 + n_permutations)


def _difference(
    scores: Sequence[ClipScore], keeps: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """(n_permutations,) where ``keeps`` is 1, A has its own prediction, elsewhere B's."""
    mixture = np.concatenate([keeps, 1 - keeps], axis=1)
    other = np.concatenate([1 - keeps, keeps], axis=1)
    found = np.zeros(len(keeps))
    for score in scores:
        found += (score(mixture) - score(other)) / len(scores)
    return found


def holm_divisors(p_values: Sequence[float], alpha: float) -> npt.NDArray[np.float64]:
    """The divisors of the level at which Holm's method looks at each test.

    It goes through the tests by their p-values, divides alpha by the number of those that are
    still to be looked at, and stops at the first that isn't below: that one and all after it are
    judged at the level at which it stopped. So an interval of the level ``1 - alpha / divisor``
    leaves out 0 if and only if `holm`'s adjusted value is at most alpha, provided that it is of
    the same test as p. Source: Strassburger and Bretz, "Compatible simultaneous lower confidence
    bounds for the Holm procedure", Statistics in Medicine 27(24), 2008, for those that aren't
    rejected.

    Args:
        p_values: Each test's p; NaN for a test that couldn't be made, whose divisor is that of
            those that aren't rejected.
        alpha: The level of all tests together.
    """
    adjusted = holm(p_values)
    rejected = adjusted <= alpha
    left = int((~np.isnan(adjusted) & ~rejected).sum())
    divisors = np.full(adjusted.shape, max(1.0, float(left)))
    p = np.asarray(p_values, dtype=np.float64)
    ahead = np.flatnonzero(rejected)
    order = ahead[np.argsort(p[ahead], kind="stable")]
    divisors[order] = left + np.arange(len(order), 0, -1)
    return divisors


def holm(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Holm's adjusted p-values: small ones stay small although many were looked at.

    Rejecting where the adjusted value is at most alpha makes one or more false rejections
    with a probability of at most alpha, whatever the dependence of the tests. Source: Holm,
    "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statistics 6, 1979.

    Args:
        p_values: Each test's p; NaN for a test that couldn't be made, which stays NaN and
            doesn't count.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return adjusted


@dataclass(frozen=True)
class Resolution:
    """Differences between models that the test clips can tell apart, in units of the score.

    Attributes:
        alone: Half-width of the interval of one score: "88 clips: +-4 points".
        paired: Half-width of the interval of the difference of two models on the same clips;
            a smaller observed difference is not distinguished from 0.
        detectable: The true difference that is distinguished from 0 with probability ``power``.
        agreement: Correlation of two models' scores over resamples that ``paired`` supposes.
        n_clips: Test clips in all.
    """

    alone: float
    paired: float
    detectable: float
    agreement: float
    n_clips: int


def resolution(
    replicates: npt.NDArray[np.float64],
    *,
    n_clips: int | Sequence[int],
    level: float = 0.95,
    power: float = 0.8,
    agreement: float | None = None,
) -> Resolution:
    """The smallest difference that the clips can resolve.

    Args:
        replicates: (n_models, n_resamples) of one task's score, all models on the same
            resamples; one model is enough if ``agreement`` is given.
        n_clips: Test clips of each fold.
        level: Confidence level of the intervals.
        power: Probability with which ``detectable`` is detected.
        agreement: Correlation of two models' replicates, at most 1; None to measure it as the
            mean over all pairs of models (0 for a single model: as if their clips differed).

    Returns:
        With several models, of their mean variance. NaN if no two resamples have a finite
        score of all models.
    """
    defined = replicates[:, np.isfinite(replicates).all(axis=0)]
    if defined.shape[1] < 2:
        return Resolution(math.nan, math.nan, math.nan, math.nan, int(np.sum(n_clips)))
    spreads = [spread(row, n_clips) for row in defined]
    variance = float(np.mean([variance for variance, _ in spreads]))
    freedom = spreads[0][1]
    if agreement is None:
        agreement = _agreement(defined)
    upper = t_quantile((1 + level) / 2, freedom)
    deviation = math.sqrt(max(0.0, 2 * (1 - agreement) * variance))
    return Resolution(
        alone=upper * math.sqrt(variance),
        paired=upper * deviation,
        detectable=(upper + t_quantile(power, freedom)) * deviation,
        agreement=agreement,
        n_clips=int(np.sum(n_clips)),
    )


def _agreement(replicates: npt.NDArray[np.float64]) -> float:
    varying = replicates[replicates.std(axis=1) > 0]
    if len(varying) < 2:
        return 0.0
    correlations = np.corrcoef(varying)
    return float(correlations[np.triu_indices(len(varying), 1)].mean())
