"""Whatever changes in a model: its embeddings are its own, and aren't computed twice."""

from __future__ import annotations

import os
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from helpers_tasks import make_scene_task
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hearbench.embeddings.compute import embed
from hearbench.embeddings.manifest import ShardRecord
from hearbench.embeddings.run import Run
from hearbench.embeddings.store import EmbeddingStore
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

# Each of its numbers hangs on another thing that a model may take in.
SOURCE = """
import importlib, json, os, pathlib, sys
import torch
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "elsewhere"))
import beside
from second import part
AT_IMPORT = float((HERE / "at_import.txt").read_text())

class Gains(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 12, 1

def load_model(weights, folder="", file=""):
    model = Gains()
    model.gains = [
        AT_IMPORT,
        beside.GAIN,
        part.GAIN,
        float((HERE / "at_loading.txt").read_text()),
        float(os.environ.get("A_GAIN", "1")),
        float((pathlib.Path(weights) / "linked" / "w.txt").read_text()),
        json.loads((pathlib.Path(folder) / "deep" / "gain.json").read_text()),
        float(pathlib.Path(file).read_text()),
        # Of the size of a file Python tells nothing.
        float(os.path.getsize(HERE / "size.bin")),
    ]
    return model

def get_scene_embeddings(audio, model):
    import lazy
    named = importlib.import_module("na" + "med")
    # The signal is a second; nothing of it tells of what only shorter clips call forth.
    later = 1.0 if audio.shape[1] == 16000 else float((HERE / "later.txt").read_text())
    gains = torch.tensor([*model.gains, lazy.GAIN, named.GAIN, later])
    return audio.abs().mean(1, keepdim=True) * gains

def get_timestamp_embeddings(audio, model):
    raise NotImplementedError
"""
PLACES = {
    "model/at_import.txt": "{}",
    "model/beside.py": "GAIN = {}",
    "elsewhere/second/part.py": "GAIN = {}",
    "model/at_loading.txt": "{}",
    "A_GAIN": "{}",
    "real/w.txt": "{}",
    "options/deep/gain.json": "{}",
    "options.txt": "{}",
    "model/size.bin": "",
    "model/lazy.py": "GAIN = {}",
    "model/named.py": "GAIN = {}",
    "model/later.txt": "{}",
}
NAMES = tuple(PLACES)


class Bench:
    """A model in pieces, and a cache."""

    def __init__(self, root: Path, task: PreparedTask) -> None:
        self.root = root
        self.task = task
        self.gains = dict.fromkeys(NAMES, 1)
        self.own = Workspace(cache_dir=root / "cache", device="cpu", workers=1)
        for folder in ("model", "elsewhere/second", "real", "options/deep", "weights"):
            (root / folder).mkdir(parents=True)
        (root / "weights/linked").symlink_to(root / "real")
        (root / "weights/circle").symlink_to(root / "weights")
        (root / "model/gains.py").write_text(SOURCE)
        (root / "elsewhere/second/__init__.py").touch()
        for name in NAMES:
            self.change(name, 1)

    def change(self, name: str, gain: int) -> None:
        self.gains[name] = gain
        if name == "A_GAIN":
            os.environ[name] = str(gain)
        else:
            text = "x" * gain if name.endswith(".bin") else PLACES[name].format(gain)
            (self.root / name).write_text(text)

    def model(self) -> Model:
        return load_model(
            self.root / "model/gains.py",
            self.root / "weights",
            workspace=self.own,
            folder=str(self.root / "options"),
            file=str(self.root / "options.txt"),
        )

    def embedded(self) -> EmbeddingStore:
        return embed(self.model(), self.task, workspace=self.own)


def levels(task: PreparedTask) -> npt.NDArray[np.float64]:
    """What a gain of 1 gives for the test clips."""
    found = []
    for path in task.audio_paths("test", 16000):
        with wave.open(str(path)) as file:
            x = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        found.append(np.abs(x / 32768).mean())
    return np.array(found)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> PreparedTask:
    folder = tmp_path_factory.mktemp("task")
    return load_task(make_scene_task(folder, clips_per_label=1, labels=("a", "b")))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Takes the number of shards that each pass of a model computes."""
    counts: list[int] = []
    plain = Run.compute

    def counting(self: Run) -> list[ShardRecord]:
        counts.append(len(self.shards))
        return plain(self)

    monkeypatch.setattr(Run, "compute", counting)
    # Python tells compiled modules by seconds and sizes, and changes here have the same of both.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("A_GAIN", "1")
    return counts


CHANGES = st.lists(
    st.one_of(st.none(), st.tuples(st.sampled_from(NAMES), st.integers(1, 3))), max_size=4
)


@given(changes=CHANGES)
@example(changes=[None, *((name, 2) for name in NAMES), None, *((name, 1) for name in NAMES)])
@hypothesis_settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_change(
    task: PreparedTask, computed: list[int], changes: list[tuple[str, int] | None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), task)
        known: set[tuple[int, ...]] = set()
        for change in (None, *changes):
            if change is not None:
                bench.change(*change)
            gains = tuple(bench.gains.values())
            computed.clear()
            store = bench.embedded()
            np.testing.assert_allclose(
                store.scene("test"), levels(task)[:, None] * gains, rtol=1e-5, err_msg=str(change)
            )
            # Three splits of a shard each, once.
            assert computed == ([] if gains in known else [3]), change
            known.add(gains)
