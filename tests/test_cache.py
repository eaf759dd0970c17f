"""The cache's entries: what is listed as such, and what removing one leaves."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hearbench.cache import cache_entries, remove_entry
from hearbench.errors import UnknownNameError
from hearbench.workspace import Workspace

STORE = "embeddings/esc50-v2.0.0-full/my_model/0123456789abcdef"


def written(root: Path, name: str, size: int, age_days: float = 0.0) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    when = time.time() - 86400 * age_days
    os.utime(path, (when, when))
    return path


def test_entries_and_their_age(tmp_path: Path) -> None:
    workspace = Workspace.from_environment(cache_dir=tmp_path)
    written(tmp_path, f"{STORE}/a.npy", 100, age_days=9)
    written(tmp_path, f"{STORE}/b.npy", 23, age_days=3)
    written(tmp_path, "digests/wav-0123456789abcdef.json", 7, age_days=5)
    written(tmp_path, "digests/mine.json", 1, age_days=5)
    found = cache_entries(workspace)
    assert [(entry.kind, entry.bytes) for entry in found] == [("embeddings", 123), ("digests", 7)]
    assert found[0].path == tmp_path / STORE
    assert cache_entries(workspace, older_than_days=4) == [found[1]]
    assert cache_entries(workspace, "embeddings", older_than_days=2) == [found[0]]
    assert cache_entries(workspace, "tasks") == []


def test_removing_leaves_what_is_no_entry(tmp_path: Path) -> None:
    workspace = Workspace.from_environment(cache_dir=tmp_path)
    written(tmp_path, f"{STORE}/a.npy", 100)
    beside = written(tmp_path, "embeddings/esc50-v2.0.0-full/notes.txt", 1)
    (entry,) = cache_entries(workspace, "embeddings")
    remove_entry(workspace, entry)
    assert list((tmp_path / "embeddings").rglob("*")) == [beside.parent, beside]


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'probes'"):
        cache_entries(Workspace.from_environment(cache_dir=tmp_path), "probe")
