from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from helpers_progress import Counts
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from hearbench.metrics import distance_blocks, distance_errors, same_different
from hearbench.metrics.distance import DistanceMeasures, measure_distances
from hearbench.metrics.distance_blocks import SELF, Distance, Sameness, key_blocks
from hearbench.metrics.distance_errors import StandardErrors, standard_errors
from hearbench.metrics.same_different import PairCounts

Embeddings = npt.NDArray[np.float32]
Targets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    embeddings: Embeddings
    targets: Targets
    multilabel: bool

    @property
    def sameness(self) -> Sameness:
        return Sameness.of(self.targets, multilabel=self.multilabel)

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.targets @ self.targets.T > 0)

    def distances(self) -> npt.NDArray[np.float64]:
        # Whole numbers and quarters are exact in float32 too, so ties are the same ones.
        return np.asarray(cdist(self.embeddings, self.embeddings, "cityblock"))

    def without(self, clip: int) -> Split:
        rest = np.arange(len(self.targets)) != clip
        return Split(self.embeddings[rest], self.targets[rest], self.multilabel)


def make_split(
    seed: int, n_clips: int = 70, n_labels: int = 9, *, multilabel: bool = False, step: float = 1.0
) -> Split:
    """Clusters on a grid, so that many distances are equal; some labels have a single clip."""
    rng = np.random.default_rng(seed)
    if multilabel:
        targets = (rng.random((n_clips, n_labels)) < 0.15).astype(np.int64)
    else:
        chances = np.full(n_labels, 1.0 / (n_labels - 1))
        labels = rng.choice(n_labels - 1, n_clips, p=chances[:-1])
        labels[0] = n_labels - 1
        targets = np.eye(n_labels, dtype=np.int64)[labels]
    centres = rng.standard_normal((n_labels, 5))
    raw = targets @ centres + rng.standard_normal((n_clips, 5))
    return Split((np.round(raw / step) * step).astype(np.float32), targets, multilabel)


SPLITS = {
    "ties": make_split(0),
    "few ties": make_split(1, step=2.0**-10),
    "several labels": make_split(2, multilabel=True),
    "two clips": Split(np.array([[0], [3]], np.float32), np.array([[1, 0], [1, 0]]), False),
}


def slow_average_precision(split: Split) -> dict[int, float]:
    distances, same = split.distances(), split.same
    found = {}
    for query in range(len(same)):
        others = np.arange(len(same)) != query
        if same[query, others].any():
            found[query] = average_precision_score(same[query, others], -distances[query, others])
    return found


def slow_precision_at(split: Split, k: int, query: int, rng: np.random.Generator) -> float:
    """Over many orders of the clips at equal distance."""
    others = np.flatnonzero(np.arange(len(split.targets)) != query)
    same = split.same[query, others]
    distances = split.distances()[query, others]
    depth = min(k, int(same.sum()))
    values = []
    for _ in range(400):
        order = np.lexsort((rng.random(len(others)), distances))
        values.append(same[order[:depth]].mean())
    return float(np.mean(values))


def slow_eer(same: npt.NDArray[np.bool_], distances: npt.NDArray[np.float64]) -> float:
    accepted, true_accepted, _ = roc_curve(same, -distances, drop_intermediate=False)
    # Along the ROC curve the rejected fall as the accepted rise; where the straight lines meet.
    gap = accepted - (1 - true_accepted)
    i = int(np.flatnonzero(gap >= 0)[0])
    share = -gap[i - 1] / (gap[i] - gap[i - 1])
    return float(accepted[i - 1] + share * (accepted[i] - accepted[i - 1]))


def measure(split: Split) -> DistanceMeasures:
    return measure_distances(split.embeddings, split.sameness)


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
def test_average_precision_is_scikit_learns_per_query(split: Split) -> None:
    expected = slow_average_precision(split)
    measured = measure(split)
    found = measured.retrieval.average_precision
    assert sorted(expected) == np.flatnonzero(~np.isnan(found)).tolist()
    assert measured.n_queries == len(expected)
    np.testing.assert_allclose(
        found[sorted(expected)], [expected[query] for query in sorted(expected)], rtol=1e-12
    )


