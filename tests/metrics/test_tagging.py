import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from hearbench.metrics.tagging import (
    area_under_roc,
    average_precision,
    d_prime,
    mean_average_precision,
    roc_auc_per_label,
)


def draw(seed: int, n: int, n_labels: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Few levels make many equal probabilities.
    probabilities = (rng.integers(0, levels, (n, n_labels)) / levels).astype(np.float32)
    targets = (rng.random((n, n_labels)) < rng.random(n_labels)).astype(np.uint8)
    return probabilities, targets


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 80),
    n_labels=st.integers(2, 12),
    levels=st.sampled_from([1, 2, 5, 1000, 10**6]),
)
@settings(max_examples=150, deadline=None)
def test_equal_scikit_learn_and_scipy(seed: int, n: int, n_labels: int, levels: int) -> None:
    probabilities, targets = draw(seed, n, n_labels, levels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of labels without positives
        expected_ap = [
            average_precision_score(targets[:, i], probabilities[:, i]) for i in range(n_labels)
        ]
        expected_auc = [
            roc_auc_score(targets[:, i], probabilities[:, i])
            if 0 < targets[:, i].sum() < n
            else math.nan
            for i in range(n_labels)
        ]
    np.testing.assert_allclose(average_precision(probabilities, targets), expected_ap, atol=1e-12)
    np.testing.assert_allclose(
        roc_auc_per_label(probabilities, targets), expected_auc, atol=1e-12, equal_nan=True
    )
    assert mean_average_precision(probabilities, targets) == pytest.approx(
        np.mean(expected_ap), abs=1e-12
    )
    if not np.isnan(expected_auc).any():
        assert area_under_roc(probabilities, targets) == pytest.approx(
            roc_auc_score(targets, probabilities, average="macro"), abs=1e-12
        )
        with np.errstate(invalid="ignore"):
            expected = np.mean(math.sqrt(2) * norm.ppf(expected_auc))
        np.testing.assert_allclose(d_prime(probabilities, targets), expected, atol=1e-9)


def test_macro_average_is_scikit_learns() -> None:
    probabilities, targets = draw(3, 500, 20, 10**6)
    assert mean_average_precision(probabilities, targets) == pytest.approx(
        average_precision_score(targets, probabilities, average="macro"), abs=1e-12
    )


def test_label_without_a_positive_counts_as_zero_precision_and_undefined_auc() -> None:
    targets = np.array([[1, 0], [0, 0], [1, 0]], dtype=np.uint8)
    probabilities = np.array([[0.9, 0.1], [0.2, 0.3], [0.8, 0.2]])
    assert average_precision(probabilities, targets).tolist() == [1.0, 0.0]
    assert mean_average_precision(probabilities, targets) == 0.5
    assert math.isnan(area_under_roc(probabilities, targets))
    assert math.isnan(d_prime(probabilities, targets))


def test_perfect_separation_has_infinite_d_prime() -> None:
    targets = np.eye(2, dtype=np.uint8)
    assert d_prime(targets.astype(float), targets) == math.inf
    assert d_prime(1.0 - targets, targets) == -math.inf
    mixed = np.array([[1.0, 1.0], [0.0, 0.0]])  # one label right, the other wrong
    assert math.isnan(d_prime(mixed, targets))


def test_chance_is_half_an_area_and_no_separation() -> None:
    targets = np.eye(4, dtype=np.uint8)
    flat = np.full((4, 4), 0.25)
    assert area_under_roc(flat, targets) == 0.5
    assert d_prime(flat, targets) == pytest.approx(0.0, abs=1e-12)


def test_no_clips_is_undefined() -> None:
    empty = np.zeros((0, 3))
    assert math.isnan(mean_average_precision(empty, empty.astype(np.uint8)))
    assert math.isnan(area_under_roc(empty, empty.astype(np.uint8)))
