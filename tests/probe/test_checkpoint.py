from pathlib import Path

import numpy as np
import pytest

from hearbench.probe.checkpoint import Checkpoint


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "deep" / "state.npz")
    assert checkpoint.load() is None
    checkpoint.save({"epoch": 3, "best": float("nan")}, {"a/b": np.arange(3.0)})
    loaded = checkpoint.load()
    assert loaded is not None
    meta, arrays = loaded
    assert meta["epoch"] == 3
    assert np.isnan(meta["best"])
    np.testing.assert_array_equal(arrays["a/b"], [0.0, 1.0, 2.0])
    checkpoint.clear()
    assert checkpoint.load() is None
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    checkpoint = Checkpoint(path)
    checkpoint.save({}, {"a": np.zeros(100)})
    path.write_bytes(path.read_bytes()[:-50])
    assert checkpoint.load() is None
    path.write_bytes(b"")
    assert checkpoint.load() is None


def test_nothing_is_written_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = Checkpoint(None, every_s=0.0)
    assert not checkpoint.due()
    checkpoint.save({}, {})
    checkpoint.clear()
    assert list(tmp_path.iterdir()) == []


def test_it_is_due_after_its_interval(tmp_path: Path) -> None:
    assert not Checkpoint(tmp_path / "a.npz", every_s=1000.0).due()
    eager = Checkpoint(tmp_path / "b.npz", every_s=0.0)
    assert eager.due()