@pytest.mark.parametrize("k", [1, 5, 10])
def test_precision_at_k_is_the_mean_over_orders_of_equal_distances(k: int) -> None:
    split = SPLITS["ties"]
    rng = np.random.default_rng(k)
    found = measure(split).retrieval.precision_at[k]
    queries = [*range(1, 70, 6)]
    expected = [slow_precision_at(split, k, query, rng) for query in queries]
    np.testing.assert_allclose(found[queries], expected, atol=0.08)
    assert abs(np.mean(found[queries]) - np.mean(expected)) < 0.015


def test_precision_at_k_by_hand() -> None:
    # From the first clip: same at 1, different at 2, and at 3 two that are the same, one not.
    x = np.array([[0], [1], [2], [3], [-3], [3]], np.float32)
    targets = np.eye(2, dtype=np.int64)[[0, 0, 1, 0, 0, 1]]
    found = measure_distances(x, Sameness.of(targets, multilabel=False), ks=(1, 2, 3, 10))
    at = {k: values[0] for k, values in found.retrieval.precision_at.items()}
    assert at[1] == 1.0
    assert at[2] == 0.5
    # A draw of one of three.
    assert at[3] == pytest.approx((1 + 2 / 3) / 3)
    # Three others are the same, so no more are looked at.
    assert at[10] == at[3]


