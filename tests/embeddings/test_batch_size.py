"""Several of the reference's batches at once, as on a GPU with much memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers_models import calls, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings import batches, run
from hearbench.embeddings.batch_size import are_alike, times_larger
from hearbench.embeddings.compute import embed, embed_shards, missing_shards, store_folder
from hearbench.embeddings.store import EmbeddingStore
from hearbench.models.loading import load_model
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

# A layer whose product is of the whole batch, so that its size may change how it rounds; and what
# it was given.
LAYER = """
MOST = {most}
SEEN = []
WEIGHT = torch.sin(torch.arange(4000 * 3.0).reshape(4000, 3))
def get_scene_embeddings(audio, model):
    SEEN.append(len(audio))
    if len(audio) > MOST:
        audio[:] = 7.0
        raise torch.OutOfMemoryError('CUDA out of memory.')
    return {embedding}
"""
ALONE = "torch.tanh(audio @ WEIGHT)"
TOGETHER = "torch.tanh(audio @ WEIGHT) - audio.std()"
EVENTS = """
SEEN = []
plain = get_timestamp_embeddings
def get_timestamp_embeddings(audio, model):
    SEEN.append(len(audio))
    return plain(audio, model)
"""


@pytest.fixture
def task(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> PreparedTask:
    """Three splits of 12 clips each, batches of 3 and shards of 12."""
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 3)
    return load_task(make_scene_task(tmp_path / "task"), workspace=workspace)


def model_file(folder: Path, embedding: str = ALONE, most: int = 100) -> Path:
    return write_model(folder, extra=LAYER.format(embedding=embedding, most=most))


def embedded(
    task: PreparedTask,
    workspace: Workspace,
    folder: Path,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
    embedding: str = ALONE,
    most: int = 100,
) -> tuple[EmbeddingStore, list[int]]:
    monkeypatch.setattr(run, "times_larger", lambda _: times)
    model = load_model(model_file(folder, embedding, most), workspace=workspace)
    own = Workspace(folder / "cache", "cpu", 2)
    return embed(model, task, workspace=own), calls(model)


def same(one: EmbeddingStore, other: EmbeddingStore, atol: float) -> bool:
    return all(
        np.allclose(one.scene(split), other.scene(split), rtol=0, atol=atol)
        for split in one.task.splits
    )


def test_as_many_as_the_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def gpu(total_gib: float) -> None:
        properties = SimpleNamespace(total_memory=int(total_gib * (1 << 30)))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)

    assert times_larger("cpu") == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert times_larger("cuda:0") == 1  # of another framework, in a process of its own
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for total_gib, times in ((4, 1), (15.8, 1), (39.4, 2), (79.2, 4), (139.8, 8)):
        gpu(total_gib)
        assert times_larger("cuda:0") == times


def test_larger_batches_give_the_same_but_for_rounding(
    tmp_path: Path, task: PreparedTask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, seen = embedded(task, workspace, tmp_path / "plain", 1, monkeypatch)
    assert seen == [3] * 12
    assert plain.manifest.enlarged_batch is None
    large, seen = embedded(task, workspace, tmp_path / "large", 3, monkeypatch)
    # The first one both ways; batches don't reach over the end of a shard.
    assert seen == [9, 3, 3, 3, 3, 9, 3, 9, 3]
    assert same(plain, large, 1e-5)
    assert [shard.enlarged_batch for shard in large.manifest.shards] == [9, 9, 9]
    assert large.manifest.enlarged_batch == 9
    assert large.manifest.reduced_batch is None
    assert large.manifest.batch == plain.manifest.batch
    assert large.folder.name == plain.folder.name
    large.verify()


def test_clips_that_influence_each_other_stay_in_the_references_batches(
    tmp_path: Path, task: PreparedTask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = embedded(task, workspace, tmp_path / "plain", 1, monkeypatch, TOGETHER)
    large, seen = embedded(task, workspace, tmp_path / "large", 2, monkeypatch, TOGETHER)
    assert seen == [6, *[3] * 12]
    assert large.digest == plain.digest
    assert large.manifest.enlarged_batch is None
    assert large.manifest.reduced_batch is None


@pytest.mark.parametrize(
    ("most", "expected", "enlarged", "reduced"),
    [
        # 12 are too many, 6 fit.
        (8, [12, 6, 6, 3, 3, 3, 3, *[6] * 4], 6, None),
        # 12 and 6 are too many: the reference's batches, which need no comparison.
        (5, [12, 6, *[3] * 12], None, None),
        # And below these.
        (2, [12, 6, 3, *[2] * 18], None, 2),
    ],
)
def test_less_where_memory_runs_out(
    tmp_path: Path,
    task: PreparedTask,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    expected: list[int],
    enlarged: int | None,
    reduced: int | None,
) -> None:
    plain, _ = embedded(task, workspace, tmp_path / "plain", 1, monkeypatch)
    large, seen = embedded(task, workspace, tmp_path / "large", 4, monkeypatch, most=most)
    assert seen == expected
    assert same(plain, large, 1e-5)
    assert large.manifest.enlarged_batch == enlarged
    assert large.manifest.reduced_batch == reduced


def test_a_store_that_was_begun_otherwise_goes_on(
    tmp_path: Path, task: PreparedTask, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = embedded(task, workspace, tmp_path / "plain", 1, monkeypatch)
    model = load_model(model_file(tmp_path), workspace=workspace)
    names = missing_shards(model, task, workspace=workspace)
    embed_shards(model, task, names[:1], workspace=workspace)
    folder = store_folder(model, task, workspace=workspace)
    monkeypatch.setattr(run, "times_larger", lambda _: 4)
    assert store_folder(model, task, workspace=workspace) == folder
    store = embed(model, task, workspace=workspace)
    # Since it was loaded anew.
    assert calls(model) == [12, 3, 3, 3, 3, 12]
    assert [shard.enlarged_batch for shard in store.manifest.shards] == [None, 12, 12]
    assert same(plain, store, 1e-5)
    monkeypatch.setattr(run, "times_larger", lambda _: 1)
    assert embed(model, task, workspace=workspace).digest == store.digest
    assert len(calls(model)) == 6


def test_events_too(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "batch_clips", lambda *_: 1)
    task = load_task(make_event_task(tmp_path / "task", clips=4), workspace=workspace)
    stores = []
    for name, times in (("plain", 1), ("large", 2)):
        monkeypatch.setattr(run, "times_larger", lambda _, times=times: times)
        model = load_model(write_model(tmp_path / name, extra=EVENTS), workspace=workspace)
        stores.append(embed(model, task, workspace=Workspace(tmp_path / name, "cpu", 2)))
    assert calls(model)[:4] == [2, 1, 1, 2]
    assert stores[1].manifest.enlarged_batch == 2
    for split in task.splits:
        for one, other in zip(*(s.timestamps(split) for s in stores), strict=True):
            assert one[0] == other[0]
            np.testing.assert_allclose(one[1], other[1], rtol=0, atol=1e-5)
            np.testing.assert_array_equal(one[2], other[2])


def test_clips_that_keep_their_lengths_stay_alone(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task(make_scene_task(tmp_path / "task", varying_lengths=True), workspace=workspace)
    embedding = "audio[:, :3]"
    _, seen = embedded(task, workspace, tmp_path / "large", 4, monkeypatch, embedding)
    assert set(seen) == {1}


def test_what_counts_as_rounding() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 64)).astype(np.float32)
    x[3] = 0.0
    noise = rng.standard_normal(x.shape).astype(np.float32)
    assert are_alike(x, x, 5)
    assert are_alike(x + 1e-5 * x * noise, x, 5)
    assert not are_alike(x[:4], x, 5)
    # One clip is enough, and one of nothing has no rounding.
    for clip in (1, 3):
        other = x.copy()
        other[clip] += 0.01 * noise[clip]
        assert not are_alike(other, x, 5)
