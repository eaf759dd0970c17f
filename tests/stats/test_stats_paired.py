import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import hearbench.stats.paired
from hearbench.metrics import get_event_score, get_scene_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.stats.paired import (
    bootstrap_p_value,
    difference_interval,
    holm,
    holm_divisors,
    permutation_p_value,
    pooled_event_clip_score,
    pooled_scene_clip_score,
)


def one_hot_right(right: np.ndarray) -> np.ndarray:
    return np.stack([right, 1 - right], axis=1).astype(float)


def all_swaps(a: np.ndarray, b: np.ndarray, targets: np.ndarray, name: str) -> float:
    """The exact p-value, over all 2 ** n ways to swap the models clip by clip."""
    score = get_scene_score(name)
    observed = abs(score(a, targets) - score(b, targets))
    reached = []
    for swap in itertools.product([False, True], repeat=len(a)):
        swapped = np.array(swap)[:, None]
        first, second = np.where(swapped, b, a), np.where(swapped, a, b)
        difference = score(first, targets) - score(second, targets)
        reached.append(abs(difference) >= observed - 1e-9)
    return float(np.mean(reached))


@pytest.mark.parametrize("name", ["mAP", "aucroc", "top1_acc"])
def test_permutations_estimate_the_exact_p_value(name: str) -> None:
    rng = np.random.default_rng(4)
    targets = np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2, 0, 1, 0]]
    # Ranks, as the pooled score sees them.
    a = stats.rankdata(rng.normal(size=(9, 3)) + 2 * targets, axis=0)
    b = stats.rankdata(rng.normal(size=(9, 3)), axis=0)
    pooled = [[pooled_scene_clip_score(name, a, b, targets)]]
    found = permutation_p_value(pooled, n_permutations=20000, seed=0)
    assert found == pytest.approx(all_swaps(a, b, targets, name), abs=0.012)
    assert 0.01 < found < 0.9


def test_for_accuracies_it_is_mcnemars_test() -> None:
    a = np.repeat([1, 1, 0, 0], [60, 9, 2, 17])
    b = np.repeat([1, 0, 1, 0], [60, 9, 2, 17])
    targets = np.tile([1, 0], (88, 1))
    pooled = [[pooled_scene_clip_score("top1_acc", one_hot_right(a), one_hot_right(b), targets)]]
    found = permutation_p_value(pooled, n_permutations=40000, seed=1)
    assert found == pytest.approx(stats.binomtest(9, 11).pvalue, abs=0.006)


def test_models_that_agree_cannot_be_told_apart() -> None:
    targets = np.tile([1, 0], (20, 1))
    same = one_hot_right(np.repeat([1, 0], 10))
    pooled = [[pooled_scene_clip_score("top1_acc", same, same, targets)]]
    assert permutation_p_value(pooled, n_permutations=99, seed=0) == 1.0


def test_the_scale_of_probabilities_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    targets = (rng.random((60, 4)) < 0.3).astype(int)
    a, b = (rng.random((60, 4)) * 0.5 + 0.5 * targets * rng.random((60, 4)) for _ in range(2))
    pairs = [(a, b), (a, b / 1000), (a, b**3)]
    found = [
        permutation_p_value(
            [[pooled_scene_clip_score("mAP", x, y, targets)]], n_permutations=200, seed=0
        )
        for x, y in pairs
    ]
    assert found[0] == found[1] == found[2]


def test_blocks_seeds_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    targets = (rng.random((40, 3)) < 0.4).astype(int)
    draw = [rng.random((40, 3)) for _ in range(4)]
    first = pooled_scene_clip_score("mAP", draw[0], draw[1], targets)
    second = pooled_scene_clip_score("mAP", draw[2], draw[3], targets)
    pooled = [[first, second], [second, first]]
    whole = permutation_p_value(pooled, n_permutations=80, seed=2)
    monkeypatch.setattr(hearbench.stats.paired, "_CELLS_PER_BLOCK", 1)
    assert permutation_p_value(pooled, n_permutations=80, seed=2) == whole
    # The same seeds' pair twice is the same as once.
    once = permutation_p_value([[first]], n_permutations=80, seed=2)
    assert permutation_p_value([[first, first]], n_permutations=80, seed=2) == once


