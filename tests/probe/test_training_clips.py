"""Which clips of a task a fold learns from."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_models import write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench import embed, load_model, load_task
from hearbench.errors import ProbeError
from hearbench.probe.kinds import kind_of
from hearbench.probe.protocol import FASTER
from hearbench.probe.subset import TrainSubset, mean_training_clips, training_clips
from hearbench.tasks.clips import Event
from hearbench.workspace import Workspace


@pytest.mark.parametrize("kind", ["scene", "tags", "events"])
def test_they_are_the_clips_that_the_probe_learns_from(
    kind: str, tmp_path: Path, workspace: Workspace
) -> None:
    if kind == "events":
        path = make_event_task(tmp_path, clips=8, folds=True)
    else:
        path = make_scene_task(
            tmp_path, clips_per_label=6, folds=True, multilabel=kind == "tags", duration_s=0.1
        )
    task = load_task(path, workspace=workspace)
    store = embed(
        load_model(str(write_model(tmp_path)), workspace=workspace), task, workspace=workspace
    )
    for part in (TrainSubset(shots=2, repeat=1), TrainSubset(fraction=0.4), None):
        protocol = FASTER.with_subset(part) if part else FASTER
        probe = kind_of(store, protocol, device="cpu", max_memory_bytes=1 << 30)
        for fold in task.folds():
            mine = training_clips(task, fold, part)
            learned = probe.train_order(fold)
            assert {split: sorted(order) for split, order in learned} == mine
            assert set(mine) == set(fold.train)


def test_every_label_has_its_shots(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path, clips_per_label=5, folds=True), workspace=workspace)
    for fold in task.folds():
        chosen = training_clips(task, fold, TrainSubset(shots=3))
        (split,) = fold.train
        labels = [list(task.splits[split].values())[i] for i in chosen[split]]
        assert sorted(str(label) for (label,) in labels) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert mean_training_clips(task, TrainSubset(shots=3)) == 9
    assert mean_training_clips(task, TrainSubset(fraction=0.2)) == 3
    assert mean_training_clips(task, None) == 15


def test_a_clips_labels_are_those_of_its_events(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_event_task(tmp_path, clips=9), workspace=workspace)
    (fold,) = task.folds()
    chosen = training_clips(task, fold, TrainSubset(shots=2))["train"]
    clips = [list(task.splits["train"].values())[i] for i in chosen]
    for label in task.vocabulary:
        having = [c for c in clips if any(isinstance(e, Event) and e.label == label for e in c)]
        assert len(having) >= 2
    # The last clip has no events, and counts as a clip of a share.
    assert 8 not in chosen
    assert training_clips(task, fold, TrainSubset(fraction=1))["train"] == list(range(9))


def test_what_is_too_small_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    with pytest.raises(ProbeError, match="of 12 training clips leaves 1"):
        mean_training_clips(task, TrainSubset(fraction=0.1))
