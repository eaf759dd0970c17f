"""Means and deviations over the folds of a task, and whether two of them are the same."""

from __future__ import annotations

import math
import statistics

import numpy as np

__all__ = ["mean_std", "same_number"]

_CLOSE = 1e-9


def mean_std(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (ddof 1), which a single value has none of."""
    if len(values) == 1:
        return values[0], None
    if not all(math.isfinite(value) for value in values):
        # Infinities of both signs have no mean; those of one sign have no deviation.
        with np.errstate(invalid="ignore"):
            return float(np.mean(values)), math.nan
    return statistics.fmean(values), statistics.stdev(values)


def same_number(a: float | None, b: float | None) -> bool:
    """Whether two numbers differ by no more than rounding; None is as undefined as NaN.

    A deviation that is NaN is null in ``result.json``, and so is one that there is none of.
    """
    x, y = (math.nan if value is None else value for value in (a, b))
    return (math.isnan(x) and math.isnan(y)) or math.isclose(x, y, rel_tol=_CLOSE, abs_tol=_CLOSE)