def test_pooled_events_are_both_models_one_after_the_other() -> None:
    rng = np.random.default_rng(8)

    def events(n: int) -> EventArrays:
        onset = rng.uniform(0, 3000, n)
        return EventArrays(rng.integers(0, 5, n), rng.integers(0, 2, n), onset, onset + 400)

    reference, a, b = events(30), events(30), events(25)
    name = "event_onset_200ms_fms"
    pooled = pooled_event_clip_score(name, reference, a, b, 5, ["x", "y"])
    ones, zeros = np.ones(5), np.zeros(5)
    found = pooled(np.stack([np.append(ones, zeros), np.append(zeros, ones)]))
    score = get_event_score(name)
    assert found.tolist() == [
        score(reference, a, ["x", "y"]),
        score(reference, b, ["x", "y"]),
    ]


def test_pooled_frames_are_both_models_on_one_scale() -> None:
    rng = np.random.default_rng(12)
    onset = (1000 * rng.integers(0, 6, 5)).astype(np.float64)
    reference = EventArrays(np.arange(5), np.array([0, 1, 0, 1, 0]), onset, onset + 3000)

    def frames(n: int, hop_ms: float) -> FrameArrays:
        times = np.tile((np.arange(n) + 0.5) * hop_ms, 5)
        on = np.zeros((5, n, 2))
        for clip, label, start in zip(reference.clip, reference.label, onset, strict=True):
            on[clip, int(start / hop_ms) : int((start + 3000) / hop_ms), label] = 0.5
        values = on + 0.7 * rng.random((5, n, 2))
        return FrameArrays(values.reshape(-1, 2), np.arange(6) * n, times)

    # Of other hops, and one of far smaller probabilities, whose order alone matters.
    a, b = frames(10, 1000.0), frames(40, 250.0)
    low = FrameArrays(b.probabilities / 1e4, b.bounds, b.timestamps_ms)
    ones, zeros = np.ones(5), np.zeros(5)
    swap = np.array([1, 0, 1, 1, 0])
    weights = np.stack([np.append(ones, zeros), np.append(zeros, ones), np.append(swap, 1 - swap)])
    for name in ("psds1", "psds2"):
        found = pooled_event_clip_score(name, reference, a, b, 5, ["x", "y"])(weights)
        again = pooled_event_clip_score(name, reference, a, low, 5, ["x", "y"])(weights)
        score = get_event_score(name)
        expected = [score(reference, each, ["x", "y"]) for each in (a, b)]
        assert found[:2].tolist() == pytest.approx(expected, abs=1e-12)
        assert again.tolist() == found.tolist()
        assert 0 <= found[2] <= 1
    with pytest.raises(TypeError):
        pooled_event_clip_score("psds1", reference, a, reference, 5, ["x", "y"])


def test_an_undefined_difference_has_no_p_value() -> None:
    nothing = EventArrays.from_rows(())
    some = EventArrays.from_rows([(0, 0, 0.0, 500.0), (1, 0, 0.0, 500.0)])
    pooled = pooled_event_clip_score("event_onset_200ms_fms", some, some, nothing, 2, ["x"])
    assert math.isnan(permutation_p_value([[pooled]], n_permutations=9, seed=0))


def test_the_bootstrap_s_p_value_belongs_to_its_interval() -> None:
    replicates = np.random.default_rng(9).normal(0.03, 0.02, 4000)
    p = bootstrap_p_value(0.03, replicates, n_clips=50)
    touching = difference_interval(0.03, replicates, n_clips=50, level=1 - p)
    assert touching.low == pytest.approx(0.0, abs=1e-9)
    # Of a plain mean it is that of a t test.
    values = np.random.default_rng(10).normal(0.3, 1, 40)
    rng = np.random.default_rng(11)
    means = values[rng.integers(0, 40, (40000, 40))].mean(axis=1)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert bootstrap_p_value(float(values.mean()), means, n_clips=40) == pytest.approx(
        expected, rel=0.05
    )


