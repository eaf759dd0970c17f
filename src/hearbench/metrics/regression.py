"""Scores of predicted numbers: R2, Pearson's r, concordance correlation, mean absolute error.

``R2``, ``PEARSON_R``, ``CCC`` and ``MAE`` are each computed per target over clips, and then
averaged over targets with equal weight. All follow from sums over clips, so the same formulas
serve clips as they are and resamples of them.

Where a target is the same for all clips, nothing is to be explained: R2 is 1 if all of it is
predicted exactly and else 0, as of scikit-learn's ``r2_score``; Pearson's r is undefined (NaN), as
of scipy's ``pearsonr``, also where the prediction is the same for all clips; the concordance is 0,
or undefined if the prediction is that same number.

Sources: Lin, "A Concordance Correlation Coefficient to Evaluate Reproducibility", Biometrics
45(1), 1989, with variances divided by n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.metrics.scores import SceneScore

__all__ = ["CCC", "FORMULAS", "MAE", "PEARSON_R", "R2", "clip_sums"]

_Floats = npt.NDArray[np.float64]

# Below this share of the mean square, a variance is the rounding of its sums.
_LEAST_SHARE = 1e-12


def clip_sums(predicted: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> _Floats:
    """What is summed over clips, (n_clips, 9, n_targets).

    Args:
        predicted: (n_clips, n_targets).
        targets: (n_clips, n_targets).
    """
    p, y = predicted.astype(np.float64), targets.astype(np.float64)
    error = p - y
    # Around a value in their middle, so that little is lost where spreads are small.
    p, y = p - np.median(p, axis=0), y - np.median(y, axis=0)
    parts = [np.ones_like(y), y, p, y * y, p * p, y * p, error, error * error, abs(error)]
    return np.stack(parts, axis=1)


@dataclass(frozen=True)
class _Moments:
    """Means over clips, each (..., n_targets), from sums of `clip_sums`.

    Attributes:
        count: How many clips.
        error: Mean of prediction minus target.
    """

    count: _Floats
    variance: _Floats
    predicted_variance: _Floats
    covariance: _Floats
    error: _Floats
    squared_error: _Floats
    absolute_error: _Floats

    @classmethod
    def of(cls, sums: _Floats) -> _Moments:
        count = sums[..., 0, :]
        with np.errstate(divide="ignore", invalid="ignore"):
            y, p, yy, pp, yp, error, squared, absolute = np.moveaxis(
                sums[..., 1:, :] / count[..., None, :], -2, 0
            )
        return cls(
            count=count,
            variance=_variance(yy, y),
            predicted_variance=_variance(pp, p),
            covariance=yp - y * p,
            error=error,
            squared_error=squared,
            absolute_error=absolute,
        )


def _variance(mean_square: _Floats, mean: _Floats) -> _Floats:
    variance = mean_square - mean * mean
    return np.where(variance > _LEAST_SHARE * mean_square, variance, variance * 0.0)


def _r2(sums: _Floats) -> _Floats:
    found = _Moments.of(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1.0 - found.squared_error / found.variance
    same = np.where(found.squared_error == 0.0, 1.0, 0.0)
    r2 = np.where(found.variance == 0.0, same, r2)
    return _averaged(np.where(found.count < 2, np.nan, r2))


def _pearson_r(sums: _Floats) -> _Floats:
    found = _Moments.of(sums)
    product = np.sqrt(found.variance) * np.sqrt(found.predicted_variance)
    return _averaged(np.clip(_divided(found.covariance, product), -1.0, 1.0))


def _ccc(sums: _Floats) -> _Floats:
    found = _Moments.of(sums)
    constant = (found.variance == 0.0) | (found.predicted_variance == 0.0)
    covariance = np.where(constant, found.covariance * 0.0, found.covariance)
    spread = found.variance + found.predicted_variance + found.error**2
    return _averaged(np.clip(_divided(2.0 * covariance, spread), -1.0, 1.0))


def _mae(sums: _Floats) -> _Floats:
    return _averaged(_Moments.of(sums).absolute_error)


def _divided(above: _Floats, below: _Floats) -> _Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 0.0, above / below, np.nan))


def _averaged(per_target: _Floats) -> _Floats:
    """The mean over targets."""
    return np.asarray(per_target.mean(axis=-1))


def _score(name: str, title: str, *, maximise: bool) -> SceneScore:
    def of_clips(predicted: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> float:
        return float(FORMULAS[name](clip_sums(predicted, targets).sum(axis=0)))

    return SceneScore(name, of_clips, maximise=maximise, title=title)


FORMULAS: dict[str, Callable[[_Floats], _Floats]] = {
    "r2": _r2,
    "pearson_r": _pearson_r,
    "ccc": _ccc,
    "mae": _mae,
}
"""By name, what makes scores (...) of sums over clips (..., 9, n_targets)."""

R2 = _score("r2", "coefficient of determination R2, mean over targets", maximise=True)
PEARSON_R = _score("pearson_r", "Pearson's correlation, mean over targets", maximise=True)
CCC = _score("ccc", "Lin's concordance correlation, mean over targets", maximise=True)
MAE = _score("mae", "mean absolute error, mean over targets", maximise=False)
