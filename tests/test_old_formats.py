"""Files that hearbench 0.1 wrote, all of format_version 1, are read for ever.

They were written once and are never made anew. Whoever changes a layout adds a folder beside this
one, and keeps these tests.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import hearbench

from hearbench.clustering import ClusteringResult
from hearbench.distance import DistanceResult
from hearbench.embeddings.store import EmbeddingStore
from hearbench.results import Result
from hearbench.results.curve import Curve
from hearbench.results.uncertainty import Uncertainty
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace
from hearbench.zero_shot import ZeroShotResult

OLD = Path(__file__).parent / "fixtures/format-1"
TONES, YARD = "tones-1.0.0-full", "yard-1.0.0-full"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old results, where they can be written to."""
    folder = tmp_path_factory.mktemp("old") / "results"
    shutil.copytree(OLD / "results", folder)
    return folder


def old_task(name: str, tmp_path: Path) -> PreparedTask:
    return load_task(OLD / "tasks" / name, workspace=Workspace(cache_dir=tmp_path, device="cpu"))


@pytest.mark.parametrize("name", [TONES, YARD])
def test_tasks_and_stores(name: str, tmp_path: Path) -> None:
    task = old_task(name, tmp_path)
    (folder,) = (OLD / "embeddings" / name / "small").iterdir()
    store = EmbeddingStore.open(folder, task)
    result = Result.read(OLD / "results/small" / name)
    assert (store.digest, task.digest(16000)) == (result.embeddings.digest, result.task.digest)
    raw = [np.load(path) for path in sorted((folder / "shards").glob("test-00000-[0-9a-f]*.npy"))]
    if name == TONES:
        np.testing.assert_array_equal(store.scene("test"), raw[0])
        assert raw[0].shape == (12, 8)


@pytest.mark.parametrize("name", [TONES, YARD])
def test_results(name: str) -> None:
    folder = OLD / "results/small" / name
    result = Result.read(folder)
    plain = json.loads((folder / "result.json").read_text())
    assert result.primary.mean == plain["scores"][result.primary_score]["mean"]
    if name == TONES:
        chances = np.load(folder / "predictions/test.npy")
        targets = np.load(folder / "predictions/test.targets.npy")
        right = chances.argmax(1) == targets.argmax(1)
        assert result.primary.mean == right.mean() == 7 / 12


def test_uncertainty_curves_and_distances() -> None:
    folder = OLD / "results/small" / TONES
    sure = Uncertainty.read(folder)
    assert (sure.seeds, sure.n_clips) == ((42, 43), {"test": 12})
    other = Result.read(folder / "seeds/43").primary.mean
    assert sure.scores["top1_acc"].mean == pytest.approx((7 / 12 + other) / 2)
    curve = Curve.read(folder / "few-labels")
    assert sorted({point.part.shots or 0 for point in curve.points}) == [2, 4]
    distances = DistanceResult.read(folder)
    assert distances.scores["same_different_auc"].mean == pytest.approx(0.824, abs=5e-4)


def test_results_without_training() -> None:
    folder = OLD / "results/reader" / TONES
    zero_shot = ZeroShotResult.read(folder)
    assert zero_shot.scores["top1_acc"].mean == 0.5
    assert zero_shot.classes is not None
    assert set(zero_shot.classes.names) == {"high", "low", "mid"}
    clustering = ClusteringResult.read(folder)
    assert clustering.scores["kmeans_v_measure"].mean == pytest.approx(0.6588, abs=5e-5)
    assert clustering.splits[0].n_clusters == 3


def test_the_commands_still_take_them(results: Path) -> None:
    small = results / "small"
    shown = hearbench("compare", small / TONES, small / TONES / "seeds/43", "--json")
    assert shown.code == 0, shown.stderr
    report = hearbench("report", results, "--json")
    assert report.code == 0, report.stderr
    checked = hearbench("evaluate", OLD / "small.py", "--task", OLD / "tasks" / TONES,
        "--out", results, "--protocol", "faster", "--grid-points", 2, "--precision", "float32",
        "--cache", results.parent / "cache", "--json")  # fmt: skip
    assert checked.code == 0, checked.stderr
    assert "kept" in checked.stderr


def test_an_f_measure_of_the_earlier_rule_is_not_taken_for_one_of_today(results: Path) -> None:
    # Under `faster` an undefined validation counted as 0, which a result doesn't tell.
    path = results / "small" / YARD / "result.json"
    before = path.read_bytes()
    asked = hearbench("evaluate", OLD / "small.py", "--task", OLD / "tasks" / YARD,
        "--out", results, "--protocol", "faster", "--grid-points", 2, "--precision", "float32",
        "--cache", results.parent / "cache")  # fmt: skip
    assert asked.code == 2
    assert "protocol faster[first=2]" in asked.stderr
    assert path.read_bytes() == before
