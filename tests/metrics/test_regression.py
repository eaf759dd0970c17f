"""Scores of predicted numbers, against scikit-learn and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score

from hearbench.errors import UnknownNameError
from hearbench.metrics import get_regression_score, get_score, regression_score_names
from hearbench.tasks.task_type import REGRESSION


def scores(predicted: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    return {name: get_regression_score(name)(predicted, targets) for name in REGRESSION.scores}


def slow_ccc(p: np.ndarray, y: np.ndarray) -> float:
    """By the formula in Lin's paper, for one target."""
    covariance = ((p - p.mean()) * (y - y.mean())).mean()
    return float(2 * covariance / (p.var() + y.var() + (p.mean() - y.mean()) ** 2))


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 50),
    n_targets=st.integers(1, 4),
    offset=st.sampled_from([0.0, 1.0, 1e5]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
@settings(max_examples=60, deadline=None)
def test_scores_equal_those_of_scikit_learn_and_scipy(
    seed: int, n: int, n_targets: int, offset: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    y = offset + scale * rng.standard_normal((n, n_targets))
    p = y + 0.5 * scale * rng.standard_normal((n, n_targets)) - 0.2 * scale
    found = scores(p, y)
    assert found["r2"] == pytest.approx(r2_score(y, p), rel=1e-6, abs=1e-6)
    assert found["mae"] == pytest.approx(mean_absolute_error(y, p), rel=1e-6)
    columns = range(n_targets)
    pearson = np.mean([stats.pearsonr(p[:, i], y[:, i]).statistic for i in columns])
    assert found["pearson_r"] == pytest.approx(pearson, abs=1e-6)
    ccc = np.mean([slow_ccc(p[:, i], y[:, i]) for i in columns])
    assert found["ccc"] == pytest.approx(ccc, abs=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1])
def test_a_target_that_is_the_same_for_all_clips(constant: float) -> None:
    y = np.full((7, 1), constant)
    p = y + np.linspace(-1, 2, 7)[:, None]
    assert scores(p, y)["r2"] == 0.0
    assert scores(y, y)["r2"] == 1.0
    # So has r2_score, where rounding doesn't make the mean another number than the constant.
    zero = np.zeros((7, 1))
    assert (r2_score(zero, p - y), r2_score(zero, zero)) == (0.0, 1.0)
    assert math.isnan(scores(p, y)["pearson_r"])
    assert scores(p, y)["ccc"] == 0.0
    assert math.isnan(scores(y, y)["ccc"])
    assert scores(p, y)["mae"] == pytest.approx(mean_absolute_error(y, p))


def test_a_prediction_that_is_the_same_for_all_clips() -> None:
    y = np.arange(6.0)[:, None]
    found = scores(np.full((6, 1), 2.5), y)
    assert found["r2"] == pytest.approx(0.0)
    assert math.isnan(found["pearson_r"])
    assert found["ccc"] == 0.0


def test_scores_have_names_and_directions() -> None:
    assert regression_score_names() == sorted(REGRESSION.scores)
    assert [get_score(REGRESSION, n).maximise for n in REGRESSION.scores] == [True] * 3 + [False]
    with pytest.raises(UnknownNameError):
        get_score(REGRESSION, "top1_acc")
