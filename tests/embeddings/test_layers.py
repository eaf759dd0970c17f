"""Embeddings of several layers of a model in one store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_models import BAND_LAYERS, STATS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings.compute import embed, finish_store, layers_of
from hearbench.embeddings.kinds import Wanted
from hearbench.embeddings.ranges import clip_frames, layer_frames, layer_rows, scene_rows
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError, ModelError
from hearbench.models.loading import load_model
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace


@pytest.fixture(params=[make_scene_task, make_event_task], ids=["scene", "event"])
def task(request: pytest.FixtureRequest, tmp_path: Path, workspace: Workspace) -> PreparedTask:
    return load_task(request.param(tmp_path / "task"), workspace=workspace)


def arrays(store: EmbeddingStore) -> list[bytes]:
    """All that a store holds, shard by shard."""
    files = (file for shard in store.manifest.shards for file in shard.files)
    return [(store.folder / "shards" / file.name).read_bytes() for file in files]


def test_each_layer_is_the_store_of_a_model_with_that_layer(
    tmp_path: Path, task: PreparedTask, workspace: Workspace
) -> None:
    path = write_model(tmp_path, BAND_LAYERS, "net")
    store = embed(load_model(path, workspace=workspace), task, workspace=workspace, layers="all")
    assert store.layers == (0, 1, 2, 3)
    apart = Workspace(tmp_path / "apart", "cpu", 2)
    for number in store.layers:
        alone = embed(load_model(path, workspace=apart, layer=number), task, workspace=apart)
        layer = store.layer(number)
        assert arrays(layer) == arrays(alone)
        assert layer.digest == alone.digest
        for split in task.splits:
            assert layer.clips(split) == alone.clips(split)
    # They differ, so that it matters which one is which.
    assert len({store.layer(number).digest for number in store.layers}) == 4


def test_a_store_of_one_layer_is_taken_from_one_of_all(
    tmp_path: Path, task: PreparedTask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path, BAND_LAYERS, "net")
    every = embed(load_model(path, workspace=workspace), task, workspace=workspace, layers="all")
    model = load_model(path, workspace=workspace, layer=1)
    monkeypatch.setattr("hearbench.models.model.Model.begin", None)
    store = embed(model, task, workspace=workspace)
    assert not store.layers
    assert arrays(store) == arrays(every.layer(1))
    assert store.manifest.model.digest == model.digest
    store.verify()


def test_the_store_of_another_model_is_not_taken(
    tmp_path: Path, task: PreparedTask, workspace: Workspace
) -> None:
    model = load_model(write_model(tmp_path, BAND_LAYERS, "net"), workspace=workspace)
    embed(model, task, workspace=workspace, layers="all")
    changed = BAND_LAYERS.replace("+ 1e-3", "+ 2e-3")
    other = load_model(write_model(tmp_path / "b", changed, "net"), workspace=workspace)
    apart = Workspace(tmp_path / "apart", "cpu", 2)
    expected = embed(load_model(other.spec, workspace=apart), task, workspace=apart)
    assert embed(other, task, workspace=workspace).digest == expected.digest


def test_some_layers_by_number(tmp_path: Path, task: PreparedTask, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, BAND_LAYERS, "net"), workspace=workspace)
    every = embed(model, task, workspace=workspace, layers="all")
    some = embed(model, task, workspace=workspace, layers=[-1, 1])
    assert some.layers == (1, 3)
    assert some.folder != every.folder
    assert [some.layer(k).digest for k in (1, 3)] == [every.layer(k).digest for k in (1, 3)]
    with pytest.raises(EmbeddingError, match="layers 1, 3, and not layer 2") as caught:
        some.layer(2)
    assert caught.value.code == "not_found"


def test_layers_side_by_side(tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, BAND_LAYERS, "net"), workspace=workspace)
    scenes = load_task(make_scene_task(tmp_path / "scenes"), workspace=workspace)
    store = embed(model, scenes, workspace=workspace, layers="all")
    axis = store.embeddings("train")
    assert isinstance(axis, np.ndarray)
    assert axis.shape == (12, 4, 16)
    which = np.array([5, 0, 11])
    rows = layer_rows(store, "train", [1, 3])
    assert (len(rows), rows.size) == (12, 32)
    np.testing.assert_array_equal(rows.read(which), axis[which][:, [1, 3]].reshape(3, 32))
    for number in store.layers:
        np.testing.assert_array_equal(axis[:, number], store.layer(number).scene("train"))
    events = load_task(make_event_task(tmp_path / "events"), workspace=workspace)
    store = embed(model, events, workspace=workspace, layers="all")
    by_clip = store.embeddings("train")
    assert isinstance(by_clip, dict)
    for frames in layer_frames(store, "train"):
        assert frames.size == 64
        whole = by_clip[frames.clip]
        assert whole.shape == (len(frames), 4, 16)
        np.testing.assert_array_equal(frames.read(1, 3), whole[1:3].reshape(2, 64))
        np.testing.assert_array_equal(frames.timestamps_ms[:2], [25, 75])


def test_a_store_of_layers_is_not_read_as_one_of_embeddings(
    tmp_path: Path, workspace: Workspace
) -> None:
    model = load_model(write_model(tmp_path, BAND_LAYERS, "net"), workspace=workspace)
    task = load_task(make_scene_task(tmp_path / "task"), workspace=workspace)
    store = embed(model, task, workspace=workspace, layers="all")
    with pytest.raises(EmbeddingError, match="holds 4 layers"):
        scene_rows(store, "train")
    with pytest.raises(EmbeddingError, match="scene embeddings, and no timestamp"):
        clip_frames(store.layer(0), "train")
    assert "layers 0, 1, 2, 3" in repr(store)


def test_frames_of_a_scene_task(tmp_path: Path, workspace: Workspace) -> None:
    model = load_model(write_model(tmp_path, BAND_LAYERS, "net"), workspace=workspace)
    task = load_task(make_scene_task(tmp_path / "task", varying_lengths=True), workspace=workspace)
    store = finish_store(model, task, Wanted("timestamp"), workspace)
    plain = embed(model, task, workspace=workspace)
    assert store.folder != plain.folder
    assert store.manifest.kind == "scene"
    for split in task.splits:
        frames = clip_frames(store, split)
        assert [clip.clip for clip in frames] == store.clips(split) == plain.clips(split)
        means = np.stack([clip.read(0, len(clip)).mean(axis=0) for clip in frames])
        np.testing.assert_allclose(means, plain.scene(split), rtol=1e-5, atol=1e-6)


def test_layers_that_a_model_does_not_have(tmp_path: Path, workspace: Workspace) -> None:
    plain = load_model(write_model(tmp_path, STATS, "stats"), workspace=workspace)
    with pytest.raises(ModelError, match="stats doesn't give its layers"):
        layers_of(plain, "all")
    path = write_model(tmp_path, BAND_LAYERS, "net")
    model = load_model(path, workspace=workspace)
    assert layers_of(model, [-1, 0, 3]) == (0, 3)
    with pytest.raises(ModelError, match="no layer 4: its layers are 0 to 3"):
        layers_of(model, [4])
    with pytest.raises(ModelError, match="leave out the option `layer`"):
        layers_of(load_model(path, workspace=workspace, layer=2), "all")
