import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

import hearbench.stats.resampling
from hearbench.stats.clip_scores import scene_clip_score
from hearbench.stats.resampling import bootstrap, resamples, strata_of


@dataclass(frozen=True)
class SumOf:
    """A score that shows which clips were drawn."""

    values: npt.NDArray[Any]
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def n_clips(self) -> int:
        return len(self.values)

    def __call__(self, weights: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = weights.astype(np.float64) @ self.values
        return found


def drawn(n: int, n_resamples: int, strata: npt.NDArray[Any] | None, seed: int = 0) -> Any:
    return np.concatenate(list(resamples(n, n_resamples, strata=strata, seed=seed)), axis=1).T


def test_counts_are_multinomial() -> None:
    counts = drawn(20, 5000, None)
    assert (counts.sum(axis=1) == 20).all()
    # Each clip is drawn Binomial(20, 1 / 20) times.
    observed = np.bincount(counts[:, 3].astype(int), minlength=5)
    tail = stats.binom.sf(3, 20, 0.05)
    expected = 5000 * np.append(stats.binom.pmf(np.arange(4), 20, 0.05), tail)
    observed = np.append(observed[:4], observed[4:].sum())
    assert stats.chisquare(observed, expected).pvalue > 0.001
    # Two clips compete: the correlation of their counts is -1 / (n - 1).
    assert np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] == pytest.approx(-1 / 19, abs=0.04)


def test_a_stratum_gets_one_draw_less_than_it_has_clips() -> None:
    strata = np.array([5, 0, 5, 0, 5, 0, 0, 9])
    counts = drawn(8, 300, strata)
    assert (counts[:, strata == 5].sum(axis=1) == 2).all()
    assert (counts[:, strata == 0].sum(axis=1) == 3).all()
    assert (counts[:, 7] == 1).all()
    assert (counts[:, strata == 0].max(axis=0) == 3).all()


def test_the_variance_of_a_stratified_mean_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=15)
    strata = np.repeat(np.arange(5), 3)
    counts = drawn(15, 20000, strata)
    means = [(counts[:, strata == s] @ values[strata == s]) / 2 for s in range(5)]
    expected = sum(np.var(values[strata == s], ddof=1) / 3 for s in range(5)) / 25
    assert np.mean(means, axis=0).var() == pytest.approx(expected, rel=0.05)


def test_strata_are_the_rarest_labels_of_few_clips() -> None:
    targets = np.zeros((40, 4), dtype=int)
    targets[:30, 0] = 1
    targets[:9, 1] = 1
    targets[7:10, 2] = 1
    targets[20:30, 3] = 1
    strata = strata_of(targets)
    assert strata.tolist() == [1] * 7 + [2] * 3 + [4] * 30
    assert strata_of(np.zeros((3, 0), dtype=int)).tolist() == [0, 0, 0]


def test_with_strata_every_label_stays() -> None:
    rng = np.random.default_rng(1)
    targets = np.eye(40, dtype=int)[rng.choice(40, 160)]
    targets = targets[:, targets.any(axis=0)]
    counts = drawn(160, 400, strata_of(targets))
    assert ((counts @ targets) > 0).all()
    assert not ((drawn(160, 400, None) @ targets) > 0).all()


def test_resamples_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    strata = np.repeat([0, 1], [4, 9])
    whole = drawn(13, 500, strata, seed=3)
    monkeypatch.setattr(hearbench.stats.resampling, "_CELLS_PER_BLOCK", 1)
    np.testing.assert_array_equal(drawn(13, 500, strata, seed=3), whole)
    np.testing.assert_array_equal(drawn(13, 77, strata, seed=3), whole[:77])
    assert not np.array_equal(drawn(13, 500, strata, seed=4), whole)


def test_scores_of_a_fold_share_resamples_and_folds_do_not() -> None:
    values = np.random.default_rng(2).normal(size=12)
    folds = [[SumOf(values), SumOf(2 * values)], [SumOf(values), SumOf(values)]]
    found = bootstrap(folds, strata=[None, None], n_resamples=400, seed=0)
    assert found.shape == (2, 2, 400)
    np.testing.assert_allclose(found[1, 0], 2 * found[0, 0])
    np.testing.assert_array_equal(found[0, 1], found[1, 1])
    assert abs(np.corrcoef(found[0, 0], found[0, 1])[0, 1]) < 0.2


def test_the_standard_deviation_of_an_accuracy_is_binomial() -> None:
    rng = np.random.default_rng(3)
    targets = np.eye(2, dtype=int)[rng.integers(0, 2, 100)]
    probabilities = np.eye(2)[rng.integers(0, 2, 100)]
    score = scene_clip_score("top1_acc", probabilities, targets)
    right = float(score(np.ones((1, 100)))[0])
    found = bootstrap([[score]], strata=[None], n_resamples=8000, seed=0)[0, 0]
    assert found.std() == pytest.approx(math.sqrt(right * (1 - right) / 100), rel=0.03)
    assert found.mean() == pytest.approx(right, abs=0.003)


def test_wrong_arguments_are_refused() -> None:
    score, other = SumOf(np.ones(3)), SumOf(np.ones(4))
    with pytest.raises(ValueError, match="same number of scores"):
        bootstrap([[score], [score, score]], strata=[None, None], n_resamples=1, seed=0)
    with pytest.raises(ValueError, match="same number of scores"):
        bootstrap([], strata=[], n_resamples=1, seed=0)
    with pytest.raises(ValueError, match="strata of 2 folds for 1"):
        bootstrap([[score]], strata=[None, None], n_resamples=1, seed=0)
    with pytest.raises(ValueError, match=r"fold 0 has \[3, 4\] clips"):
        bootstrap([[score, other]], strata=[None], n_resamples=1, seed=0)
    with pytest.raises(ValueError, match=r"fold 0 has \[3, 5\] clips"):
        bootstrap([[score]], strata=[np.zeros(5, dtype=int)], n_resamples=1, seed=0)
