"""Simulated coverage and sizes; the whole tables are those of the benchmark."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from interval_coverage import (
    Fold,
    Scenario,
    accuracy_folds,
    coverage,
    event_fold,
    frame_fold,
    loss_coverage,
    loss_scenarios,
    number_fold,
    pair_scenarios,
    rejections,
    scenarios,
    tagging_fold,
)

FEW = [
    Scenario("accuracy", partial(accuracy_folds, n_clips=60, rights=[0.93]), 0.93),
    Scenario("folds", partial(accuracy_folds, n_clips=30, rights=[0.9, 0.8]), 0.85),
    Scenario(
        "mAP",
        partial(tagging_fold, score="mAP", n_clips=100, counts=[20] * 5, shift=1.5, kind="classes"),
    ),
    Scenario(
        "event F",
        partial(
            event_fold,
            score="event_onset_200ms_fms",
            n_clips=40,
            per_clip=4,
            recall=0.8,
            extra=0.2,
        ),
    ),
    Scenario("R2", partial(number_fold, score="r2", n_clips=100, error=0.5, n_targets=2)),
]


@pytest.mark.parametrize("scenario", FEW, ids=[scenario.name for scenario in FEW])
def test_intervals_hold_the_truth_as_often_as_they_say(scenario: Scenario) -> None:
    sets = 200
    found = coverage(scenario, sets=sets, resamples=120, truth_sets=300)
    # Three standard errors of the simulation.
    assert abs(found.held - 0.95) < 3 * math.sqrt(0.95 * 0.05 / sets)
    assert found.held + found.below + found.above == pytest.approx(1.0)


def test_intervals_of_losses_hold_the_truth_as_often_as_they_say() -> None:
    sets = 200
    for scenario in list(loss_scenarios())[:2]:
        found = loss_coverage(scenario, sets=sets, resamples=120, truth_sets=600)
        assert abs(found.held - 0.95) < 3 * math.sqrt(0.95 * 0.05 / sets), scenario.name


def test_intervals_of_a_score_of_frames_hold_the_truth() -> None:
    sets = 120
    scenario = Scenario("psds2", partial(frame_fold, score="psds2", n_clips=40, shift=1.5))
    found = coverage(scenario, sets=sets, resamples=60, truth_sets=200)
    assert abs(found.held - 0.95) < 3 * math.sqrt(0.95 * 0.05 / sets)
    assert 0.1 < found.width < 0.6


def test_percentiles_would_not_do() -> None:
    scenario = Scenario("accuracy", partial(accuracy_folds, n_clips=50, rights=[0.98]), 0.98)
    found = coverage(scenario, sets=300, resamples=150)
    assert found.percentile_held < 0.75
    assert found.held > 0.92


def test_equal_models_are_rarely_called_different() -> None:
    draw = partial(_pair, n_clips=60, right=0.8)
    permutation, bootstrap = rejections(draw, 0.0, sets=200, resamples=150)
    assert permutation < 0.08
    assert 0.01 < bootstrap < 0.1
    assert min(rejections(draw, 0.85, sets=60, resamples=150)) > 0.6


def _pair(rng: np.random.Generator, lift: float, n_clips: int, right: float) -> list[Fold]:
    return accuracy_folds(rng, n_clips, [right], lift)


ALL = [s for s in scenarios() if s.name.startswith(("accuracy", "mAP", "event", "psds"))]


@pytest.mark.real
@pytest.mark.parametrize("scenario", ALL, ids=[scenario.name for scenario in ALL])
def test_coverage_is_between_93_and_97_percent(scenario: Scenario) -> None:
    sets = 600
    found = coverage(scenario, sets=sets, resamples=400)
    error = math.sqrt(0.95 * 0.05 / sets)
    assert 0.93 - 2 * error < found.held < 0.97 + 2 * error


LOSSES = list(loss_scenarios())


@pytest.mark.real
@pytest.mark.parametrize("scenario", LOSSES, ids=[scenario.name for scenario in LOSSES])
def test_coverage_of_losses_is_between_93_and_97_percent(scenario: Scenario) -> None:
    sets = 600
    found = loss_coverage(scenario, sets=sets, resamples=400)
    error = math.sqrt(0.95 * 0.05 / sets)
    assert 0.93 - 2 * error < found.held < 0.97 + 2 * error


@pytest.mark.real
@pytest.mark.parametrize(("name", "draw"), list(pair_scenarios()))
def test_sizes_are_at_most_5_percent(
    name: str, draw: Callable[[np.random.Generator, float], list[Fold]]
) -> None:
    sets = 500
    permutation, bootstrap = rejections(draw, 0.0, sets=sets, resamples=300)
    error = math.sqrt(0.95 * 0.05 / sets)
    assert permutation < 0.05 + 3 * error
    assert bootstrap < 0.07 + 3 * error
