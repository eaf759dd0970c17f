import math

import numpy as np
import pytest
from scipy import stats

from hearbench.stats.paired import bootstrap_p_value, difference_interval, resolution


def two_models(correlation: float, n: int = 40000) -> np.ndarray:
    rng = np.random.default_rng(0)
    covariance = 0.02**2 * np.array([[1, correlation], [correlation, 1]])
    return np.asarray(rng.multivariate_normal([0.8, 0.8], covariance, n).T)


def test_88_clips() -> None:
    sd = math.sqrt(0.96 * 0.04 / 88)
    replicates = np.random.default_rng(1).binomial(88, 0.96, (1, 40000)) / 88
    found = resolution(replicates, n_clips=88, agreement=0.5)
    assert found.alone == pytest.approx(1.9876 * sd, rel=0.02)
    assert round(100 * found.alone) == 4
    # Independent errors of two halves: sqrt(2 (1 - 1/2)) = 1.
    assert found.paired == pytest.approx(found.alone)
    assert found.n_clips == 88


def test_agreement_is_measured() -> None:
    replicates = two_models(0.7)
    found = resolution(replicates, n_clips=[50, 50])
    assert found.agreement == pytest.approx(0.7, abs=0.01)
    interval = difference_interval(0.0, replicates[0] - replicates[1], n_clips=[50, 50])
    assert found.paired == pytest.approx(interval.half_width, rel=0.01)
    assert resolution(replicates[:1], n_clips=100).agreement == 0.0


def test_detectable_differences_are_detected_as_often_as_said() -> None:
    replicates = two_models(0.7)
    found = resolution(replicates, n_clips=100, power=0.8)
    difference = replicates[0] - replicates[1]
    rng = np.random.default_rng(2)
    observed = found.detectable + rng.permutation(difference)[:3000]
    reached = [abs(d) > found.paired for d in observed]
    assert np.mean(reached) == pytest.approx(0.8, abs=0.025)
    assert bootstrap_p_value(found.paired, difference, n_clips=100) == pytest.approx(
        0.05, abs=0.002
    )


def test_undefined_replicates() -> None:
    replicates = two_models(0.3, 500)
    replicates[0, :100] = np.nan
    replicates[1, 50:200] = np.inf
    found = resolution(replicates, n_clips=80)
    assert found == resolution(replicates[:, 200:], n_clips=80)
    nothing = resolution(np.full((2, 9), np.nan), n_clips=80)
    assert math.isnan(nothing.alone)
    assert nothing.n_clips == 80
    same = np.vstack([replicates[0, 200:], replicates[0, 200:]])
    assert resolution(same, n_clips=80).paired == pytest.approx(0.0, abs=1e-8)
    assert stats.t.ppf(0.975, 79) * same[0].std() == pytest.approx(
        resolution(same, n_clips=80).alone, rel=0.01
    )
