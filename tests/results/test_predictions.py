"""Predictions as they are written, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_leaderboard import DCASE, ESC50, made_up_predictions, write_made_up_result
from sklearn.metrics import accuracy_score

from hearbench.errors import ResultError, UnknownNameError
from hearbench.metrics import event_scores
from hearbench.results import RESULT_FILE, Result
from hearbench.results.predictions import Predictions
from hearbench.results.splits import EventSplit, SceneSplit
from hearbench.tasks.task_type import EVENT, SCENE


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_made_up_result(tmp_path, ESC50, wrong=5)


@pytest.fixture
def event(tmp_path: Path) -> Path:
    return write_made_up_result(tmp_path, DCASE, wrong=4)


def test_a_scene_task_is_read_as_it_was_written(scene: Path) -> None:
    fitted = made_up_predictions(ESC50, wrong=5)
    read = Predictions.read(scene)
    assert read.task_type is SCENE
    assert read.labels == ("a", "b", "c")
    assert list(read.splits) == [f"fold0{i}" for i in range(5)]
    for fold, split in zip(fitted.scene_folds(), read.splits.values(), strict=True):
        assert isinstance(split, SceneSplit)
        assert split.clips == fold.clips
        np.testing.assert_array_equal(split.probabilities, fold.probabilities)
        np.testing.assert_array_equal(split.targets, fold.targets)
        right = accuracy_score(fold.targets.argmax(1), fold.probabilities.argmax(1))
        assert split.parts("top1_acc") == {"top1_acc": pytest.approx(right)}
        assert split.clip_score("top1_acc")(np.ones((1, 20)))[0] == pytest.approx(right)


def test_an_event_task_is_read_as_it_was_written(event: Path) -> None:
    (fold,) = made_up_predictions(DCASE, wrong=4).event_folds()
    read = Predictions.read(event)
    assert read.task_type is EVENT
    (split,) = read.splits.values()
    assert isinstance(split, EventSplit)
    np.testing.assert_array_equal(split.probabilities, fold.probabilities)
    np.testing.assert_array_equal(split.bounds, fold.bounds)
    np.testing.assert_array_equal(split.timestamps_ms, fold.timestamps_ms)
    times, probabilities = split.frames(7)
    np.testing.assert_array_equal(times, fold.timestamps_ms[7 * 40 : 8 * 40])
    np.testing.assert_array_equal(probabilities, fold.probabilities[7 * 40 : 8 * 40])
    reference, estimate = (
        json.loads((event / f"predictions/test.{what}.json").read_text())
        for what in ("reference", "events")
    )
    found = event_scores(reference, estimate, ["a", "b", "c"], "segment_1s_er")
    assert split.parts("segment_1s_er") == found


@pytest.mark.parametrize("name", [ESC50, DCASE])
def test_what_is_written_again_is_the_same(name: str, tmp_path: Path) -> None:
    first = write_made_up_result(tmp_path / "first", name, wrong=3)
    Predictions.read(first).write(tmp_path / "again")
    files = sorted(path.name for path in (first / "predictions").iterdir())
    assert sorted(path.name for path in (tmp_path / "again/predictions").iterdir()) == files
    for file in files:
        written = (tmp_path / "again/predictions" / file).read_bytes()
        assert written == (first / "predictions" / file).read_bytes(), file


@pytest.mark.parametrize("name", [ESC50, DCASE])
def test_scores_are_those_of_the_result(name: str, tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, name, wrong=3)
    stated = Result.read(folder).scores
    assert Predictions.read(folder).scores() == stated
    assert Predictions.of(made_up_predictions(name, wrong=3)).scores() == stated


def test_files_that_are_not_used_are_not_read(scene: Path, event: Path) -> None:
    (scene / "predictions/fold03.npy").write_text("no array")
    read = Predictions.read(scene)
    assert read.splits["fold02"].parts("top1_acc")
    with pytest.raises(ResultError, match=r"fold03\.npy is not an array"):
        read.splits["fold03"].parts("top1_acc")
    (event / "predictions/test.npy").write_text("no array")
    assert Predictions.read(event).scores()
    with pytest.raises(ResultError, match=r"test\.npy is not an array"):
        Predictions.read(event).verify()


@pytest.mark.parametrize("name", [ESC50, DCASE])
def test_clips_in_another_order(name: str, tmp_path: Path) -> None:
    split = next(iter(Predictions.read(write_made_up_result(tmp_path, name)).splits.values()))
    order = np.random.default_rng(0).permutation(20)
    turned = split.ordered(order)
    assert turned.clips == tuple(split.clips[i] for i in order)
    back = turned.ordered(np.argsort(order))
    assert back.clips == split.clips
    assert back.differing_clips(split) == []
    for score in Predictions.read(tmp_path / "my_model" / name).score_names:
        each = np.eye(20)
        found = turned.clip_score(score)(each[:, order])
        np.testing.assert_array_equal(found, split.clip_score(score)(each))
    # With other names the same annotation is that of other clips.
    other = type(split).of(made_up_fold(name, seed=5), split.labels)
    assert len(split.differing_clips(other)) == (20 if name == DCASE else 0)


def made_up_fold(name: str, seed: int) -> object:
    return made_up_predictions(name, seed=seed).folds[0]


def no_folder(folder: Path) -> None:
    (folder / "predictions").rename(folder / "elsewhere")


def no_clips(folder: Path) -> None:
    (folder / "predictions/clips.json").write_text('{"test": []}')


def fewer_frames(folder: Path) -> None:
    file = folder / "predictions/test.timestamps.npy"
    np.save(file, np.load(file)[:-1])


def frames_backwards(folder: Path) -> None:
    file = folder / "predictions/test.bounds.npy"
    bounds = np.load(file)
    bounds[[3, 4]] = bounds[[4, 3]]
    np.save(file, bounds)


def another_clip(folder: Path) -> None:
    file = folder / "predictions/test.events.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "x.wav": []}))


def a_kind_of_its_own(folder: Path) -> None:
    file = folder / RESULT_FILE
    file.write_text(file.read_text().replace('"kind": "event"', '"kind": "other"'))


@pytest.mark.parametrize(
    ("tamper", "error", "says"),
    [
        (no_folder, ResultError, "has no predictions/"),
        (no_clips, ResultError, r"clips\.json has 0 clips of test, and the result 20"),
        (fewer_frames, ResultError, r"bounds\.npy doesn't say .* 799 in all"),
        (frames_backwards, ResultError, r"bounds\.npy doesn't say"),
        (another_clip, ResultError, r"events\.json has clips that aren't in clips\.json: x\.wav"),
        (a_kind_of_its_own, UnknownNameError, "no kind of task named 'other'"),
    ],
)
def test_files_that_contradict_each_other(
    tamper: Callable[[Path], None], error: type[Exception], says: str, event: Path
) -> None:
    tamper(event)
    with pytest.raises(error, match=says):
        Predictions.read(event).verify()
