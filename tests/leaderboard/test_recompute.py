from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_leaderboard import DCASE, ESC50, made_up_task, write_scene_and_event_result
from sklearn.metrics import accuracy_score, average_precision_score

from hearbench.errors import ResultError
from hearbench.leaderboard.own_row import own_row
from hearbench.leaderboard.recompute import has_predictions, recompute
from hearbench.results import Result
from hearbench.results.differences import score_differences


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene_and_event_result(tmp_path_factory.mktemp("results"))


@pytest.fixture
def scene(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / ESC50, tmp_path / ESC50)


@pytest.fixture
def event(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / DCASE, tmp_path / DCASE)


def test_scores_are_scikit_learns_of_the_stored_predictions(scene: Path) -> None:
    found = recompute(scene)
    folds = [f"fold{i:02d}" for i in range(5)]
    arrays = [
        (np.load(scene / f"predictions/{f}.targets.npy"), np.load(scene / f"predictions/{f}.npy"))
        for f in folds
    ]
    accuracies = [accuracy_score(y.argmax(1), p.argmax(1)) for y, p in arrays]
    precisions = [average_precision_score(y, p, average="macro") for y, p in arrays]
    assert list(found["top1_acc"].per_fold.values()) == pytest.approx(accuracies)
    assert list(found["mAP"].per_fold.values()) == pytest.approx(precisions)
    assert found["mAP"].mean == pytest.approx(np.mean(precisions))
    assert found["mAP"].std == pytest.approx(np.std(precisions, ddof=1))


@pytest.mark.parametrize("name", [ESC50, DCASE])
def test_all_of_a_result_is_found_again(name: str, made: Path) -> None:
    result = Result.read(made / name)
    assert has_predictions(made / name)
    for task in (None, made_up_task(name)):
        found = recompute(made / name, task)
        assert score_differences(result.scores, found) == []
        assert {n: s.model_dump() for n, s in found.items()} == {
            n: s.model_dump() for n, s in result.scores.items()
        }


def save(
    path: Path, edit: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.float32]]], None]
) -> None:
    array = np.load(path)
    edit(array)
    np.save(path, array)


def test_a_flipped_prediction(scene: Path) -> None:
    def flip(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        array[9] = np.roll(array[9], 1)

    save(scene / "predictions/fold02.npy", flip)
    differences = score_differences(Result.read(scene).scores, recompute(scene))
    assert "top1_acc, fold02: 0.75 is stated, 0.7 is right" in differences
    (refusal,) = own_row([scene]).refused
    assert "it, or what lies beside it, has been edited: top1_acc, fold02" in refusal.reason


def test_a_flipped_label(scene: Path) -> None:
    def flip(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        array[0] = [0, 1, 0]

    save(scene / "predictions/fold00.targets.npy", flip)
    assert score_differences(Result.read(scene).scores, recompute(scene))
    with pytest.raises(ResultError, match=r"the labels of fold00-0\.wav aren't those of esc50"):
        recompute(scene, made_up_task(ESC50))


def test_labels_that_were_changed_with_the_scores_are_only_seen_by_the_task(scene: Path) -> None:
    """Labels made from the predictions: all is consistent, and the task says otherwise."""
    for file in scene.glob("predictions/fold0?.npy"):
        best = np.load(file).argmax(1)
        np.save(file.with_suffix(".targets.npy"), np.eye(3, dtype=np.uint8)[best])
    assert recompute(scene)["top1_acc"].mean == 1
    with pytest.raises(ResultError, match="aren't those of"):
        recompute(scene, made_up_task(ESC50))


def test_events_that_do_not_follow_from_the_frames(event: Path) -> None:
    file = event / "predictions/test.events.json"
    events = json.loads(file.read_text())
    reference = json.loads((event / "predictions/test.reference.json").read_text())
    file.write_text(json.dumps({**events, "test-0.wav": reference["test-0.wav"]}))
    with pytest.raises(ResultError, match="other events than the probabilities"):
        recompute(event)
    assert "other events than" in own_row([event]).refused[0].reason


def test_a_frame_that_was_changed(event: Path) -> None:
    def flip(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        array[:40] = 0.9

    save(event / "predictions/test.npy", flip)
    with pytest.raises(ResultError, match="other events than the probabilities"):
        recompute(event)


def test_a_reference_that_was_changed(event: Path) -> None:
    shutil.copy(event / "predictions/test.events.json", event / "predictions/test.reference.json")
    with pytest.raises(ResultError, match=r"per_label\.json: event_onset_200ms_fms\.f_measure"):
        recompute(event)
    (event / "predictions/test.per_label.json").unlink()
    assert score_differences(Result.read(event).scores, recompute(event))
    with pytest.raises(ResultError, match="has other events than dcase2016_task2"):
        recompute(event, made_up_task(DCASE))


def drop_file(folder: Path) -> None:
    (folder / "predictions/fold03.npy").unlink()


def drop_fold(folder: Path) -> None:
    file = folder / "predictions/clips.json"
    splits = json.loads(file.read_text())
    del splits["fold03"]
    file.write_text(json.dumps(splits))


def fewer_rows(folder: Path) -> None:
    file = folder / "predictions/fold03.npy"
    np.save(file, np.load(file)[:-1])


def not_probabilities(folder: Path) -> None:
    file = folder / "predictions/fold03.npy"
    np.save(file, np.load(file) * 3)


def one_nan(folder: Path) -> None:
    file = folder / "predictions/fold03.npy"
    array = np.load(file)
    array[3, 1] = np.nan
    np.save(file, array)


def a_pickle(folder: Path) -> None:
    file = folder / "predictions/fold03.npy"
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def clips_twice(folder: Path) -> None:
    file = folder / "predictions/clips.json"
    splits = json.loads(file.read_text())
    splits["fold03"][1] = splits["fold03"][0]
    file.write_text(json.dumps(splits))


def fewer_clips(folder: Path) -> None:
    file = folder / "predictions/clips.json"
    splits = json.loads(file.read_text())
    splits["fold03"].pop()
    file.write_text(json.dumps(splits))
    for name in ("fold03.npy", "fold03.targets.npy"):
        np.save(folder / "predictions" / name, np.load(folder / "predictions" / name)[:-1])


def other_labels(folder: Path) -> None:
    (folder / "predictions/labels.json").write_text('["a", "b"]')


def twos(folder: Path) -> None:
    file = folder / "predictions/fold03.targets.npy"
    np.save(file, np.load(file) * 2)


def no_json(folder: Path) -> None:
    (folder / "predictions/clips.json").write_text("{")


def up_and_out(folder: Path) -> None:
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace('"fold03"', '"../../fold03"'))


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (drop_file, r"fold03\.npy can't be read"),
        (drop_fold, r"has the test splits fold00, fold01, fold02, fold04, and the result"),
        (fewer_rows, r"fold03\.npy has the shape \(19, 3\)"),
        (not_probabilities, "values that are no probabilities"),
        (one_nan, "values that are no probabilities"),
        (a_pickle, "is not an array"),
        (clips_twice, "clips of fold03 are there twice"),
        (fewer_clips, "has 19 clips of fold03, and the result 20"),
        (other_labels, "has 2 labels, and the result 3"),
        (twos, "values other than 0 and 1"),
        (no_json, "is not valid JSON"),
        (up_and_out, "can't be the name of a split"),
    ],
)
def test_broken_folders_are_refused(tamper: Callable[[Path], None], says: str, scene: Path) -> None:
    tamper(scene)
    with pytest.raises(ResultError, match=says):
        recompute(scene)
