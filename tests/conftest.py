"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from helpers_preloaded import preloaded_programs
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from hearbench.workspace import Workspace

# The tests' matrices are too small to be worth a second thread, here or in processes of the tests.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# Hundreds of processes are started, of which each would compile all of hearbench.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Set by pytest-xdist in its processes; tables are as wide as it says.
os.environ.pop("COLUMNS", None)

# How long an example takes says how busy the machine is, and nothing of the code.
hypothesis_settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spares the modules and the tests from being looked through for garbage again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT as at a terminal: a script's shell starts background commands with it ignored.

    Processes that tests start inherit that, and then can't be interrupted.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def impatient() -> Iterator[None]:
    """Nobody pulls the plug in a test, so nothing is shown by waiting for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        patch.setattr(os, "sync", lambda: None, raising=False)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden files beside the repository; skips without it."""
    named = os.environ.get("HEARBENCH_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "golden").is_dir():
        pytest.skip(f"no real data: {folder} is not there; set HEARBENCH_SHARED")
    return folder


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a ``python`` and a ``hearbench`` that begin with torch imported."""
    with preloaded_programs(tmp_path_factory.mktemp("preloaded")) as folder:
        yield folder


@pytest.fixture
def quick_python(preloaded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one of the preloaded programs, which also is ``sys.executable`` in the test."""
    monkeypatch.setattr(sys, "executable", str(preloaded / "python"))
    return preloaded / "python"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a cache of the test's own and two threads on the CPU."""
    return Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=2)
