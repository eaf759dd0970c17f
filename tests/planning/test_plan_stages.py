"""Speeds and numbers of clips become times by plain arithmetic."""

from __future__ import annotations

import dataclasses

import pytest

from hearbench.planning import stages
from hearbench.planning.audio_speed import FileSpeed, ModelSpeed
from hearbench.planning.facts import TaskFacts, task_facts
from hearbench.planning.probe_speed import GroupSpeed, ProbeShape, ProbeSpeed
from hearbench.planning.record import StageEstimate
from hearbench.probe.protocol import GridPoint
from hearbench.workspace import Workspace

FILES = FileSpeed(check_s=0.001, resample_s=0.01, read_s=0.002)
MODEL = ModelSpeed(5.0, 4, 3, 0.5, 0.0, 1000, 300.0)
POINT = GridPoint(max_epochs=500, check_every=3, patience=20)


@pytest.fixture
def esc50(workspace: Workspace) -> TaskFacts:
    """2000 clips of 5 s, 50 labels, 5 folds."""
    return task_facts("esc50", workspace)


# Twice the first chance to stop, which comes after 63 epochs.
STOPPING = stages.Stopping(0.2)


def probe(
    facts: TaskFacts,
    groups: tuple[GroupSpeed, ...],
    seeds: int = 1,
    stopping: stages.Stopping = STOPPING,
) -> StageEstimate:
    speed = ProbeSpeed(ProbeShape(1000, 50, False, 600, 400, 2), groups, 4)
    return stages.probe(
        facts,
        speed,
        MODEL,
        seeds=seeds,
        itemsize=4,
        base_bytes=0,
        max_memory_bytes=1 << 40,
        stopping=stopping,
    )


def test_the_grid_counts_once_and_the_winner_for_every_other_fold(esc50: TaskFacts) -> None:
    group = GroupSpeed((POINT, POINT, POINT), 0.3, 0.1, 0.003, 0.001)
    found = probe(esc50, (group,))
    assert found.seconds is not None
    # Two steps an epoch, a validation of 400 clips every third; 63 epochs at least, 500 at most.

    def seconds(epochs: float) -> float:
        first = epochs * 2 * 0.3 + epochs / 3 * 400 * 0.003
        other = epochs * 2 * 0.1 + epochs / 3 * 400 * 0.001
        return first + 4 * other

    # And some tenths of a second for every fold.
    assert found.seconds.low == pytest.approx(0.7 * (seconds(63) + 1.5))
    assert found.seconds.expected == pytest.approx(seconds(126) + 1.5)
    assert found.seconds.high == pytest.approx(1.5 * (seconds(500) + 1.5))


def test_what_wins_decides_between_the_bounds(esc50: TaskFacts) -> None:
    shallow = GroupSpeed((POINT,), 0.1, 0.1, 0.0, 0.0)
    deep = GroupSpeed((POINT.model_copy(update={"hidden_layers": 2}),) * 3, 0.9, 0.3, 0.0, 0.0)
    both, one, two = (probe(esc50, groups) for groups in ((shallow, deep), (shallow,), (deep,)))
    assert both.seconds is not None
    assert one.seconds is not None
    assert two.seconds is not None
    assert one.seconds.low < both.seconds.low < two.seconds.low + one.seconds.low
    # Three of four points are deep.
    grid = 126 * 2 * (0.1 + 0.9) + 2 * 0.3
    others = 4 * (126 * 2 * (0.1 + 3 * 0.3) / 4 + 0.3)
    assert both.seconds.expected == pytest.approx(grid + others)
    assert both.disk_bytes < both.disk_high_bytes


def test_those_that_stop_last_go_on_with_less_beside_them(esc50: TaskFacts) -> None:
    # Three together take twice what one takes: half of an epoch's time is for each that is left.
    one_fold = dataclasses.replace(esc50, folds=esc50.folds[:1])
    found = probe(one_fold, (GroupSpeed((POINT, POINT, POINT), 0.2, 0.1, 0.0, 0.0),))
    assert found.seconds is not None
    # Two steps an epoch. They stop between 63 and 189 epochs, the mean of which is 126, one by one.
    times = [2 * (0.05 + 0.05 * left) for left in (3, 2, 1)]
    ends = (63, 126, 189)
    expected = ends[0] * times[0] + 63 * times[1] + 63 * times[2]
    assert found.seconds.expected == pytest.approx(expected + 0.3)
    assert found.seconds.low == pytest.approx(0.7 * (63 * 2 * 0.2 + 0.3))
    assert found.seconds.high == pytest.approx(1.5 * (500 * 2 * 0.2 + 0.3))


