from __future__ import annotations

import csv
import io
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest
from helpers_layers import THREE_LAYERS, write_layers_result, write_weighted_result
from helpers_leaderboard import DCASE, ESC50, write_made_up_result

from hearbench.errors import ResultError, UnknownNameError
from hearbench.results.finding import layer_folder
from hearbench.results.layers import (
    LayerCurve,
    LayerWeights,
    find_layers,
    layers_by_task,
    layers_table,
    read_layers,
)

FOLDS = [f"fold0{i}" for i in range(5)]
# By seed and fold; layer 4 has most.
WEIGHTS = [
    dict.fromkeys(FOLDS, (0.1, 0.8, 0.1)),
    {fold: (0.3, 0.6 - 0.1 * i, 0.1 + 0.1 * i) for i, fold in enumerate(FOLDS)},
]


def seed_files(folder: Path) -> list[dict[str, Any]]:
    """What the ``result.json`` of a folder and of its further seeds hold."""
    files = [folder / "result.json", *sorted(folder.glob("seeds/*/result.json"))]
    return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def curve_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layers_result(tmp_path_factory.mktemp("out"), seeds=(42, 43))


@pytest.fixture(scope="module")
def weighted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weighted_result(tmp_path_factory.mktemp("weighted"), WEIGHTS)


def test_scores_by_layer_are_the_means_of_their_files(curve_folder: Path) -> None:
    curve = read_layers(curve_folder)
    assert isinstance(curve, LayerCurve)
    assert (curve.model, curve.task, curve.seeds) == ("my_model", ESC50, (42, 43))
    assert (curve.primary_score, curve.maximise["top1_acc"]) == ("top1_acc", True)
    assert [point.layer for point in curve.points] == list(THREE_LAYERS)
    for point in curve.points:
        place = layer_folder(curve_folder, point.layer)
        files = seed_files(place)
        assert len(files) == 2
        assert list(point.scores) == list(files[0]["scores"])
        for name in ("top1_acc", "mAP"):
            score = point.scores[name]
            means = [statistics.mean(each["scores"][name]["per_fold"].values()) for each in files]
            assert score.mean == pytest.approx(statistics.mean(means))
            assert score.std == pytest.approx(statistics.stdev(means))
            sure = json.loads((place / "uncertainty.json").read_text())["scores"][name]["total"]
            assert (score.low, score.high) == (sure["interval"]["low"], sure["interval"]["high"])
        validations = [fold["validation_score"] for each in files for fold in each["folds"]]
        assert len(validations) == 10
        assert point.validation == pytest.approx(statistics.mean(validations))
    # Of 20 clips one, four and ten are wrong in a fold with the first seed, and one more each
    # with the second.
    assert [point.scores["top1_acc"].mean for point in curve.points] == pytest.approx(
        [1 - 1.5 / 20, 1 - 4.5 / 20, 1 - 10.5 / 20]
    )
    assert curve.level == 0.95


def test_the_best_is_chosen_by_validation_and_not_by_test(curve_folder: Path) -> None:
    curve = read_layers(curve_folder)
    assert isinstance(curve, LayerCurve)
    assert curve.best == (4, 7)
    assert [point.chosen_by for point in curve.points] == [(), (42,), (43,)]
    # Of layer 4 with the first seed, and of layer 7 with the second.
    assert curve.scores["top1_acc"].mean == pytest.approx((16 / 20 + 9 / 20) / 2)


def test_one_seed_and_no_intervals(tmp_path: Path) -> None:
    folder = write_layers_result(tmp_path)
    shutil.rmtree(layer_folder(folder, 2) / "predictions")
    (layer_folder(folder, 2) / "uncertainty.json").unlink()
    curve = read_layers(folder)
    assert isinstance(curve, LayerCurve)
    assert curve.best == (4,)
    first = curve.points[0].scores["top1_acc"]
    (file,) = seed_files(layer_folder(folder, 2))
    assert first.std == file["scores"]["top1_acc"]["std"]
    assert (first.low, first.high) == (None, None)
    assert curve.points[1].scores["top1_acc"].low is not None


