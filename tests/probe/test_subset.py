"""Parts of the training clips."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hearbench.errors import ProbeError
from hearbench.probe.subset import FEWEST_CLIPS, TrainSubset, choose_clips

Sets = list[frozenset[int]]

SINGLE = st.lists(st.integers(0, 7).map(lambda label: frozenset({label})), min_size=4, max_size=60)
SEVERAL = st.lists(st.frozensets(st.integers(0, 7), max_size=4), min_size=4, max_size=60)
SEEDS = st.integers(0, 2**32 - 1)
FRACTIONS = st.floats(0.001, 1, allow_nan=False)


def counts(sets: Sets, chosen: object = None) -> Counter[int]:
    positions = range(len(sets)) if chosen is None else np.asarray(chosen).tolist()
    return Counter(label for clip in positions for label in sets[clip])


def share(sets: Sets, fraction: float, *, seed: int = 0, repeat: int = 0) -> list[int]:
    part = TrainSubset(fraction=fraction, repeat=repeat)
    return [int(clip) for clip in choose_clips(sets, part, seed=seed)]


def shots(sets: Sets, number: int, *, seed: int = 0, repeat: int = 0) -> list[int]:
    part = TrainSubset(shots=number, repeat=repeat)
    return [int(clip) for clip in choose_clips(sets, part, seed=seed)]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"fraction": 0.5, "shots": 1},
        {"fraction": 0},
        {"fraction": 1.5},
        {"fraction": math.nan},
        {"shots": 0},
        {"shots": 1, "repeat": -1},
        {"shots": 1, "seed": 3},
    ],
)
def test_exactly_one_size_is_needed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainSubset(**wrong)


def test_labels_tell_all_parts_apart() -> None:
    assert TrainSubset(fraction=0.1).label() == "fraction=0.1,repeat=0"
    assert TrainSubset(fraction=1).label() == "fraction=1,repeat=0"
    assert TrainSubset(fraction=0.1234567891).point == "fraction=0.1234567891"
    assert TrainSubset(shots=5, repeat=2).label() == "shots=5,repeat=2"
    assert TrainSubset(shots=5).with_repeat(3) == TrainSubset(shots=5, repeat=3)


def test_a_part_survives_json() -> None:
    part = TrainSubset(fraction=0.1 + 0.2, repeat=1)
    assert TrainSubset.model_validate_json(part.model_dump_json()) == part


@settings(max_examples=60)
@given(sets=SINGLE, fraction=FRACTIONS, seed=SEEDS)
def test_shares_of_single_labels_are_exact(sets: Sets, fraction: float, seed: int) -> None:
    size = math.floor(fraction * len(sets) + 0.5)
    if size < FEWEST_CLIPS:
        with pytest.raises(ProbeError, match="at least 2"):
            share(sets, fraction, seed=seed)
        return
    chosen = share(sets, fraction, seed=seed)
    assert len(set(chosen)) == size
    assert chosen == sorted(chosen)
    everything, part = counts(sets), counts(sets, chosen)
    # By ratios of whole numbers, as floats would err at whole shares.
    shares = {label: Fraction(n * size, len(sets)) for label, n in everything.items()}
    assert all(part[label] <= math.ceil(quota) for label, quota in shares.items())
    assert len(part) == min(size, len(everything))
    if all(quota >= 1 for quota in shares.values()):
        assert all(part[label] >= math.floor(quota) for label, quota in shares.items())


def test_equal_labels_get_equally_many() -> None:
    sets = [frozenset({clip % 50}) for clip in range(2000)]
    for fraction, each in ((0.025, 1), (0.1, 4), (0.5, 20)):
        assert set(counts(sets, share(sets, fraction)).values()) == {each}


def test_where_not_all_labels_fit_the_frequent_ones_are_there() -> None:
    sets = [frozenset({0})] * 50 + [frozenset({1})] * 30 + [frozenset({2})] * 15
    sets += [frozenset({label}) for label in range(3, 8)]
    assert counts(sets, share(sets, 0.03)) == {0: 1, 1: 1, 2: 1}
    assert counts(sets, share(sets, 0.08)) == dict.fromkeys(range(8), 1)
    # Later the rare ones' advance is made up for: 50 % of 50, 30 and 15 clips.
    half = counts(sets, share(sets, 0.5))
    assert [half[label] for label in range(3)] == pytest.approx([25, 15, 7.5], abs=3)


@settings(max_examples=60)
@given(sets=st.one_of(SINGLE, SEVERAL), seed=SEEDS, repeat=st.integers(0, 5))
def test_smaller_parts_are_within_larger_ones(sets: Sets, seed: int, repeat: int) -> None:
    before: set[int] = set()
    for fraction in (0.5, 0.51, 0.6, 0.75, 0.9, 1.0):
        chosen = set(share(sets, fraction, seed=seed, repeat=repeat))
        assert before <= chosen
        before = chosen
    assert before == set(range(len(sets)))
    before = set()
    for number in (1, 2, 3, 5, 100):
        try:
            chosen = set(shots(sets, number, seed=seed, repeat=repeat))
        except ProbeError:
            chosen = set()
        assert before <= chosen
        before = chosen
    labelled = {clip for clip, labels in enumerate(sets) if labels}
    assert before == labelled or len(labelled) < FEWEST_CLIPS


@settings(max_examples=60)
@given(sets=SEVERAL, number=st.integers(1, 8), seed=SEEDS)
def test_shots_give_every_label_its_number_or_all(sets: Sets, number: int, seed: int) -> None:
    everything = counts(sets)
    try:
        chosen = shots(sets, number, seed=seed)
    except ProbeError:
        return
    part = counts(sets, chosen)
    assert all(part[label] >= min(number, n) for label, n in everything.items())
    assert all(sets[clip] for clip in chosen)
    # Greedy, but nothing is taken that no label needed.
    assert len(chosen) <= sum(min(number, n) for n in everything.values())


@settings(max_examples=60)
@given(sets=SINGLE, number=st.integers(1, 8), seed=SEEDS)
def test_shots_of_single_labels_are_exact(sets: Sets, number: int, seed: int) -> None:
    wanted = {label: min(number, n) for label, n in counts(sets).items()}
    if sum(wanted.values()) < FEWEST_CLIPS:
        with pytest.raises(ProbeError, match=f"shots={number} of {len(sets)} training clips"):
            shots(sets, number, seed=seed)
    else:
        assert counts(sets, shots(sets, number, seed=seed)) == wanted


def test_shots_of_several_labels_begin_with_the_rarest() -> None:
    # Label 0 is on all clips of 1 and 2, so theirs suffice for it.
    sets = [frozenset({0})] * 20 + [frozenset({0, 1}), frozenset({0, 2}), frozenset({0, 2})]
    for seed in range(10):
        chosen = shots(sets, 1, seed=seed)
        assert len(chosen) == 2
        assert 20 in chosen


@settings(max_examples=60)
@given(sets=SEVERAL, fraction=st.floats(0.5, 1), seed=SEEDS)
def test_shares_of_several_labels_have_their_size(sets: Sets, fraction: float, seed: int) -> None:
    chosen = share(sets, fraction, seed=seed)
    assert len(set(chosen)) == len(chosen) == math.floor(fraction * len(sets) + 0.5)


def zipf(n_clips: int, n_labels: int, most: int) -> Sets:
    """Label sets as of sound tagging: some labels are everywhere, many are rare."""
    generator = np.random.default_rng(3)
    weights = 1 / np.arange(1, n_labels + 1)
    weights /= weights.sum()
    return [
        frozenset(generator.choice(n_labels, generator.integers(0, most + 1), p=weights).tolist())
        for _ in range(n_clips)
    ]


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_shares_of_several_labels_are_far_better_than_by_lot(fraction: float) -> None:
    sets = zipf(3000, 60, 4)
    everything = counts(sets)
    wanted = np.array([everything[label] * fraction for label in range(60)])

    def error(chosen: object) -> float:
        part = counts(sets, chosen)
        have = np.array([part[label] for label in range(60)])
        return float(np.abs(have - wanted)[wanted >= 1].mean())

    drawn = share(sets, fraction, seed=1)
    lot = np.random.default_rng(1)
    by_lot = np.mean([error(lot.permutation(3000)[: len(drawn)]) for _ in range(20)])
    assert error(drawn) < 1.0
    assert error(drawn) < by_lot / 3
    assert set(counts(sets, drawn)) == set(everything)
    unlabelled = sum(1 for clip in drawn if not sets[clip])
    assert unlabelled == pytest.approx(fraction * sum(1 for labels in sets if not labels), abs=1)


def test_other_repeats_and_seeds_are_independent_draws() -> None:
    sets = [frozenset({clip % 10}) for clip in range(1000)]
    draws = [frozenset(share(sets, 0.1, seed=7, repeat=repeat)) for repeat in range(200)]
    assert len(set(draws)) == 200
    assert set(share(sets, 0.1, seed=8)) != draws[0]
    # Independent: two draws of a tenth share a tenth of their clips, on the average.
    shared = [len(a & b) for a, b in itertools.pairwise(draws)]
    assert np.mean(shared) == pytest.approx(10, abs=0.8)
    # Every clip is as likely as any other of its label.
    often = Counter(clip for draw in draws for clip in draw)
    assert len(often) == 1000
    assert max(often.values()) < 45


def test_numbers_of_a_draw_are_known() -> None:
    """A later version has to choose the same clips, or results of two versions get mixed."""
    sets = [frozenset({clip % 3, clip % 7}) for clip in range(40)]
    assert share(sets, 0.2, seed=42, repeat=1) == KNOWN_SHARE
    assert shots(sets, 2, seed=42, repeat=1) == KNOWN_SHOTS


KNOWN_SHARE = [1, 14, 19, 20, 21, 30, 31, 39]
KNOWN_SHOTS = [4, 11, 12, 20, 31, 33, 34, 38]


@pytest.mark.parametrize(
    ("part", "left"),
    [(TrainSubset(fraction=0.01), 0), (TrainSubset(fraction=0.1), 1), (TrainSubset(shots=1), 1)],
)
def test_parts_that_are_too_small_are_refused(part: TrainSubset, left: int) -> None:
    with pytest.raises(ProbeError, match=f"leaves {left}, and a probe needs at least 2") as found:
        choose_clips([frozenset({0})] * 10, part, seed=0)
    option = "--shots" if part.shots else "--train-fraction"
    assert option in str(found.value)


def test_no_clips_leave_none() -> None:
    with pytest.raises(ProbeError, match="of 0 training clips leaves 0"):
        choose_clips([], TrainSubset(shots=3), seed=0)
