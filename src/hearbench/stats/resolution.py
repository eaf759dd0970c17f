"""Differences between models that a task's test clips can tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.stats.distributions import t_quantile
from hearbench.stats.intervals import spread

__all__ = ["Resolution", "resolution"]


@dataclass(frozen=True)
class Resolution:
    """Differences between models that the test clips can tell apart, in units of the score.

    Attributes:
        alone: Half-width of the interval of one score: "88 clips: +-4 points".
        paired: Half-width of the interval of the difference of two models on the same clips;
            a smaller observed difference is not distinguished from 0.
        detectable: The true difference that is distinguished from 0 with probability ``power``.
        agreement: Correlation of two models' scores over resamples that ``paired`` supposes.
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
