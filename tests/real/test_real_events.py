"""Whole evaluations of an event task mixed from real digits, against the reference's scores."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from hearbench import embed, fit_probe, load_model, load_task, score
from hearbench.embeddings.store import EmbeddingStore
from hearbench.probe.protocol import HEAR2021
from hearbench.workspace import Workspace, available_cores

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def store(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    root = tmp_path_factory.mktemp("events")
    workspace = Workspace(cache_dir=root / "cache", device="cpu", workers=available_cores())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mix", str(root), "--rates", "16000"])
        runpy.run_path(str(shared / "tools/mix_digit_events.py"), run_name="__main__")
    return embed(
        load_model(str(shared / "models/logmel_stats.py"), workspace=workspace),
        load_task(root / "dcase2016_task2-hear2021-full", workspace=workspace),
        workspace=workspace,
    )


def settings_of(store: EmbeddingStore) -> Workspace:
    return Workspace(cache_dir=store.folder.parents[3], device="cpu", workers=available_cores())


def test_digit_events_score_as_in_the_reference_by_the_smallest_grid(
    store: EmbeddingStore,
) -> None:
    result = score(fit_probe(store, "faster", workspace=settings_of(store)))
    assert 0.30 <= result.primary.mean <= 0.45
    assert result.folds[0].postprocessing is not None
    assert result.folds[0].postprocessing.min_duration_ms == 125


def test_digit_events_score_as_in_the_reference_by_its_first_grid_point(
    store: EmbeddingStore,
) -> None:
    first = HEAR2021.restricted(first=1)
    result = score(fit_probe(store, first, workspace=settings_of(store)))
    assert result.primary.mean == pytest.approx(0.575, abs=0.025)
    assert result.scores["segment_1s_er"].mean == pytest.approx(0.616, abs=0.05)
