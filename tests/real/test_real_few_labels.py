"""Learning from few labels of real audio."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from helpers_cli import hearbench

from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.workspace import Workspace, available_cores

pytestmark = pytest.mark.real


def test_spoken_digits_are_learned_label_by_label(shared: Path, tmp_path: Path) -> None:
    archive = shared / "data/corpora/free-spoken-digit-dataset.zip"
    zipfile.ZipFile(archive).extractall(tmp_path)
    workspace = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=available_cores())
    task = prepare_from_csv(
        shared / "golden/fsdd/clips.csv",
        tmp_path / "free-spoken-digit-dataset",
        OwnTask("fsdd", duration_s=0.56, scores=("top1_acc",), sample_rates=(16000, 44100)),
        tmp_path / "tasks",
        workspace=workspace,
    )
    answer = hearbench(
        *("evaluate", shared / "models/logmel_stats.py", "--task", task),
        *("--out", tmp_path / "out", "--cache", workspace.cache_dir, "--device", "cpu"),
        *("--protocol", "linear", "--only", "lr=0.0032", "--json"),
        *("--shots", 1, "--shots", 30, "--train-fraction", 0.1, "--repeats", 3),
    )
    (curve,) = answer.json["curves"]
    assert curve["all_clips"]["n_clips"] == 1500
    points = {
        (point["part"]["shots"], point["part"]["fraction"]): point for point in curve["points"]
    }
    assert {key: point["n_clips"] for key, point in points.items()} == {
        (1, None): 10,
        (30, None): 300,
        (None, 0.1): 150,
    }
    mean = {key: point["scores"]["top1_acc"]["mean"] for key, point in points.items()}
    # Ten digits: one clip of each is already above chance, thirty are far above.
    assert 0.12 < mean[1, None] < 0.4
    assert 0.7 < mean[None, 0.1] < mean[30, None] < 0.9
    assert mean[30, None] < curve["all_clips"]["scores"]["top1_acc"]
    spread = {key: point["scores"]["top1_acc"]["std"] for key, point in points.items()}
    assert spread[1, None] > 0.01
    # What more clips teach is more than the luck of their draw.
    assert (
        points[1, None]["scores"]["top1_acc"]["high"]
        < points[None, 0.1]["scores"]["top1_acc"]["low"]
    )
