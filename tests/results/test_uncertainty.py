from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_leaderboard import made_up_predictions, write_made_up_result
from scipy import stats

from hearbench.errors import ResultError
from hearbench.files import write_json
from hearbench.results import Result, score, write_result
from hearbench.results.clip_scores import read_clip_scores
from hearbench.results.uncertainty import UNCERTAINTY_FILE, Uncertainty, uncertainty

ESC50 = "esc50-v2.0.0-full"
DCASE = "dcase2016_task2-hear2021-full"
FSD50K = "fsd50k-v1.0-full"
TASKS = (ESC50, DCASE, FSD50K)


def write_seeds(folder: Path, name: str, wrong: dict[int, int]) -> Path:
    """A result with further seeds, each with so many clips wrong; the events are the same."""
    for i, (seed, n_wrong) in enumerate(wrong.items()):
        predictions = dataclasses.replace(made_up_predictions(name, wrong=n_wrong), seed=seed)
        write_result(score(predictions), predictions, folder / "seeds" / str(seed) if i else folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    for name in TASKS:
        write_made_up_result(out, name, wrong=6)
    return out / "my_model"


@pytest.mark.parametrize("name", TASKS)
def test_clip_scores_are_the_results_scores(name: str, made: Path) -> None:
    result = Result.read(made / name)
    found = read_clip_scores(made / name)
    assert [split.name for split in found.splits] == [fold.test for fold in result.folds]
    for split in found.splits:
        stated = {s: summary.per_fold[split.name] for s, summary in result.scores.items()}
        assert split.points == pytest.approx(stated, nan_ok=True)
        assert (
            list(split.clips)
            == json.loads((made / name / "predictions/clips.json").read_text())[split.name]
        )


@pytest.mark.parametrize("name", [ESC50, DCASE])
def test_clips_in_another_order_are_put_into_the_first_ones(
    name: str, made: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(made / name, tmp_path / name)
    place = other / "predictions"
    clips = json.loads((place / "clips.json").read_text())
    write_json(place / "clips.json", {split: names[::-1] for split, names in clips.items()})
    if name == ESC50:
        for split in clips:
            for file in (place / f"{split}.npy", place / f"{split}.targets.npy"):
                np.save(file, np.load(file)[::-1])
    first = read_clip_scores(made / name)
    again = read_clip_scores(other, like=first)
    weights = np.random.default_rng(0).integers(0, 3, (4, 20))
    for one, two in zip(first.splits, again.splits, strict=True):
        assert one.clips == two.clips
        for of_one, of_two in zip(one.scores.values(), two.scores.values(), strict=True):
            assert of_one is not None
            assert of_two is not None
            np.testing.assert_allclose(of_one(weights), of_two(weights), rtol=1e-12)


def other_clip(folder: Path) -> None:
    file = folder / "predictions/clips.json"
    file.write_text(file.read_text().replace("fold03-7.wav", "fold03-77.wav"))


def other_target(folder: Path) -> None:
    # A wrong label of a clip that is taken for another one anyway: no score changes.
    file = folder / "predictions/fold01.targets.npy"
    targets = np.load(file)
    targets[0] = np.roll(targets[0], -1)
    np.save(file, targets)
    result = json.loads((folder / "result.json").read_text())
    for split in read_points(folder):
        for name, value in split.items():
            result["scores"][name]["per_fold"]["fold01"] = value
    (folder / "result.json").write_text(json.dumps(result))


def read_points(folder: Path) -> list[dict[str, float]]:
    from hearbench.leaderboard.recompute import recompute

    return [{name: s.per_fold["fold01"] for name, s in recompute(folder).items()}]


def no_predictions(folder: Path) -> None:
    shutil.rmtree(folder / "predictions")


def flipped(folder: Path) -> None:
    file = folder / "predictions/fold02.npy"
    array = np.load(file)
    array[9] = np.roll(array[9], 1)
    np.save(file, array)


def renamed_labels(folder: Path) -> None:
    (folder / "predictions/labels.json").write_text('["a", "b", "d"]')


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (other_clip, r"other clips of fold03: fold03-7\.wav and 0 more"),
        (other_target, r"other labels of fold01: those of fold01-0\.wav and of 0 more clips"),
        (no_predictions, "has no predictions/"),
        (flipped, r"of fold02, and its predictions give .*: one of them has been edited"),
        (renamed_labels, "with other labels"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tamper: Callable[[Path], None], says: str, made: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(made / ESC50, tmp_path / ESC50)
    first = read_clip_scores(made / ESC50)
    tamper(folder)
    with pytest.raises(ResultError, match=says):
        read_clip_scores(folder, like=first)


def test_seeds_folds_and_clips_are_told_apart(tmp_path: Path) -> None:
    folder = write_seeds(tmp_path / "m" / ESC50, ESC50, {42: 2, 43: 4, 44: 9})
    found = uncertainty(folder, n_resamples=500)
    assert found.seeds == (42, 43, 44)
    accuracy = found.scores["top1_acc"]
    means = [0.9, 0.8, 0.55]
    assert list(accuracy.per_seed.values()) == pytest.approx(means)
    assert accuracy.mean == pytest.approx(0.75)
    assert accuracy.seeds is not None
    assert accuracy.folds is not None
    assert accuracy.clips is not None
    assert accuracy.seeds.std == pytest.approx(np.std(means, ddof=1))
    low, high = stats.t.interval(0.95, 2, loc=0.75, scale=stats.sem(means))
    assert accuracy.seeds.interval.low == pytest.approx(low)
    assert accuracy.seeds.interval.high == pytest.approx(min(1.0, high))
    # Every fold has as many clips wrong.
    assert accuracy.folds.std == pytest.approx(0)
    assert accuracy.folds.beyond == 0
    # Of 20 clips per fold, 11 are right by all seeds, 5 by two, 2 by one, 2 by none.
    right = np.repeat([0, 1 / 3, 2 / 3, 1], [2, 2, 5, 11])
    assert accuracy.clips.std == pytest.approx(np.std(right, ddof=1) / 10, rel=0.1)
    assert accuracy.clips.n == 100
    assert accuracy.total is not None
    assert accuracy.total.std > accuracy.seeds.std / math.sqrt(3)
    assert accuracy.notes == ()
    file = folder / UNCERTAINTY_FILE
    write_json(file, found.model_dump(mode="json"))
    assert Uncertainty.read(folder) == found
    assert uncertainty(folder, n_resamples=500) == found
    assert uncertainty(folder, n_resamples=500, seed=1) != found


@pytest.mark.parametrize("name", TASKS)
def test_what_is_not_known_is_said(name: str, made: Path) -> None:
    found = uncertainty(made / name, n_resamples=100)
    assert list(found.scores) == list(Result.read(made / name).scores)
    for item in found.scores.values():
        assert item.seeds is None
        assert any(note.startswith("One seed") for note in item.notes)
        assert (item.folds is None) == (len(found.n_clips) == 1)
        assert any("One test split" in note for note in item.notes) == (len(found.n_clips) == 1)


def test_infinite_scores_have_no_interval(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, FSD50K)
    result = Result.read(folder)
    assert result.scores["d_prime"].mean == math.inf
    found = uncertainty(folder, n_resamples=50).scores["d_prime"]
    assert found.mean == math.inf
    assert (found.clips, found.total) == (None, None)
    assert "d_prime is infinite on test, so it has no interval." in found.notes
    write_json(tmp_path / "u.json", uncertainty(folder, n_resamples=50).model_dump(mode="json"))
    assert Uncertainty.read(tmp_path / "u.json").scores["d_prime"].mean == math.inf


def test_resamples_that_are_infinite_leave_no_interval(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, FSD50K, wrong=3)
    assert math.isfinite(Result.read(folder).scores["d_prime"].mean)
    found = uncertainty(folder, n_resamples=200).scores["d_prime"]
    assert found.clips is None
    assert any("is infinite in" in note and "of 200 resamples" in note for note in found.notes)


def test_scores_that_do_not_exist(tmp_path: Path) -> None:
    predictions = made_up_predictions(ESC50)
    folds = []
    for fold in predictions.folds:
        outcome = fold.outcome.model_copy(update={"validation_score": math.nan})
        probabilities = np.full_like(fold.probabilities, np.nan)
        folds.append(dataclasses.replace(fold, outcome=outcome, probabilities=probabilities))
    predictions = dataclasses.replace(predictions, folds=tuple(folds))
    write_result(score(predictions), predictions, tmp_path / ESC50)
    found = uncertainty(tmp_path / ESC50, n_resamples=20).scores["top1_acc"]
    assert math.isnan(found.mean)
    assert (found.clips, found.seeds, found.folds, found.total) == (None, None, None, None)
    assert "top1_acc is undefined on fold00, fold01" in found.notes[0]


def test_seeds_of_something_else_are_refused(tmp_path: Path) -> None:
    folder = write_seeds(tmp_path / ESC50, ESC50, {42: 2})
    write_seeds(folder / "seeds/43", ESC50, {42: 3})
    with pytest.raises(ResultError, match="are both of seed 42"):
        uncertainty(folder, n_resamples=10)
    shutil.rmtree(folder / "seeds")
    predictions = made_up_predictions(ESC50, wrong=3, digest="9" * 64)
    predictions = dataclasses.replace(predictions, seed=43)
    write_result(score(predictions), predictions, folder / "seeds/43")
    with pytest.raises(ResultError, match="are of another model"):
        uncertainty(folder, n_resamples=10)


def test_no_folder_and_no_range(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="can't be read"):
        uncertainty(tmp_path)
    with pytest.raises(ValueError, match="1 resamples"):
        uncertainty(tmp_path, n_resamples=1)
    with pytest.raises(ResultError, match="can't be read"):
        Uncertainty.read(tmp_path)
    (tmp_path / UNCERTAINTY_FILE).write_text("{}")
    with pytest.raises(
        ResultError, match="is not a record of uncertainty of format version 1: model"
    ):
        Uncertainty.read(tmp_path)


def test_an_undefined_fold_is_left_out(tmp_path: Path) -> None:
    """As if there were only the other folds, whose clips are the same."""
    predictions = made_up_predictions(ESC50, wrong=6)
    folds = predictions.scene_folds()
    blank = dataclasses.replace(
        folds[1], probabilities=np.full_like(folds[1].probabilities, np.nan), loss=math.nan
    )
    with_gap = dataclasses.replace(predictions, folds=(folds[0], blank, *folds[2:]))
    result = score(with_gap)
    defined = [v for i, v in enumerate(result.primary.per_fold.values()) if i != 1]
    assert result.primary.mean == pytest.approx(np.mean(defined))
    assert result.primary.std == pytest.approx(np.std(defined, ddof=1))
    write_result(result, with_gap, tmp_path / "gap")
    found = uncertainty(tmp_path / "gap").scores["top1_acc"]
    assert found.mean == pytest.approx(result.primary.mean)
    assert math.isnan(found.per_fold["fold01"])
    assert found.folds is not None
    assert found.clips is not None
    assert found.folds.n == 4
    assert found.folds.std == pytest.approx(np.std(defined, ddof=1))
    assert found.clips.n == sum(len(fold.clips) for fold in folds) - len(folds[1].clips)
    half = stats.t.ppf(0.975, 3) * np.std(defined, ddof=1) / 2
    assert found.folds.interval.high == pytest.approx(min(1, np.mean(defined) + half))
    assert any("undefined on fold01, which the mean leaves out" in note for note in found.notes)
    assert found.total is not None
    assert found.total.std > 0
    # With one seed where it is defined and one where it isn't, there is no interval.
    second = dataclasses.replace(predictions, seed=43)
    write_result(score(second), second, tmp_path / "gap/seeds/43")
    mixed = uncertainty(tmp_path / "gap").scores["top1_acc"]
    assert mixed.per_seed == pytest.approx(
        {42: result.primary.mean, 43: np.mean([*defined, score(second).primary.per_fold["fold01"]])}
    )
    assert mixed.total is None
