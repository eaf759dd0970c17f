"""What is counted is what is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.embeddings.manifest import ShardRecord
from hearbench.models.loading import load_model
from hearbench.planning.facts import task_facts
from hearbench.planning.sizes import data_bytes, kept_bytes, n_rows, store_bytes, weights_of
from hearbench.probe.fit import fit_probe
from hearbench.probe.network import ProbeStack
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.probe.reading import Reading
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_a_network_s_numbers(layers: int) -> None:
    point = GridPoint(hidden_layers=layers, hidden_dim=32)
    stack = ProbeStack(
        [point],
        [0],
        reading=Reading(torch.zeros(7)),
        n_labels=5,
        outputs=MULTICLASS,
        dtype=torch.float32,
    )
    assert weights_of(point, 7, 5) == sum(t.numel() for t in stack.snapshot(0).values())


@pytest.mark.parametrize(("kind", "frames_per_s"), [("scene", 0.0), ("event", 20.0)])
def test_a_store_and_a_probe(
    tmp_path: Path, workspace: Workspace, kind: str, frames_per_s: float
) -> None:
    make = make_scene_task if kind == "scene" else make_event_task
    folder = make(tmp_path / "task")
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    task, facts = load_task(folder, workspace=workspace), task_facts(str(folder), workspace)
    store = embed(model, task, workspace=workspace)
    rows = n_rows(facts.n_clips, facts, frames_per_s)
    assert _rows(store.manifest.shards) == rows
    arrays = sum(file.bytes for shard in store.manifest.shards for file in shard.files)
    # Headers of arrays, names and digests: of clips this small they are most of it.
    counted = store_bytes(facts, 16, frames_per_s, 4)
    assert arrays < counted
    assert counted == pytest.approx(written(store.folder), rel=0.5, abs=4000)
    if kind == "event":
        return  # so short a training finds no event, and keeps no network
    point = GridPoint(hidden_dim=512, max_epochs=3)
    fit_probe(store, Protocol(name="tiny", grid=(point,)), workspace=workspace)
    kept = written(workspace.cache_dir / "probes")
    assert len(facts.folds) == 1
    assert kept_bytes(point, 16, facts.n_labels) == pytest.approx(kept, rel=0.1)


def _rows(shards: Sequence[ShardRecord]) -> int:
    return sum(len(shard.clips) if shard.frames is None else sum(shard.frames) for shard in shards)


def test_data_of_a_fold_in_memory(workspace: Workspace) -> None:
    facts = task_facts("speech_commands-5h", workspace)
    kept = data_bytes(facts, 1000, 0.0, 2)
    # 16000 training clips of 1000 bfloat16 and 12 float32, 2000 to validate on in float32.
    assert kept == 16000 * (2000 + 48) + 2000 * (4000 + 48)
