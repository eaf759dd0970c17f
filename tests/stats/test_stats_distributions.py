"""The functions of scipy.special against those of scipy.stats, bit for bit."""

import math

import pytest
from scipy import stats

from hearbench.stats.distributions import t_quantile, t_tail

FREEDOM = [1, 2, 3, 9.7, 59, 1234.5, 10**7, math.inf]


@pytest.mark.parametrize("freedom", FREEDOM)
def test_students_t(freedom: float) -> None:
    for p in (1e-9, 0.025, 0.5, 0.9, 0.975, 0.9995):
        assert t_quantile(p, freedom) == stats.t.ppf(p, freedom)
    for value in (-30.0, -1.0, 0.0, 1e-3, 1.96, 12.0, 400.0, math.inf):
        assert t_tail(value, freedom) == stats.t.sf(value, freedom)
    assert math.isnan(t_quantile(math.nan, freedom))
    assert math.isnan(t_tail(math.nan, freedom))
