"""Measured seconds and counts of clips become estimates by plain arithmetic."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from helpers_models import BANDS, write_model

from hearbench.evaluation.probes import ProbeSetup
from hearbench.models.loading import load_model
from hearbench.planning.dry_run import DryRun, StackTime
from hearbench.planning.estimates import Asked, Estimates
from hearbench.planning.facts import TaskFacts, task_facts
from hearbench.planning.record import Seconds, StageEstimate
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.workspace import Workspace

POINT = GridPoint(max_epochs=500, check_every=3, patience=20)
DEEP = POINT.model_copy(update={"hidden_layers": 2})
RAN = DryRun(
    check_s=0.001,
    resample_s=0.01,
    embed_s=0.5,
    clips=16,
    clip_s=5.0,
    embedding_size=1000,
    frames_per_s=0.0,
    peak_memory_mb=300.0,
    stacks=(StackTime((POINT, POINT, POINT), 0.3, 0.1),),
    result_s=2.0,
)


@pytest.fixture
def esc50(tmp_path: Path, workspace: Workspace) -> Estimates:
    """2000 clips of 5 s, 50 labels, 5 folds, of which training takes 1200 clips."""
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    asked = Asked(ProbeSetup(Protocol(name="p", grid=(POINT,)), (42,), "float32"))
    return Estimates(task_facts("esc50", workspace), RAN, asked, model)


def trained(estimates: Estimates, *stacks: StackTime, folds: int = 5, seeds: int = 1) -> Estimates:
    facts = dataclasses.replace(estimates.facts, folds=estimates.facts.folds[:folds])
    setup = dataclasses.replace(estimates.asked.setup, seeds=tuple(range(seeds)))
    return dataclasses.replace(
        estimates,
        facts=facts,
        ran=dataclasses.replace(RAN, stacks=stacks),
        asked=dataclasses.replace(estimates.asked, setup=setup),
    )


def seconds(estimate: StageEstimate) -> Seconds:
    assert estimate.seconds is not None
    return estimate.seconds


def test_the_grid_counts_once_and_the_winner_for_every_other_fold(esc50: Estimates) -> None:
    found = seconds(esc50.probe(1 << 40))
    # From the first chance to stop after 63 epochs to 500, twice the first chance expected.
    assert found.low == pytest.approx(0.7 * (63 * (0.3 + 4 * 0.1)))
    assert found.expected == pytest.approx(126 * (0.3 + 4 * 0.1))
    assert found.high == pytest.approx(1.5 * (500 * (0.3 + 4 * 0.1)))


def test_the_winner_of_the_grid_is_not_known(esc50: Estimates) -> None:
    shallow, deep = StackTime((POINT,), 0.1, 0.1), StackTime((DEEP,) * 3, 0.9, 0.3)
    estimate = trained(esc50, shallow, deep).probe(1 << 40)
    found = seconds(estimate)
    assert found.low == pytest.approx(0.7 * (63 * (1.0 + 4 * 0.1)))
    # Three of four points are deep.
    assert found.expected == pytest.approx(126 * (1.0 + 4 * (0.1 + 3 * 0.3) / 4))
    assert found.high == pytest.approx(1.5 * (500 * (1.0 + 4 * 0.3)))
    assert estimate.disk_bytes < estimate.disk_high_bytes


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({}, 126),
        ({"evaluation": ("mAP",)}, 189),
        ({"use_scoring_for_early_stopping": False}, 189),
    ],
)
def test_fine_scores_train_longer(
    esc50: Estimates, changes: dict[str, object], epochs: int
) -> None:
    one = trained(esc50, StackTime((POINT,), 0.1, 0.1), folds=1)
    metadata = one.facts.metadata.model_copy(update=changes)
    facts = dataclasses.replace(one.facts, metadata=metadata)
    found = dataclasses.replace(one, facts=facts).probe(1 << 40)
    assert seconds(found).expected == pytest.approx(epochs * 0.1)
    assert f"63 to 500 epochs, {epochs} expected" in found.made_from


def test_seeds_are_kept_each_by_itself(esc50: Estimates) -> None:
    one, three = (trained(esc50, *RAN.stacks, seeds=seeds).probe(1 << 40) for seeds in (1, 3))
    assert three.disk_bytes == 3 * one.disk_bytes
    assert three.passing_bytes == 3 * one.passing_bytes


def test_nothing_trained_takes_a_time_that_is_not_known(esc50: Estimates) -> None:
    assert trained(esc50).probe(1 << 40).seconds is None


def test_frames_stay_within_the_memory_that_is_allowed(
    esc50: Estimates, workspace: Workspace
) -> None:
    maestro = dataclasses.replace(
        esc50,
        facts=task_facts("maestro", workspace),
        ran=dataclasses.replace(RAN, frames_per_s=500.0),
    )
    most = [maestro.probe(allowed).memory_bytes for allowed in (1 << 30, 2 << 30)]
    assert most[0] is not None
    assert most[1] is not None
    # This process itself may have grown in between.
    assert most[1] - most[0] == pytest.approx(1 << 30, rel=0.05)


def test_embedding_goes_by_the_seconds_of_audio(esc50: Estimates) -> None:
    found = esc50.embed()
    assert seconds(found).expected == pytest.approx(10_000 * 0.5)
    assert found.disk_bytes == pytest.approx(2000 * 4000, rel=0.05)


def test_a_download_takes_disk_for_its_archive_in_passing(esc50: Estimates) -> None:
    asked = dataclasses.replace(esc50.asked, download_bytes_per_s=1e7)
    fetch = dataclasses.replace(esc50, asked=asked).fetch()
    audio = 10_000 * 48000 * 2 + 44 * 2000
    assert fetch.disk_bytes == audio
    assert fetch.passing_bytes == round(0.85 * audio)
    assert seconds(fetch).expected == pytest.approx(0.85 * audio / 1e7 + 10)
    assert seconds(esc50.check()).expected == pytest.approx(10)
    unpublished = dataclasses.replace(esc50.facts, ready_made=False)
    assert dataclasses.replace(esc50, facts=unpublished).fetch().seconds is None


def test_what_is_resampled_already_does_not_count(esc50: Estimates) -> None:
    half = esc50.resample(0.5)
    assert seconds(half).expected == pytest.approx(10_000 * 0.01 / 2)
    assert half.disk_bytes == pytest.approx(10_000 * 16000, rel=1e-3)


def test_results_are_of_every_seed(esc50: Estimates) -> None:
    found: TaskFacts = esc50.facts
    one, three = (trained(esc50, *RAN.stacks, seeds=seeds).result() for seeds in (1, 3))
    assert (seconds(one).expected, seconds(three).expected) == (2.0, 6.0)
    assert one.disk_bytes > 4 * found.n_labels * found.n_clips
