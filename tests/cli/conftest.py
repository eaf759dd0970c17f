"""A small task and a small model, and a cache of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_models import write_model
from helpers_tasks import make_scene_task


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tones, four clips of each per split; train, valid and test."""
    return make_scene_task(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three numbers per clip, at 16 kHz."""
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of everything that a test runs."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HEARBENCH_CACHE", str(folder))
    monkeypatch.setenv("HEARBENCH_DEVICE", "cpu")
    return folder