@pytest.mark.parametrize("split", [*SPLITS.values()][:3], ids=[*SPLITS][:3])
def test_same_different_is_scikit_learns(split: Split) -> None:
    upper = np.triu_indices(len(split.targets), 1)
    same, distances = split.same[upper], split.distances()[upper]
    found = measure(split).pairs
    assert (found.n_same, found.n_different) == (same.sum(), (~same).sum())
    assert found.auc == pytest.approx(roc_auc_score(same, -distances), abs=1e-12)
    assert found.eer == pytest.approx(slow_eer(same, distances), abs=1e-12)
    below = distances <= found.eer_threshold
    assert np.mean(below[~same]) <= found.eer <= np.mean(~below[same])


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS.keys())
@pytest.mark.parametrize("block_rows", [1, 7, 69])
def test_blocks_of_any_size_give_the_same(
    split: Split, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(split)
    monkeypatch.setattr(distance_blocks, "_PAIRS_PER_BLOCK", block_rows * len(split.targets))
    blocked = measure(split)
    np.testing.assert_array_equal(
        whole.retrieval.average_precision, blocked.retrieval.average_precision
    )
    for k, values in whole.retrieval.precision_at.items():
        np.testing.assert_array_equal(values, blocked.retrieval.precision_at[k])
    np.testing.assert_equal(
        (whole.pairs.auc, whole.pairs.eer, whole.pairs.eer_threshold),
        (blocked.pairs.auc, blocked.pairs.eer, blocked.pairs.eer_threshold),
    )


@pytest.mark.parametrize("pages", [50, 200, 4096])
def test_counters_that_do_not_fit_are_counted_in_several_passes(
    pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = SPLITS["few ties"]
    whole = measure(split).pairs
    monkeypatch.setattr(same_different, "_BUFFER_KEYS", 100)
    blocks = Counts()
    found = measure_distances(
        split.embeddings,
        split.sameness,
        memory_limit_bytes=pages << 18,
        update=blocks,
    ).pairs
    assert (len(blocks) > 1) == (pages < 4096)
    assert (found.n_same, found.n_different) == (whole.n_same, whole.n_different)
    assert found.auc == pytest.approx(whole.auc, abs=1e-12)
    assert found.eer == whole.eer
    np.testing.assert_array_equal(found.ladder.bits, whole.ladder.bits)
    np.testing.assert_array_equal(found.ladder.same, whole.ladder.same)


@pytest.mark.parametrize("pages", [150, 4096])
@pytest.mark.parametrize("n_pairs", [5000, 1 << 33])
def test_counts_are_numpys(n_pairs: int, pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_different, "_BUFFER_KEYS", 500)
    rng = np.random.default_rng(3)
    distances = np.round(rng.gamma(2, 3, 5000), 2).astype(np.float32)
    distances[:50] = 0
    distances[50] = np.inf
    same = rng.random(5000) < 0.3
    keys = distances.view(np.uint32) << np.uint32(1) | same
    counts = PairCounts(n_pairs, pages * (1 << 18) * (1 if n_pairs < 1 << 32 else 2))
    found: dict[int, tuple[int, int]] = {}
    while True:
        for part in keys.reshape(50, 100):
            counts.add(part)
        for some in counts.counts():
            assert not found or max(found) < min(some.bits)
            columns = (some.bits.tolist(), some.same.tolist(), some.different.tolist())
            found |= {bits: (a, b) for bits, a, b in zip(*columns, strict=True)}
        if not counts.next_pass():
            break
    bits = distances.view(np.uint32)
    expected = {
        int(value): (int((same & (bits == value)).sum()), int((~same & (bits == value)).sum()))
        for value in np.unique(bits)
    }
    assert found == expected
    assert list(found) == sorted(found)


def test_keys_hold_float32_distances_of_any_size() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((130, 3000)).astype(np.float32)
    targets = np.eye(3, dtype=np.int64)[rng.integers(0, 3, 130)]
    rows = np.array([5, 77, 129])
    ((block, keys),) = key_blocks(x, Sameness.of(targets, multilabel=False), rows)
    assert block.tolist() == rows.tolist()
    assert (keys[np.arange(3), rows] == SELF).all()
    others = np.delete(np.arange(130), rows)
    found = (keys[:, others] >> np.uint32(1)).view(np.float32)
    np.testing.assert_allclose(found, cdist(x[rows], x[others], "cityblock"), rtol=1e-5)
    np.testing.assert_array_equal(keys[:, others] & 1, targets[rows] @ targets[others].T)


def test_clips_without_label_are_no_queries_but_are_found() -> None:
    x = np.array([[0], [1], [2], [10]], np.float32)
    targets = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    for multilabel in (False, True):
        found = measure_distances(x, Sameness.of(targets, multilabel=multilabel))
        # The clip at 1 lies before the one that is the same; those without label aren't the same.
        np.testing.assert_array_equal(
            found.retrieval.average_precision, [0.5, math.nan, 0.5, math.nan]
        )
        assert (found.pairs.n_same, found.pairs.n_different) == (1, 5)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0], []])
def test_without_both_kinds_of_pair_there_is_no_auc(labels: list[int]) -> None:
    x = np.arange(2 * len(labels), dtype=np.float32).reshape(-1, 2)
    sameness = Sameness.of(np.eye(3, dtype=np.int64)[labels], multilabel=False)
    found = measure_distances(x, sameness)
    assert math.isnan(found.pairs.auc)
    assert math.isnan(found.pairs.eer)
    assert found.n_queries == (3 if labels == [0, 0, 0] else 0)
    assert found.pairs.n_same + found.pairs.n_different == len(labels) * (len(labels) - 1) // 2
    errors = standard_errors(x, sameness, found)
    assert math.isnan(errors.auc)
    assert math.isnan(errors.eer)


def test_embeddings_that_are_all_equal_say_nothing() -> None:
    targets = np.eye(4, dtype=np.int64)[np.arange(40) % 4]
    sameness = Sameness.of(targets, multilabel=False)
    found = measure_distances(np.ones((40, 3), np.float32), sameness)
    assert found.pairs.auc == pytest.approx(0.5)
    assert found.pairs.eer == pytest.approx(0.5)
    np.testing.assert_allclose(found.retrieval.average_precision, 9 / 39)
    for values in found.retrieval.precision_at.values():
        np.testing.assert_allclose(values, 9 / 39)