def test_no_difference_in_any_resample() -> None:
    zeros = np.zeros(100)
    assert bootstrap_p_value(0.0, zeros, n_clips=88) == 1.0
    assert bootstrap_p_value(1.0, zeros + 1, n_clips=8) == pytest.approx(2 / 256)
    found = difference_interval(0.0, zeros, n_clips=88, bounds=(0.0, 1.0))
    # None of 88 clips: the upper end of Clopper and Pearson's interval.
    expected = stats.binomtest(0, 88).proportion_ci(method="exact").high
    assert (found.low, found.high) == pytest.approx((-expected, expected))
    assert difference_interval(0.0, zeros, n_clips=88).half_width == 0.0
    one = difference_interval(1.0, zeros + 1, n_clips=8, bounds=(0.0, 1.0))
    assert one.high == 1.0


def test_undefined_p_values_are_said_to_be() -> None:
    some = np.array([0.1, 0.2, 0.3])
    assert math.isnan(bootstrap_p_value(math.nan, some, n_clips=9))
    assert math.isnan(bootstrap_p_value(math.inf, some, n_clips=9))
    assert math.isnan(bootstrap_p_value(0.2, np.full(3, np.nan), n_clips=9))
    assert math.isnan(bootstrap_p_value(0.2, np.append(some, np.inf), n_clips=9))


def slow_holm(p_values: list[float]) -> list[float]:
    """The least alpha at which stepping down rejects each, found on a grid of candidates."""
    n = len(p_values)
    candidates = sorted({min(1.0, p * k) for p in p_values for k in range(1, n + 1)})
    found = []
    for own in range(n):
        for alpha in candidates:
            left = list(range(n))
            rejected: set[int] = set()
            while left:
                smallest = min(left, key=lambda i: p_values[i])
                # With room for rounding, as candidates are the very products.
                if p_values[smallest] * len(left) > alpha * (1 + 1e-12):
                    break
                rejected.add(smallest)
                left.remove(smallest)
            if own in rejected or alpha >= 1:
                found.append(alpha)
                break
        else:
            found.append(1.0)
    return found


@given(
    st.lists(st.sampled_from([0.0001, 0.003, 0.01, 0.02, 0.04, 0.3, 0.9]), min_size=1, max_size=8)
)
def test_holm_equals_stepping_down(p_values: list[float]) -> None:
    np.testing.assert_allclose(holm(p_values), slow_holm(p_values), rtol=1e-9)


def test_holm_by_hand_and_without_tests_that_were_not_made() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = holm([0.02, math.nan, 0.01])
    assert math.isnan(found[1])
    assert found[[0, 2]] == pytest.approx([0.02, 0.02])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_an_interval_at_holms_level_leaves_out_0_where_holm_rejects(alpha: float) -> None:
    rng = np.random.default_rng(int(1000 * alpha))
    for _ in range(200):
        z = rng.normal(0, 3, rng.integers(1, 9)).round(int(rng.integers(0, 4)))
        p = 2 * stats.norm.sf(np.abs(z))
        p[rng.random(len(p)) < 0.1] = math.nan
        adjusted, divisors = holm(p.tolist()), holm_divisors(p.tolist(), alpha)
        for one, corrected, divisor, raw in zip(z, adjusted, divisors, p, strict=True):
            if math.isnan(raw):
                continue
            half = stats.norm.ppf(1 - alpha / divisor / 2)
            assert (abs(one) > half) == (corrected <= alpha)
            assert 1 <= divisor <= np.count_nonzero(~np.isnan(p))


def test_divisors_by_hand() -> None:
    # 0.01 <= 0.05 / 4, 0.015 <= 0.05 / 3, and 0.03 > 0.05 / 2 ends it.
    found = holm_divisors([0.03, 0.01, 0.9, 0.015, math.nan], 0.05)
    assert found.tolist() == [2, 4, 2, 3, 2]
    assert holm_divisors([], 0.05).tolist() == []
    assert holm_divisors([0.02, 0.01], 0.05).tolist() == [1, 2]