def test_one_that_takes_less_than_its_part_takes_its_part(esc50: TaskFacts) -> None:
    one_fold = dataclasses.replace(esc50, folds=esc50.folds[:1])
    found = probe(one_fold, (GroupSpeed((POINT, POINT), 0.4, 0.1, 0.0, 0.0),))
    assert found.seconds is not None
    assert found.seconds.expected == pytest.approx(126 * 2 * 0.4 + 0.3)


@pytest.mark.parametrize(
    ("stopping", "epochs"),
    [
        (stages.Stopping(0.0), 1.5 * 63),
        (stages.Stopping(1.0), 4 * 63),
        (stages.Stopping(1.0, before=100.0), 100),
        (stages.Stopping(0.0, before=10.0), 63),
        (stages.Stopping(0.0, before=900.0), 500),
    ],
)
def test_the_epochs_that_are_reckoned_with(
    esc50: TaskFacts, stopping: stages.Stopping, epochs: float
) -> None:
    one_fold = dataclasses.replace(esc50, folds=esc50.folds[:1])
    found = probe(one_fold, (GroupSpeed((POINT,), 0.1, 0.1, 0.0, 0.0),), stopping=stopping)
    assert found.seconds is not None
    assert found.seconds.expected == pytest.approx(epochs * 2 * 0.1 + 0.3)
    assert ("as in earlier trainings" in found.made_from) == (stopping.before is not None)


def test_seeds_are_kept_each_by_itself(esc50: TaskFacts) -> None:
    group = GroupSpeed((POINT,), 0.1, 0.1, 0.0, 0.0)
    one, three = probe(esc50, (group,)), probe(esc50, (group,), seeds=3)
    assert three.disk_bytes == 3 * one.disk_bytes
    assert three.memory_bytes is not None
    assert one.memory_bytes is not None
    assert three.memory_bytes > one.memory_bytes


def test_nothing_trained_takes_a_time_that_is_not_known(esc50: TaskFacts) -> None:
    assert probe(esc50, ()).seconds is None


def test_frames_stay_within_the_memory_that_is_allowed(workspace: Workspace) -> None:
    maestro = task_facts("maestro", workspace)
    model = dataclasses.replace(MODEL, frames_per_s=500.0)
    speed = ProbeSpeed(
        ProbeShape(1000, 88, True, 1024, 400, 2), (GroupSpeed((POINT,), 0.1, 0.1, 0.0, 0.0),), 4
    )
    most = [
        stages.probe(
            maestro,
            speed,
            model,
            seeds=1,
            itemsize=4,
            base_bytes=0,
            max_memory_bytes=allowed,
            stopping=STOPPING,
        ).memory_bytes
        for allowed in (1 << 30, 2 << 30)
    ]
    assert most[0] is not None
    assert most[1] is not None
    assert most[1] - most[0] == 1 << 30


def test_embedding_goes_by_the_seconds_of_audio(esc50: TaskFacts) -> None:
    given = stages.Embedding(
        model=MODEL,
        files=FILES,
        batch=16,
        itemsize=4,
        sample_rate=16000,
        base_bytes=1000,
        one_device=True,
    )
    found = stages.embed(esc50, given)
    assert found.seconds is not None
    # 10 000 s of audio: half a second each by the model, and 2 ms to read; 8 MB at 400 MB/s,
    # and 0.2 s to begin.
    assert found.seconds.expected == pytest.approx(10_000 * 0.502 + 0.22, rel=1e-4)
    assert found.disk_bytes == pytest.approx(2000 * 4000, rel=0.05)
    beside = stages.embed(esc50, dataclasses.replace(given, one_device=False))
    assert beside.seconds is not None
    assert beside.seconds.expected == pytest.approx(10_000 * 0.5 + 0.22, rel=1e-4)


def test_a_download_takes_disk_for_its_archive_in_passing(esc50: TaskFacts) -> None:
    fetch, check = stages.fetch_and_check(esc50, FILES, 1e7)
    assert fetch.seconds is not None
    audio = 10_000 * 48000 * 2 + 44 * 2000
    assert fetch.disk_bytes == audio
    assert fetch.passing_bytes == round(0.85 * audio)
    assert fetch.seconds.expected == pytest.approx(0.85 * audio / 1e7 + 10)
    assert check.disk_bytes == 0
    unpublished = dataclasses.replace(esc50, ready_made=False)
    assert stages.fetch_and_check(unpublished, FILES, 1e7)[0].seconds is None


def test_resampling_is_left_out_where_the_rate_is_there(esc50: TaskFacts) -> None:
    assert stages.resample(esc50, FILES, 48000, 1.0) is None
    assert stages.resample(esc50, FILES, 16000, 0.0) is None
    half = stages.resample(esc50, FILES, 16000, 0.5)
    assert half is not None
    assert half.seconds is not None
    assert half.seconds.expected == pytest.approx(10_000 * 0.01 / 2)
    assert half.disk_bytes == pytest.approx(10_000 * 16000, rel=1e-3)
