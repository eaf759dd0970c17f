"""Means and deviations over the folds of a task, and whether two of them are the same.

A fold whose score is undefined is left out, as in the published evaluation (which takes pandas'
mean and standard deviation).
"""

from __future__ import annotations

import math
import statistics

import numpy as np
import numpy.typing as npt

__all__ = [
    "common_folds",
    "mean_of_seeds",
    "mean_std",
    "means_over_folds",
    "same_number",
]

_CLOSE = 1e-9

_Floats = npt.NDArray[np.float64]


def mean_std(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (ddof 1) of the values that are defined.

    A single value has no deviation (None); one that is left of several has an undefined one.
    """
    if len(values) == 1:
        return values[0], None
    defined = [value for value in values if not math.isnan(value)]
    if not all(math.isfinite(value) for value in defined):
        # Infinities of both signs have no mean; those of one sign have no deviation.
        with np.errstate(invalid="ignore"):
            return float(np.mean(defined)), math.nan
    if len(defined) < 2:
        return (defined[0] if defined else math.nan), math.nan
    return statistics.fmean(defined), statistics.stdev(defined)


def means_over_folds(scores: npt.NDArray[np.floating]) -> _Floats:
    """The mean of each seed's scores (n_seeds, n_folds) over its folds, (n_seeds,)."""
    if scores.size and not np.isnan(scores).any():
        return np.asarray(scores.mean(axis=1), dtype=np.float64)
    return np.array([mean_std(row)[0] for row in scores.tolist()], dtype=np.float64)


def mean_of_seeds(scores: npt.NDArray[np.floating]) -> float:
    """The mean over seeds of `means_over_folds`; undefined if that of a seed is."""
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return float(means_over_folds(scores).mean())


def common_folds(*scores: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which folds (n_folds,) are defined in all of some scores (n_seeds, n_folds)."""
    there: npt.NDArray[np.bool_] = ~np.any([np.isnan(each).any(axis=0) for each in scores], axis=0)
    return there


def same_number(a: float | None, b: float | None) -> bool:
    """Whether two numbers differ by no more than rounding; None is as undefined as NaN.

    A deviation that is NaN is null in ``result.json``, and so is one that there is none of.
    """
    x, y = (math.nan if value is None else value for value in (a, b))
    return (math.isnan(x) and math.isnan(y)) or math.isclose(x, y, rel_tol=_CLOSE, abs_tol=_CLOSE)