def test_the_order_of_clips_does_not_matter() -> None:
    split = SPLITS["ties"]
    order = np.random.default_rng(0).permutation(len(split.targets))
    moved = Split(split.embeddings[order], split.targets[order], split.multilabel)
    before, after = measure(split), measure(moved)
    assert before.pairs.auc == pytest.approx(after.pairs.auc, abs=1e-12)
    for k, values in before.retrieval.precision_at.items():
        np.testing.assert_allclose(after.retrieval.precision_at[k], values[order], rtol=1e-12)


def test_numbers_that_are_not_finite_have_no_distances() -> None:
    x = np.array([[0], [math.nan]], np.float32)
    with pytest.raises(ValueError, match="finite"):
        measure_distances(x, Sameness.of(np.eye(2, dtype=np.int64), multilabel=False))


# Standard errors


def slow_errors(split: Split) -> StandardErrors:
    """The jackknife as it is defined: all over again without each clip."""
    rest = [measure(split.without(clip)) for clip in range(len(split.targets))]

    def error(values: list[float]) -> float:
        return math.sqrt((len(values) - 1) * np.var(values))

    return StandardErrors(
        error([float(np.nanmean(one.retrieval.average_precision)) for one in rest]),
        {
            k: error([float(np.nanmean(one.retrieval.precision_at[k])) for one in rest])
            for k in (1, 5, 10)
        },
        error([one.pairs.auc for one in rest]),
        error([one.pairs.eer for one in rest]),
    )


@pytest.mark.parametrize(
    "split",
    [
        make_split(5, 50, 14, step=2.0**-10),
        make_split(6, 60, 6, multilabel=True, step=2.0**-10),
    ],
    ids=["few per label", "several labels"],
)
def test_standard_errors_are_the_jackknifes(split: Split) -> None:
    found = standard_errors(split.embeddings, split.sameness, measure(split))
    slow = slow_errors(split)
    assert found.mean_average_precision == pytest.approx(slow.mean_average_precision, rel=1e-9)
    for k, expected in slow.precision_at.items():
        assert found.precision_at[k] == pytest.approx(expected, rel=1e-9)
    # The influence of a clip is the jackknife's limit for many clips.
    assert found.auc == pytest.approx(slow.auc, rel=0.05)


def test_the_equal_error_rates_standard_error_is_the_jackknifes_of_many_clips() -> None:
    split = make_split(5, 120, 4, step=2.0**-10)
    found = standard_errors(split.embeddings, split.sameness, measure(split))
    slow = slow_errors(split)
    assert found.eer == pytest.approx(slow.eer, rel=0.1)
    assert found.auc == pytest.approx(slow.auc, rel=0.02)


def test_average_precision_without_a_clip_is_exact_with_ties() -> None:
    split = make_split(7, 50, 8)
    found = standard_errors(split.embeddings, split.sameness, measure(split))
    assert found.mean_average_precision == pytest.approx(
        slow_errors(split).mean_average_precision, rel=1e-9
    )


def test_a_sample_of_clips_gives_nearly_the_same_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(8, 500, 11, step=2.0**-10)
    measured = measure(split)
    whole = standard_errors(split.embeddings, split.sameness, measured)
    monkeypatch.setattr(distance_errors, "_PAIRS", 500 * 150)
    sampled = [
        standard_errors(split.embeddings, split.sameness, measured, seed=seed) for seed in range(6)
    ]
    for name in ("mean_average_precision", "auc", "eer"):
        mean = np.mean([getattr(one, name) for one in sampled])
        assert mean == pytest.approx(getattr(whole, name), rel=0.06)
    for k in (1, 5, 10):
        mean = np.mean([one.precision_at[k] for one in sampled])
        assert mean == pytest.approx(whole.precision_at[k], rel=0.06)


