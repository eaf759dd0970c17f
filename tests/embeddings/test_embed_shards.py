from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers_models import write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings import batches
from hearbench.embeddings.compute import (
    embed,
    embed_shards,
    missing_shards,
    store_folder,
)
from hearbench.embeddings.kinds import Wanted
from hearbench.errors import EmbeddingError
from hearbench.models.loading import load_model
from hearbench.tasks.store import load_task
from hearbench.tasks.task_type import EVENT
from hearbench.workspace import Workspace


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four clips a shard, two a batch: 12 clips of each split make three shards.
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 2)
    monkeypatch.setattr(batches, "_SHARD_AUDIO_S", 1.0)


def content(folder: Path) -> dict[str, bytes]:
    """The arrays of a store."""
    return {path.name: path.read_bytes() for path in (folder / "shards").glob("*.npy")}


def test_shards_computed_apart_are_those_of_one_run(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path / "task"), workspace=workspace)
    model = load_model(write_model(tmp_path), workspace=workspace)
    whole = embed(model, task, workspace=Workspace(tmp_path / "whole", "cpu", 2))

    names = missing_shards(model, task, workspace=workspace)
    assert names == [f"{split}-{i:05d}" for split in task.splits for i in range(3)]
    told = Noted()
    embed_shards(model, task, names[::-2], workspace=noting(workspace, told))
    # 9 shards: numbers 8, 6, 4, 2, 0, of four clips each.
    assert (told.counts[0], told.counts[-1]) == ((0, 20), (20, 20))
    folder = store_folder(model, task, workspace=workspace)
    assert not (folder / "manifest.json").exists()
    assert missing_shards(model, task, workspace=workspace) == names[1::2]
    assert set(content(folder)) < set(content(whole.folder))
    told = Noted()
    embed_shards(model, task, names, workspace=noting(workspace, told))
    assert told.counts[0] == (20, 36)
    assert missing_shards(model, task, workspace=workspace) == []
    assert not (folder / "manifest.json").exists()

    calls: list[object] = []
    object.__setattr__(model.engine, "call", lambda *given: calls.append(given))
    store = embed(model, task, workspace=workspace)
    assert calls == []
    assert store.digest == whole.digest
    assert content(store.folder) == content(whole.folder)
    assert missing_shards(model, task, workspace=workspace) == []
    embed_shards(model, task, names, workspace=workspace)
    assert calls == []


def test_events_too_and_in_float16(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_event_task(tmp_path / "task"), workspace=workspace)
    model = load_model(write_model(tmp_path), workspace=workspace)
    half = Wanted.of(EVENT, "float16")
    names = missing_shards(model, task, workspace=workspace, wanted=half)
    for name in reversed(names):
        embed_shards(model, task, [name, name], workspace=workspace, wanted=half)
    store = embed(model, task, workspace=workspace, dtype="float16")
    whole = embed(model, task, workspace=Workspace(tmp_path / "whole", "cpu", 2), dtype="float16")
    assert content(store.folder) == content(whole.folder)
    assert missing_shards(model, task, workspace=workspace) == names


def test_a_damaged_shard_is_missing_again(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path / "task"), workspace=workspace)
    model = load_model(write_model(tmp_path), workspace=workspace)
    names = missing_shards(model, task, workspace=workspace)
    embed_shards(model, task, names, workspace=workspace)
    (array,) = (store_folder(model, task, workspace=workspace) / "shards").glob(f"{names[4]}-*.npy")
    data = bytearray(array.read_bytes())
    data[-1] ^= 1
    array.write_bytes(data)
    assert missing_shards(model, task, workspace=workspace) == [names[4]]


def test_a_shard_that_does_not_exist(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path / "task"), workspace=workspace)
    model = load_model(write_model(tmp_path), workspace=workspace)
    with pytest.raises(EmbeddingError, match=r"no shard 'train-00003'; there are 9, from train-"):
        embed_shards(model, task, ["train-00000", "train-00003"], workspace=workspace)
    assert "train-00000" in missing_shards(model, task, workspace=workspace)
    with pytest.raises(EmbeddingError, match="float32 or float16"):
        embed(model, task, workspace=workspace, dtype="int8")  # type: ignore[arg-type]


def test_the_manifest_tells_of_those_who_computed(tmp_path: Path, workspace: Workspace) -> None:
    task = load_task(make_scene_task(tmp_path / "task"), workspace=workspace)
    model = load_model(write_model(tmp_path), workspace=workspace)
    names = missing_shards(model, task, workspace=workspace)
    embed_shards(model, task, names, workspace=workspace)
    # As if one were of another machine, and one of a version that noted less.
    records = [
        store_folder(model, task, workspace=workspace) / "shards" / f"{name}.json" for name in names
    ]
    kept = [json.loads(path.read_text()) for path in records]
    kept[2] |= {"device": "cuda:0", "peak_memory_mb": 1e6, "peak_device_memory_mb": 5e3}
    noted = ("device", "peak_memory_mb", "peak_device_memory_mb", "device_utilisation")
    kept[3] = {key: value for key, value in kept[3].items() if key not in noted}
    for path, record in zip(records, kept, strict=True):
        path.write_text(json.dumps(record))
    manifest = embed(model, task, workspace=workspace).manifest
    assert manifest.device == "cpu, cuda:0"
    assert (manifest.peak_memory_mb, manifest.peak_device_memory_mb) == (1e6, 5e3)
    assert manifest.seconds == pytest.approx(sum(record["seconds"] for record in kept))
    assert manifest.shards[3].device is None
    assert kept[0]["device"] == "cpu"
