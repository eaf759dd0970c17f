"""What is known of tasks: of folders as load_task has it, of the catalog by its numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers_tasks import make_event_task, make_scene_task

from hearbench.errors import TaskError, UnknownNameError
from hearbench.planning.facts import FoldSizes, benchmark_tasks, task_facts
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


@pytest.mark.parametrize("folds", [False, True])
def test_a_folder_is_known_as_a_load_knows_it(
    tmp_path: Path, workspace: Workspace, folds: bool
) -> None:
    folder = make_scene_task(tmp_path, folds=folds)
    facts, task = task_facts(str(folder), workspace), load_task(folder, workspace=workspace)
    sizes = {split: len(files) for split, files in task.splits.items()}
    assert facts.split_sizes == sizes
    assert facts.folds == tuple(
        FoldSizes(sum(sizes[split] for split in fold.train), sizes[fold.valid], sizes[fold.test])
        for fold in task.folds()
    )
    assert (facts.name, facts.kind) == (task.name, task.kind)
    assert facts.n_labels == len(task.vocabulary)
    assert facts.rates_here == task.sample_rates
    assert facts.source_rate == task.source_rate
    assert facts.assumed == ()
    written = sum(
        path.stat().st_size
        for split in task.splits
        for path in task.audio_paths(split, task.source_rate)
    )
    assert facts.audio_bytes(task.source_rate) == pytest.approx(written, rel=1e-3)


def test_events_are_counted(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_event_task(tmp_path)
    facts, task = task_facts(str(folder), workspace), load_task(folder, workspace=workspace)
    count = sum(len(events) for files in task.splits.values() for events in files.values())
    assert facts.events_per_s * facts.audio_s == pytest.approx(count)


def test_lengths_that_vary_are_averaged_from_the_files(
    tmp_path: Path, workspace: Workspace
) -> None:
    folder = make_scene_task(tmp_path)
    metadata = folder / "task_metadata.json"
    duration_s = task_facts(str(folder), workspace).clip_s
    text = metadata.read_text().replace(
        f'"sample_duration": {duration_s:g}', '"sample_duration": null'
    )
    assert "null" in text
    metadata.write_text(text)
    facts = task_facts(str(folder), workspace)
    assert facts.metadata.sample_duration is None
    assert facts.clip_s == pytest.approx(duration_s, rel=1e-3)


def test_every_task_of_the_leaderboard_can_be_planned(workspace: Workspace) -> None:
    found = {name: task_facts(name, workspace) for name in benchmark_tasks()}
    assert len(found) == 20
    assert all(facts.name == name and facts.ready_made for name, facts in found.items())
    assert all(facts.folder is None for facts in found.values())
    # As the benchmark's paper has them: 5-fold and 3-fold, hours of audio, labels.
    assert [len(found[n].folds) for n in ("esc50-v2.0.0-full", "vocal_imitation-v1.1.3-full")] == [
        5,
        3,
    ]
    assert found["esc50-v2.0.0-full"].folds[0] == FoldSizes(1200, 400, 400)
    assert found["speech_commands-v0.0.2-5h"].split_sizes == {
        "train": 16000,
        "valid": 2000,
        "test": 4890,
    }
    assert found["nsynth_pitch-v2.2.3-50h"].split_sizes == {
        "train": 40000,
        "valid": 5000,
        "test": 4060,
    }
    assert found["fsd50k-v1.0-full"].audio_s / 3600 == pytest.approx(108.3)
    assert found["fsd50k-v1.0-full"].n_labels == 200
    assert found["maestro-v3.0.0-5h"].kind == "event"
    for facts in found.values():
        assert math.fsum(facts.split_sizes.values()) == facts.n_clips > 0
        assert all(min(fold.train, fold.valid, fold.test) > 0 for fold in facts.folds)


def test_a_task_of_the_catalog_that_is_here_is_read(tmp_path: Path, workspace: Workspace) -> None:
    folder = make_scene_task(tmp_path)
    metadata = folder / "task_metadata.json"
    old = task_facts(str(folder), workspace)
    text = metadata.read_text()
    text = text.replace(f'"{old.metadata.task_name}"', '"esc50"').replace('"1.0.0"', '"v2.0.0"')
    metadata.write_text(text)
    here = workspace.cache_dir / "tasks" / "esc50-v2.0.0-full"
    here.parent.mkdir(parents=True)
    folder.rename(here)
    facts = task_facts("esc50", workspace)
    assert facts.folder == here
    assert facts.n_clips == old.n_clips


def test_what_nobody_knows_is_said(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(UnknownNameError, match="nonsense"):
        task_facts("nonsense", workspace)
    with pytest.raises(TaskError, match="catalog doesn't say how many clips"):
        task_facts("vocal_imitation-small", workspace)
    folder = make_scene_task(tmp_path)
    (folder / "train.json").write_text("[1, 2")
    with pytest.raises(TaskError, match="can't be read"):
        task_facts(str(folder), workspace)
    (folder / "train.json").write_text("{}")
    with pytest.raises(TaskError, match="no clips to train"):
        task_facts(str(folder), workspace)