@pytest.mark.parametrize(
    ("n_clips", "size"),
    [(8000, 16), pytest.param(20_000, 64, marks=pytest.mark.real)],
    ids=["8000", "20000"],
)
def test_memory_stays_bounded(n_clips: int, size: int) -> None:
    code = f"""
import numpy as np, torch
torch.set_num_threads(1)
from hearbench.metrics.distance import measure_distances
from hearbench.metrics.distance_blocks import Sameness
from hearbench.worker.memory import peak_resident_mb
rng = np.random.default_rng(0)
def run(n):
    labels = np.eye(50, dtype=np.uint8)[rng.integers(0, 50, n)]
    x = rng.standard_normal((n, {size}), dtype=np.float32)
    return measure_distances(x, Sameness.of(labels, multilabel=False), memory_limit_bytes=64 << 20)
run(100)
before = peak_resident_mb()
found = run({n_clips})
assert found.pairs.n_same + found.pairs.n_different == {n_clips} * ({n_clips} - 1) // 2
print(peak_resident_mb() - before)
"""
    # glibc keeps most of what is freed, and how much depends on the order in which threads run.
    # With this it hands every large array back at once, so that what is resident is what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    # 64 MiB of counters, and a few blocks. All distances alone would be 244 MiB, or 1526.
    assert float(done.stdout) < 176


@pytest.mark.parametrize("largest", [1e30, 1e36, 3.4e38])
def test_distances_that_would_overflow_are_ranked_all_the_same(largest: float) -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal((40, 700))
    x = (x / np.abs(x).max() * largest).astype(np.float32)
    labels = rng.integers(0, 4, 40)
    sameness = Sameness.of(np.eye(4, dtype=np.int64)[labels], multilabel=False)
    found = measure_distances(x, sameness)
    distances = cdist(x.astype(np.float64), x.astype(np.float64), "cityblock")
    pairs = np.triu_indices(40, 1)
    same = (labels[:, None] == labels)[pairs]
    expected = roc_auc_score(same, -distances[pairs])
    assert found.pairs.auc == pytest.approx(expected, abs=1e-4)
    for query in range(40):
        others = np.arange(40) != query
        precision = average_precision_score(
            labels[others] == labels[query], -distances[query][others]
        )
        assert found.retrieval.average_precision[query] == pytest.approx(precision, abs=1e-3)
    # In the embeddings' own unit, though float32 may not hold it.
    assert distances[pairs].min() < found.eer_threshold < distances[pairs].max()
    assert 0 < standard_errors(x, sameness, found).auc < 0.2


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_other_distances_are_scipys_at_any_size(metric: Literal["euclidean"], size: float) -> None:
    rng = np.random.default_rng(5)
    split = Split(
        (size * rng.standard_normal((40, 6))).astype(np.float32),
        np.eye(4, dtype=np.int64)[rng.integers(0, 4, 40)],
        multilabel=False,
    )
    kind: Distance = "l2" if metric == "euclidean" else "cosine"
    measured = measure_distances(split.embeddings, split.sameness, distance=kind)
    upper = np.triu_indices(40, 1)
    same = split.same[upper]
    wanted = cdist(split.embeddings.astype(float) / size, split.embeddings / size, metric)[upper]
    assert measured.pairs.auc == pytest.approx(roc_auc_score(same, -wanted), abs=1e-9)
    # The threshold is a distance that some pair has.
    nearest = wanted[
        np.argmin(abs(wanted - measured.eer_threshold / (size if kind == "l2" else 1)))
    ]
    threshold = measured.eer_threshold / (size if kind == "l2" else 1)
    assert threshold == pytest.approx(nearest, rel=1e-5)


def test_embeddings_of_length_0_are_at_a_right_angle_to_others() -> None:
    embeddings = np.array([[0, 0], [3, 0], [1, 0], [-2, 0]], dtype=np.float32)
    sameness = Sameness.of(np.array([[1, 0], [0, 1], [0, 1], [1, 0]]), multilabel=False)
    ((_, keys),) = key_blocks(embeddings, sameness, np.arange(4), distance="cosine")
    distances = (keys >> np.uint32(1)).view(np.float32)[0] ** 2 / 2
    assert distances[1:] == pytest.approx([1, 1, 1])
