"""Stores of embeddings that somebody else wrote: nothing is unpickled, shapes are looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_fuzz import (
    fuzzed,
    mutated_array,
    mutated_json,
    no_trap_has_sprung,
    value_or_error,
    written,
)
from helpers_models import write_model
from helpers_tasks import make_event_task, make_scene_task
from hypothesis import given
from hypothesis import strategies as st

from hearbench.digest import digest_bytes
from hearbench.embeddings.compute import embed
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import HearError
from hearbench.models.loading import load_model
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


@pytest.fixture(scope="module", params=["scene", "event"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("stores")
    workspace = Workspace(cache_dir=folder / "cache", device="cpu", workers=1)
    make = make_scene_task if request.param == "scene" else make_event_task
    task = load_task(make(folder), workspace=workspace)
    model = load_model(write_model(folder), workspace=workspace)
    return embed(model, task, workspace=workspace)


def _read(store: EmbeddingStore) -> None:
    """All that is read of a store, from the manifest on."""
    found = value_or_error(lambda: EmbeddingStore.open(store.folder, store.task))
    if isinstance(found, HearError):
        return
    value_or_error(found.verify)
    for split in store.task.splits:
        value_or_error(lambda split=split: found.scene(split))  # type: ignore[misc]
        value_or_error(lambda split=split: list(found.timestamps(split)))  # type: ignore[misc]
    assert no_trap_has_sprung()


@fuzzed
@given(data=st.data())
def test_manifests(store: EmbeddingStore, data: st.DataObject) -> None:
    path = store.folder / "manifest.json"
    before = path.read_bytes()
    try:
        path.write_bytes(data.draw(mutated_json(json.loads(before))))
        _read(store)
    finally:
        path.write_bytes(before)


# Of a NaN that some processors signal when it is cast.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@fuzzed
@given(data=st.data())
def test_arrays(store: EmbeddingStore, data: st.DataObject) -> None:
    manifest = store.folder / "manifest.json"
    listed = before = json.loads(manifest.read_bytes())
    shard = data.draw(st.sampled_from(listed["shards"]))
    kinds = [kind for kind in ("embeddings", "timestamps") if shard[kind]]
    file = shard[data.draw(st.sampled_from(kinds))]
    path: Path = store.folder / "shards" / file["name"]
    whole, listing = path.read_bytes(), written(before)
    try:
        path.write_bytes(data.draw(mutated_array(np.load(path, allow_pickle=False))))
        # As a forger would, who knows of the digests.
        file["bytes"], file["sha256"] = path.stat().st_size, digest_bytes(path.read_bytes())
        manifest.write_bytes(written(listed))
        _read(store)
    finally:
        path.write_bytes(whole)
        manifest.write_bytes(listing)
