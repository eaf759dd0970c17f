"""Means and deviations over the folds of a task."""

from __future__ import annotations

import math
import statistics

import numpy as np

__all__ = ["mean_std"]


def mean_std(values: list[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (ddof 1), which a single value has none of."""
    if len(values) == 1:
        return values[0], None
    if not all(math.isfinite(value) for value in values):
        # Infinities of both signs have no mean; those of one sign have no deviation.
        with np.errstate(invalid="ignore"):
            return float(np.mean(values)), math.nan
    return statistics.fmean(values), statistics.stdev(values)
