"""What a model of an installed package keeps, what it replaces late, and what it leaves running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import STATS, noise, write_model

from hearbench.models.loading import load_model
from hearbench.probe.checkpoint import Checkpoint

COUNTING = """
CALLS = []
def get_scene_embeddings(audio, model):
    CALLS.append(1)
    return torch.full((len(audio), 3), float(len(CALLS)))
"""
LATE = """
import numpy
def get_scene_embeddings(audio, model):
    numpy.argsort = numpy.sort
    torch.nn.functional.relu = lambda x: x * 0
    torch.Tensor.relu = torch.Tensor.tanh
    return torch.zeros(len(audio), 3)
"""
STATES = """
import numpy, pathlib
W = pathlib.Path(__file__).parent / "w.bin"
def load_model(path=""):
    model = Stats()
    model.w = float(numpy.memmap(W, dtype="float32")[0])
    return model
"""


def test_an_installed_model_is_new_when_loaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site-packages"
    write_model(folder / "counting_model", STATS, "__init__", COUNTING)
    monkeypatch.syspath_prepend(str(folder))
    model = load_model("counting_model")
    audio = noise(1, 0.1, 16000)
    for _ in range(2):
        assert model.scene(audio)[0, 0] == 1
        model.renew()
    assert "counting_model" not in sys.modules


def test_what_is_replaced_at_a_call_is_the_model_s_own(tmp_path: Path) -> None:
    before = np.argsort, torch.nn.functional.relu, torch.Tensor.relu
    model = load_model(write_model(tmp_path, STATS, "late", LATE))
    model.scene(noise(1, 0.1, 16000))
    assert (np.argsort, torch.nn.functional.relu, torch.Tensor.relu) == before


def test_files_that_could_be_written_count_if_they_are_not(tmp_path: Path) -> None:
    np.array([1], np.float32).tofile(tmp_path / "w.bin")
    path = write_model(tmp_path, STATS, "mapped", STATES)
    first = load_model(path)
    assert str(tmp_path / "w.bin") in first.seen.files
    np.array([2], np.float32).tofile(tmp_path / "w.bin")
    assert load_model(path).digest != first.digest


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("import os; os.listdir('/')", "names there are in folders"),
        ("import sys; sys.audit('os.fork')", "processes"),
    ],
)
def test_what_cannot_be_seen_is_told(tmp_path: Path, body: str, what: str) -> None:
    extra = f"def load_model(path=''):\n    {body}\n    return Stats()"
    model = load_model(write_model(tmp_path, STATS, "unseen", extra))
    assert any(what in text for text in model.seen.unseen)


def test_a_training_in_another_s_place_is_none(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Checkpoint(tmp_path / name).save({"of": name}, {})
    (tmp_path / "a").replace(tmp_path / "b")
    assert Checkpoint(tmp_path / "b").load() is None


LEAVES = """
import sys, threading, time
import hearbench.cli.app as a
a._LEFT_S = 0.1
def verb():
    threading.Thread(target=time.sleep, args=(600,)).start()
    import atexit
    atexit.register(print, "noise")
    print("answer")
    raise SystemExit(3)
a.app = verb
a.run()
"""


def test_nothing_that_is_left_running_keeps_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (3, "answer\n")
    assert "left running" in done.stderr
