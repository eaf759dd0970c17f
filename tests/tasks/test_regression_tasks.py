"""Tasks of numbers: from a list of clips, and as a folder that is checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_tasks import tone, write_wav

from hearbench.errors import TaskError
from hearbench.probe.subset import TrainSubset, training_clips
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.tasks.stats import task_stats
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, task_type
from hearbench.workspace import Workspace

TARGETS = ("valence", "arousal")


@pytest.fixture
def rows(tmp_path: Path) -> list[str]:
    """30 clips with two numbers each; the audio is there."""
    rng = np.random.default_rng(0)
    for i in range(30):
        write_wav(tmp_path / f"audio/c{i:02d}.wav", tone(200 + 10 * i, 0.1, 16000, rng), 16000)
    return ["path,valence,arousal", *(f"c{i:02d}.wav,{i / 10},{-i}" for i in range(30))]


def make(tmp_path: Path, rows: list[str], targets: tuple[str, ...] = TARGETS) -> Path:
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    return prepare_from_csv(
        tmp_path / "clips.csv",
        tmp_path / "audio",
        OwnTask("moods", targets=targets),
        tmp_path / "out",
        workspace=Workspace(cache_dir=tmp_path / "cache", device="cpu"),
    )


def loaded(tmp_path: Path, folder: Path) -> PreparedTask:
    return load_task(folder, workspace=Workspace(cache_dir=tmp_path / "cache", device="cpu"))


def test_columns_of_numbers_become_targets(tmp_path: Path, rows: list[str]) -> None:
    task = loaded(tmp_path, make(tmp_path, rows))
    assert task.task_type is REGRESSION
    assert task.vocabulary == ("arousal", "valence")
    assert task.metadata.evaluation == ("r2", "pearson_r", "ccc", "mae")
    assert [len(task.splits[s]) for s in ("train", "valid", "test")] == [24, 3, 3]
    for split, files in task.splits.items():
        numbers = [int(name[1:3]) for name in files]
        expected = [[-i, i / 10] for i in numbers]
        np.testing.assert_array_equal(task.targets(split), expected)
    stats = task_stats(task)
    assert stats.counts.sum(axis=0).tolist() == [30, 30]
    assert stats.splits[0].labels_per_clip == 2


def test_few_labels_are_clips_drawn_at_random(tmp_path: Path, rows: list[str]) -> None:
    task = loaded(tmp_path, make(tmp_path, rows))
    (fold,) = task.folds()
    drawn = [
        training_clips(task, fold, subset)["train"]
        for subset in (
            TrainSubset(fraction=0.25),
            TrainSubset(fraction=0.5),
            TrainSubset(fraction=0.25, repeat=1),
            TrainSubset(shots=5),
        )
    ]
    assert [len(each) for each in drawn] == [6, 12, 6, 5]
    assert set(drawn[0]) < set(drawn[1])
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("text", ["nan", "inf", "", "high"])
def test_a_list_with_what_is_no_number_is_refused(
    tmp_path: Path, rows: list[str], text: str
) -> None:
    rows[5] = f"c04.wav,{text},0"
    with pytest.raises(TaskError, match=r"line 6: valence '.*' of c04.wav"):
        make(tmp_path, rows)


def test_a_list_is_refused_that_has_no_such_column_or_a_clip_twice(
    tmp_path: Path, rows: list[str]
) -> None:
    with pytest.raises(TaskError, match="'tempo' is missing"):
        make(tmp_path, rows, ("valence", "tempo"))
    with pytest.raises(TaskError, match="'split' can't be a target"):
        make(tmp_path, rows, ("split",))
    with pytest.raises(TaskError, match=r"lines 2 and 32: valence of c00.wav"):
        make(tmp_path, [*rows, "c00.wav,1,1"])
    labelled = [f"{row},{'label' if i == 0 else 'x'}" for i, row in enumerate(rows)]
    with pytest.raises(TaskError, match="no column 'label'"):
        make(tmp_path, labelled)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ('{"label": "valence", "value": NaN}', "valence nan of test/{clip}"),
        ('{"label": "valence", "value": 1e999}', "valence inf of test/{clip}"),
        ('{"label": "valence", "value": true}', "valence True of test/{clip}"),
        ('{"label": "valence"}', "of test/{clip}"),
        ('{"label": "tempo", "value": 1}', "'tempo' of test/{clip}"),
    ],
)
def test_a_folder_is_refused_whose_numbers_are_none(
    tmp_path: Path, rows: list[str], item: str, said: str
) -> None:
    folder = make(tmp_path, rows)
    files = json.loads((folder / "test.json").read_text())
    clip = next(iter(files))
    text = json.dumps({**files, clip: [{"label": "arousal", "value": 0}, "PLACE"]})
    (folder / "test.json").write_text(text.replace('"PLACE"', item))
    with pytest.raises(TaskError) as raised:
        loaded(tmp_path, folder)
    assert said.format(clip=clip) in str(raised.value)
    assert f"test/{clip} has 0 of 'valence'" in str(raised.value)


def test_a_kind_is_found_by_its_name_and_what_is_predicted() -> None:
    assert task_type("scene") is task_type("scene", "multilabel") is SCENE
    assert task_type("scene", "regression") is REGRESSION
    # What can't be is told where the task is read.
    assert task_type("event", "multiclass") is EVENT
