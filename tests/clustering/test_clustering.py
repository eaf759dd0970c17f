"""Clusters of embeddings compared with labels, against scikit-learn and leaving out each clip."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import hearbench as command
from helpers_models import BANDS, STATS, write_model
from helpers_tasks import make_event_task, make_scene_task
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    v_measure_score,
)

import hearbench
from hearbench import embed, load_model, load_task
from hearbench.clustering import scoring
from hearbench.clustering.record import ClusteringResult
from hearbench.clustering.scoring import clustering_scores, jackknife_error
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import UnsuitableTaskError
from hearbench.workspace import Workspace

SCORERS = {
    "v_measure": v_measure_score,
    "ari": adjusted_rand_score,
    "nmi": normalized_mutual_info_score,
}


def store_of(path: Path, tmp_path: Path, workspace: Workspace) -> EmbeddingStore:
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, load_task(path, workspace=workspace), workspace=workspace)


def test_scores_are_scikit_learns_on_each_test_split(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(make_scene_task(tmp_path, clips_per_label=6, folds=True), tmp_path, workspace)
    result = clustering_scores(store, workspace=workspace)
    assert list(result.scores) == [f"{m}_{s}" for m in ("kmeans", "ward") for s in SCORERS]
    for split in result.splits:
        x, labels = store.scene(split.test), store.task.targets(split.test).argmax(axis=1)
        k = len(np.unique(labels))
        assert (split.n_clips, split.n_clustered, split.n_clusters) == (len(x), len(x), k)
        clusters = {
            # The best of ten starts, as n_init would choose it.
            "kmeans": min(
                (KMeans(k, n_init=1, random_state=seed).fit(x) for seed in range(10)),
                key=lambda found: float(found.inertia_),
            ).labels_,
            "ward": AgglomerativeClustering(k, linkage="ward").fit_predict(x),
        }
        for method, found in clusters.items():
            for name, scorer in SCORERS.items():
                own = result.scores[f"{method}_{name}"].per_fold[split.test]
                assert own == pytest.approx(scorer(labels, found), abs=1e-12)
        assert split.starts[split.chosen] == result.scores["kmeans_v_measure"].per_fold[split.test]
    means = result.scores["ward_ari"]
    assert means.mean == pytest.approx(np.mean(list(means.per_fold.values())))
    assert means.interval is None or means.interval.low <= means.mean <= means.interval.high


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("seed", range(3))
def test_the_standard_error_is_that_of_leaving_out_each_clip(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 40)
    clusters = np.where(rng.random(40) < 0.6, labels, rng.integers(0, 5, 40))
    without = np.array(
        [SCORERS[name](np.delete(labels, i), np.delete(clusters, i)) for i in range(40)]
    )
    wanted = math.sqrt(39 / 40 * ((without - without.mean()) ** 2).sum())
    assert jackknife_error(name, labels, clusters) == pytest.approx(wanted, rel=1e-9)


def test_large_splits_are_sampled(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(make_scene_task(tmp_path, clips_per_label=6), tmp_path, workspace)
    monkeypatch.setattr(scoring, "MOST_CLIPS", 10)
    result = clustering_scores(store, workspace=workspace)
    (split,) = result.splits
    assert (split.n_clips, split.n_clustered) == (18, 10)
    assert "10 clips" in result.notes[0]
    assert clustering_scores(store, workspace=workspace).scores == result.scores


def test_clips_that_are_all_the_same(tmp_path: Path, workspace: Workspace) -> None:
    model = write_model(tmp_path, STATS, "same")
    model.write_text(f"{model.read_text()}\n\n_scene = get_scene_embeddings\n\n\n"
                     "def get_scene_embeddings(audio, model):\n"
                     "    return 0 * _scene(audio, model)\n")  # fmt: skip
    task = load_task(make_scene_task(tmp_path), workspace=workspace)
    store = embed(load_model(str(model), workspace=workspace), task, workspace=workspace)
    scores = clustering_scores(store, workspace=workspace).scores
    assert scores["kmeans_v_measure"].mean == 0
    assert scores["ward_ari"].mean == 0
    assert scores["ward_ari"].interval is None


def test_tasks_without_one_label_per_clip_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    for path in (
        make_scene_task(tmp_path, name="tags", multilabel=True),
        make_event_task(tmp_path),
    ):
        task = load_task(path, workspace=workspace)
        with pytest.raises(UnsuitableTaskError, match=task.name):
            scoring.check_clustering(task)


def test_the_command_writes_keeps_and_shows_it(tmp_path: Path) -> None:
    model, task = write_model(tmp_path, STATS), make_scene_task(tmp_path)
    asked = ("evaluate", model, "--task", task, "--out", tmp_path / "out", "--clustering")
    answer = command(*asked, "--json")
    assert answer.code == 0, answer.stderr
    path = Path(answer.json["results"][0]["path"])
    assert path.name == "clustering.json"
    before = path.read_bytes()
    shown = command(*asked)
    assert "kept" in shown.stderr
    assert path.read_bytes() == before
    stored = json.loads(before)
    row = next(line for line in shown.stdout.splitlines() if line.split()[:1] == ["ari"])
    wanted = [f"{stored['scores'][f'{kind}_ari']['mean']:.3f}" for kind in ("kmeans", "ward")]
    assert row.split()[1:] == wanted
    results = hearbench.load_results(tmp_path / "out")
    assert isinstance(results["tones"], ClusteringResult)
    assert results["stats", "tones", "clustering"] is results["tones"]
    assert set(results.to_frame()["score"]) == set(stored["scores"])


def test_it_goes_alone(tmp_path: Path) -> None:
    model, task = write_model(tmp_path, STATS), make_scene_task(tmp_path)
    both = command(
        *("evaluate", model, "--task", task, "--out", tmp_path / "out"),
        *("--clustering", "--distance"),
    )
    assert both.code == 2
    assert "--distance and --clustering" in both.stderr
    seeds = command(
        *("evaluate", model, "--task", task, "--out", tmp_path / "out"),
        *("--clustering", "--seeds", 2),
    )
    assert seeds.code == 2
    assert "--seeds can't be given with --clustering" in seeds.stderr