def test_weights_are_of_every_seed_and_fold(weighted_folder: Path) -> None:
    found = read_layers(weighted_folder)
    assert isinstance(found, LayerWeights)
    assert found.seeds == (42, 43)
    assert found.weights[43]["fold02"] == pytest.approx((0.3, 0.4, 0.3))
    assert found.mean == pytest.approx({2: 0.2, 4: (0.8 + 0.4) / 2, 7: (0.1 + 0.3) / 2})
    assert found.scores["top1_acc"].mean == pytest.approx(18 / 20)


def test_other_results_say_nothing_of_layers(tmp_path: Path) -> None:
    folder = write_made_up_result(tmp_path, ESC50)
    assert read_layers(folder) is None
    with pytest.raises(ResultError, match="--protocol layers") as caught:
        find_layers([tmp_path])
    assert caught.value.code == "not_found"


def test_layers_and_weights_of_a_model_come_together(
    curve_folder: Path, weighted_folder: Path, tmp_path: Path
) -> None:
    other = write_layers_result(tmp_path, model="other")
    write_made_up_result(tmp_path, DCASE, model="other")
    found = find_layers([curve_folder.parents[1], weighted_folder, tmp_path, other.parent])
    assert [(each.model, each.task) for each in found] == [("my_model", ESC50), ("other", ESC50)]
    mine, its = found
    assert mine.curve is not None
    assert mine.weights is not None
    assert mine.curve.folder == str(curve_folder)
    assert its.weights is None
    ((score, models),) = layers_by_task(found).values()
    assert (score, models) == ("top1_acc", (mine, its))
    with pytest.raises(UnknownNameError, match=r"'nope'; it has top1_acc"):
        layers_by_task(found, "nope")


def test_models_of_one_name_are_told_apart(curve_folder: Path, tmp_path: Path) -> None:
    write_layers_result(tmp_path / "again")
    found = find_layers([curve_folder, tmp_path])
    assert [each.model for each in found] == [
        f"{curve_folder.parents[1].name}/my_model",
        "again/my_model",
    ]


def test_the_table_has_a_row_per_layer(curve_folder: Path, weighted_folder: Path) -> None:
    table = layers_table(find_layers([curve_folder, weighted_folder]))
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [(row["result"], row["layer"]) for row in rows] == [
        ("layer", "2"),
        ("layer", "4"),
        ("layer", "7"),
        ("best", ""),
        ("weighted", ""),
    ]
    assert [row["protocol"].partition("[")[0] for row in rows[2:]] == [
        "layers",
        "layers",
        "weighted",
    ]
    assert [row["chosen"] for row in rows] == ["False", "True", "True", "", ""]
    assert [float(row["weight"] or -1) for row in rows] == pytest.approx([0.2, 0.6, 0.2, -1, -1])
    assert [float(row["mean"]) for row in rows] == pytest.approx([0.925, 0.775, 0.475, 0.625, 0.9])
    assert {row["score"] for row in rows} == {"top1_acc"}
    by_map = layers_table(find_layers([curve_folder]), "mAP").to_json()
    assert {row["score"] for row in by_map} == {"mAP"}


def test_layers_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    folder = write_layers_result(tmp_path, seeds=(42, 43))
    shutil.rmtree(layer_folder(folder, 7) / "seeds")
    with pytest.raises(ResultError, match=r"07/result\.json is of other seeds than"):
        read_layers(folder)
    shutil.rmtree(layer_folder(folder, 7))
    with pytest.raises(ResultError, match=r"07/result\.json is missing") as caught:
        read_layers(folder)
    assert caught.value.code == "not_found"
    # Of a run that was stopped before the second seed's choice.
    whole = write_layers_result(tmp_path / "whole", seeds=(42, 43))
    shutil.rmtree(whole / "seeds")
    curve = read_layers(whole)
    assert isinstance(curve, LayerCurve)
    assert (curve.seeds, curve.best) == ((42,), (4,))
    # Of an earlier run that asked for other layers, and of no more interest.
    shutil.copytree(layer_folder(folder, 2), layer_folder(folder, 7))
    shutil.copytree(layer_folder(folder, 2), layer_folder(folder, 9))
    curve = read_layers(folder)
    assert isinstance(curve, LayerCurve)
    assert [point.layer for point in curve.points] == [2, 4, 7]
