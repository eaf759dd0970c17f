"""Clips that are read from the store in every epoch, against those in memory."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import BANDS, write_model
from helpers_tasks import make_scene_task

from hearbench import embed, fit_probe, load_model, load_task
from hearbench.embeddings.kinds import Dtype
from hearbench.embeddings.ranges import scene_rows
from hearbench.embeddings.store import SHARDS, EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.probe import kinds
from hearbench.probe.data import BatchSpec
from hearbench.probe.outputs import MULTICLASS
from hearbench.probe.protocol import KNN, GridPoint, Protocol
from hearbench.probe.scenes import OrderedClips, ReadClips, array_data, scene_data, whole
from hearbench.workspace import Workspace

SMALL = Protocol(
    name="small",
    batch_size=5,
    grid=tuple(
        GridPoint(hidden_layers=layers, hidden_dim=16, lr=1e-2, max_epochs=6, check_every=2)
        for layers in (1, 2, 0)
    ),
)


def store_of(
    tmp_path: Path, workspace: Workspace, dtype: Dtype = "float32", **task: object
) -> EmbeddingStore:
    made = make_scene_task(tmp_path, clips_per_label=8, **task)  # type: ignore[arg-type]
    model = load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)
    return embed(model, load_task(made, workspace=workspace), workspace=workspace, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_are_those_of_the_whole_split(
    tmp_path: Path, workspace: Workspace, dtype: Dtype
) -> None:
    store = store_of(tmp_path, workspace, dtype)
    for split in store.task.splits:
        expected, rows = store.scene(split), scene_rows(store, split)
        assert len(rows) == len(expected)
        rng = np.random.default_rng(0)
        for which in (np.arange(len(rows)), rng.integers(0, len(rows), 40), np.array([2, 0])):
            found = rows.read(which)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, expected[which])


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    store = store_of(tmp_path, workspace)
    rows = scene_rows(store, "test")
    path = store.folder / SHARDS / store._shards("test")[0].embeddings.name
    path.write_bytes(path.read_bytes()[:-4])
    rows.read(np.array([0]))
    with pytest.raises(EmbeddingError, match="cut off"):
        rows.read(np.array([len(rows) - 1]))
    with pytest.raises(EmbeddingError, match="can't be read"):
        scene_rows(store, "test")


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("shuffle", [None, 17])
def test_batches_are_the_same_in_memory_and_not(
    tmp_path: Path, workspace: Workspace, shuffle: int | None, standardise: bool
) -> None:
    store = store_of(tmp_path, workspace, folds=True)
    rng = np.random.default_rng(1)
    orders = {s: rng.permutation(len(store.task.splits[s])) for s in ("fold00", "fold01")}
    kept, read = (
        scene_data(
            OrderedClips([(scene_rows(store, s), order) for s, order in orders.items()]),
            np.concatenate([store.task.targets(s)[order] for s, order in orders.items()]),
            scene_rows(store, "fold02"),
            store.task.targets("fold02"),
            outputs=MULTICLASS,
            spec=BatchSpec(5, "cpu", torch.bfloat16, budget, standardise, shuffle),
        )
        for budget in (1 << 30, 10)
    )
    assert isinstance(read.train, ReadClips)
    assert isinstance(read.valid, ReadClips)
    x = np.concatenate([store.scene(s)[order] for s, order in orders.items()])
    y = np.concatenate([store.task.targets(s)[order] for s, order in orders.items()])
    plain = array_data(
        (x, y),
        (store.scene("fold02"), store.task.targets("fold02")),
        outputs=MULTICLASS,
        spec=BatchSpec(5, "cpu", torch.bfloat16, standardise=standardise, shuffle=shuffle),
    )
    assert kept.n_batches == read.n_batches == plain.n_batches
    assert kept.n_labels == read.n_labels == plain.n_labels
    for epoch in (1, 2):
        batches = [list(data.epoch(epoch)) for data in (kept, read, plain)]
        for (x, y), (u, v), (s, t) in zip(*batches, strict=True):
            assert torch.equal(x, u)
            assert torch.equal(x, s)
            assert torch.equal(y, v)
            assert torch.equal(y, t)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(
    "protocol", [SMALL, SMALL.model_copy(update={"shuffle": True}), KNN], ids=lambda p: p.name
)
def test_a_small_budget_gives_the_same_bits(
    tmp_path: Path,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    protocol: Protocol,
    multilabel: bool,
) -> None:
    store = store_of(tmp_path, workspace, multilabel=multilabel)
    used: list[type] = []

    def spy(*args: object, **kwargs: object) -> object:
        data = scene_data(*args, **kwargs)  # type: ignore[arg-type]
        used.append(type(data.train))
        return data

    monkeypatch.setattr(kinds, "scene_data", spy)
    found = []
    for name, budget in (("roomy", 1.0), ("tight", 1e-7)):
        own = dataclasses.replace(workspace, cache_dir=tmp_path / name, max_memory_gb=budget)
        found.append(fit_probe(store, protocol, workspace=own))
    assert {kind.__name__ for kind in used} == {"KeptClips", "ReadClips"}
    assert found[0].grid == found[1].grid
    for a, b in zip(found[0].scene_folds(), found[1].scene_folds(), strict=True):
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        assert a.loss == b.loss


def test_blocks_go_over_all_clips(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.probe.scenes._BLOCK", 7)
    store = store_of(tmp_path, workspace)
    blocks = list(whole(scene_rows(store, "train")).blocks())
    assert max(map(len, blocks)) == 7
    np.testing.assert_array_equal(np.concatenate(blocks), store.scene("train"))
