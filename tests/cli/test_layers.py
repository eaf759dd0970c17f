from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import Answer, hearbench
from helpers_layers import THREE_LAYERS, write_layers_result, write_weighted_result
from helpers_leaderboard import DCASE, ESC50, write_made_up_result

FOLDS = [f"fold0{i}" for i in range(5)]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``plain``: two models of layers on one task and one on another; ``weighted``: one of them."""
    root = tmp_path_factory.mktemp("results")
    write_layers_result(root / "plain", model="first", seeds=(42, 43))
    write_layers_result(root / "plain", model="second")
    write_layers_result(root / "plain", model="second", task=DCASE)
    weights = [dict.fromkeys(FOLDS, (0.1, 0.85, 0.05)), dict.fromkeys(FOLDS, (0.1, 0.75, 0.15))]
    write_weighted_result(root / "weighted", weights, model="first")
    return root


def rows(answer: Answer) -> list[list[str]]:
    """The words of every line of the answer."""
    return [line.split() for line in answer.stdout.splitlines()]


def test_one_model_with_its_weights(out: Path) -> None:
    answer = hearbench("layers", out / "plain/first", out / "weighted")
    assert answer.code == 0
    lines = rows(answer)
    assert lines[0] == [f"{ESC50}:", "top1_acc,", "layers", "of", "first"]
    assert ["layer", "validation", "top1_acc", "weight"] in lines
    of_layer = {line[0]: line for line in lines if line and line[0] in {"2", "4", "7"}}
    # Validations are the mean of both seeds'; scores of 20 clips with 1, 4 and 10 wrong, and one
    # more with the other seed.
    assert of_layer["2"][1:3] == ["0.450", "0.925"]
    assert of_layer["4"][1:3] == ["0.750", "0.775"]
    assert of_layer["7"][1:3] == ["0.750", "0.475"]
    assert [line[-1] for line in of_layer.values()] == ["0.100", "0.800", "0.100"]
    assert ["*" in line for line in of_layer.values()] == [False, True, True]
    assert any(line[:4] == ["best", "by", "validation", "0.625"] for line in lines)
    assert any(line[:2] == ["weighted", "0.900"] for line in lines)
    assert "layer 4 with seed 42; layer 7 with seed 43" in answer.stdout


def test_models_side_by_side(out: Path) -> None:
    answer = hearbench("layers", out / "plain")
    lines = rows(answer)
    assert [line[0] for line in lines if line and line[0].endswith("-full:")] == [
        f"{ESC50}:",
        f"{DCASE}:",
    ]
    assert ["layer", "first", "second"] in lines
    (layer,) = (line for line in lines if line[:2] == ["4", "0.775"])
    assert layer[5:6] == ["0.800"]
    # Half the interval of the file.
    sure = hearbench("layers", out / "plain", "--json").json["layers"]
    ((low, high),) = (
        (point["scores"]["top1_acc"]["low"], point["scores"]["top1_acc"]["high"])
        for each in sure
        if each["model"] == "second" and each["task"] == ESC50
        for point in each["curve"]["points"]
        if point["layer"] == 4
    )
    assert float(layer[7]) == pytest.approx((high - low) / 2, abs=6e-4)


def test_other_protocols_are_said(out: Path, tmp_path: Path) -> None:
    folder = write_layers_result(tmp_path, model="third")
    content = json.loads((folder / "result.json").read_text())
    content["protocol"]["name"] = "layers:mine"
    (folder / "result.json").write_text(json.dumps(content))
    words = " ".join(hearbench("layers", out / "plain/second", tmp_path).stdout.split())
    assert (
        f"{ESC50}: evaluated by different protocols, second by layers[first=3]; third by" in words
    )


def test_json_holds_all_scores(out: Path) -> None:
    answer = hearbench("layers", out / "weighted", out / "plain/second", "--json")
    first, *second = answer.json["layers"]
    assert (first["model"], first["task"], first["curve"]) == ("first", ESC50, None)
    assert first["weights"]["mean"] == pytest.approx({"2": 0.1, "4": 0.8, "7": 0.1})
    assert first["weights"]["weights"]["43"]["fold03"] == [0.1, 0.75, 0.15]
    assert {each["task"]: each["weights"] for each in second} == {ESC50: None, DCASE: None}
    points = {each["task"]: each["curve"]["points"] for each in second}
    assert [point["layer"] for point in points[ESC50]] == list(THREE_LAYERS)
    assert [point["chosen_by"] for point in points[ESC50]] == [[], [42], []]
    assert set(points[DCASE][0]["scores"]) == {"event_onset_200ms_fms", "segment_1s_er"}


def test_files_for_others(out: Path, tmp_path: Path) -> None:
    plot, table, text = tmp_path / "a.svg", tmp_path / "a.csv", tmp_path / "a.md"
    answer = hearbench(
        "layers", out / "plain/second" / ESC50, "--plot", plot, "--csv", table, "--markdown", text
    )
    assert [line for line in answer.stderr.splitlines() if line.startswith("wrote")]
    assert plot.read_text().startswith("<?xml")
    with table.open(newline="") as file:
        read: list[dict[str, Any]] = list(csv.DictReader(file))
    assert [(row["model"], row["layer"], row["chosen"]) for row in read[:3]] == [
        ("second", "2", "False"),
        ("second", "4", "True"),
        ("second", "7", "False"),
    ]
    assert math.isclose(float(read[3]["mean"]), 0.8)
    lines = text.read_text().splitlines()
    assert lines[0] == f"### {ESC50}: top1_acc, layers of second"
    assert lines[2] == "| layer | validation | top1_acc |"
    assert lines[5].startswith("| 4 | 0.900 | 0.800 (")
    assert lines[5].endswith(") * |")


def test_what_cant_be_shown_is_refused(out: Path, tmp_path: Path) -> None:
    write_made_up_result(tmp_path, ESC50)
    answer = hearbench("layers", out / "plain", tmp_path)
    assert answer.code == 2
    assert f"{tmp_path} holds no results of layers" in answer.stderr
    answer = hearbench("layers", out / "plain", "--score", "mAP")
    assert answer.code == 2
    assert f"{DCASE} has no score 'mAP'; it has event_onset_200ms_fms" in answer.stderr
    answer = hearbench("layers", out / "plain", "--plot", tmp_path / "a.txt")
    assert answer.code == 2
    assert "a.txt: plots are written as .png, .svg or .pdf" in answer.stderr
