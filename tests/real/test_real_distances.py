"""Distances between embeddings of real audio."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from hearbench import embed, load_model, load_task
from hearbench.distance import distance_scores
from hearbench.tasks.from_csv import prepare_from_csv
from hearbench.tasks.own_recipe import OwnTask
from hearbench.workspace import Workspace, available_cores

pytestmark = pytest.mark.real


def test_distances_tell_environmental_sounds_apart(shared: Path, tmp_path: Path) -> None:
    workspace = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=available_cores())
    zipfile.ZipFile(shared / "data/corpora/esc-10.zip").extractall(tmp_path)
    task = prepare_from_csv(
        shared / "golden/esc10/clips.csv",
        tmp_path / "esc-10",
        OwnTask("esc10", duration_s=5.0, scores=("top1_acc", "mAP"), sample_rates=(16000, 44100)),
        tmp_path / "out",
        workspace=workspace,
    )
    aucs, precisions = {}, {}
    for model in (str(shared / "models/logmel_stats.py"), "hearbench.models.naive"):
        store = embed(
            load_model(model, workspace=workspace),
            load_task(task, workspace=workspace),
            workspace=workspace,
        )
        result = distance_scores(store, workspace=workspace)
        assert [(split.n_clips, split.n_same, split.n_different) for split in result.splits] == [
            (80, 280, 2880)
        ] * 5
        aucs[store.manifest.model.name] = result.scores["same_different_auc"]
        precisions[store.manifest.model.name] = result.scores["retrieval_mAP"]
    names = list(aucs)
    # Measured: 0.850 and 0.528.
    assert 0.84 < aucs[names[0]].mean < 0.86
    assert 0.52 < precisions[names[0]].mean < 0.54
    better, worse = aucs[names[0]].interval, aucs[names[1]].interval
    assert better is not None
    assert worse is not None
    assert worse.high < better.low
