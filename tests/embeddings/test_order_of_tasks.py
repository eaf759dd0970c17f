"""What a model gives for a task, whatever tasks and models were before it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers_models import engine_of, noise, write_model
from helpers_tasks import make_event_task, make_scene_task
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hearbench.embeddings.compute import embed
from hearbench.errors import ModelError
from hearbench.models.loaded import Interpreter
from hearbench.models.loading import load_model
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

# Random weights, and functions that draw as well, so that whatever changes generators, types or
# threads shows.
DRAWS = """
import random
import numpy as np
import torch

class Draws(torch.nn.Module):
    sample_rate = 16000
    scene_embedding_size = 4
    timestamp_embedding_size = 4

def load_model(model_file_path=""):
    torch.manual_seed(3)
    model = Draws()
    model.weight = torch.nn.Parameter(torch.randn(800, 4))
    model.calls = 0
    return model

def _embed(frames, model):
    noise = random.random() + np.random.standard_normal() + torch.rand(1).item()
    return (frames.to(model.weight.dtype) @ model.weight) * SCALE + noise + model.calls

def get_scene_embeddings(audio, model):
    return _embed(audio[:, :800], model)

def get_timestamp_embeddings(audio, model):
    frames = audio[:, : audio.shape[1] // 800 * 800].reshape(len(audio), -1, 800)
    ms = torch.arange(frames.shape[1], dtype=torch.float32) * 50.0 + 25.0
    return _embed(frames, model), ms.expand(len(audio), -1)
"""
SEEDS = "random.seed(1); np.random.seed(1)\n"
COUNTS = """
plain = _embed

def _embed(frames, model):
    model.calls += 1
    return plain(frames, model)
"""
MODELS = {
    "double": "torch.set_default_dtype(torch.float64)",
    "meddles": """
        import decimal, os, sys, warnings
        from hk_scale import SCALE
        os.chdir("/")
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        sys.path.insert(0, "/")
        warnings.simplefilter("error")
    """,
    "counts": COUNTS,
    "remembers": """
        _plain = _embed
        heard = []

        def _embed(frames, model):
            heard.append(frames)
            return _plain(frames, model) + len(heard)
    """,
}
TASKS = ("scene", "more", "event")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("order")
    make_scene_task(place, name="scene")
    make_scene_task(place, name="more", seed=5, clips_per_label=2)
    make_event_task(place, name="event")
    for number, (name, extra) in enumerate(MODELS.items(), start=2):
        scale = "" if "hk_scale" in extra else f"SCALE = {number}\n"
        path = write_model(place / name, DRAWS, name, extra)
        path.write_text(f"{scale}{path.read_text()}\n{SEEDS}")
        (place / name / "hk_scale.py").write_text(f"SCALE = {number}\n")
    return place


def arrays(place: Path, cache: Path, models: list[str], tasks: list[str]) -> dict[str, bytes]:
    """What is embedded, by model, task and file."""
    workspace = Workspace(cache_dir=cache, device="cpu", workers=2)
    found: dict[str, bytes] = {}
    for name in models:
        model = load_model(place / name / f"{name}.py", workspace=workspace)
        for task in tasks:
            store = embed(model, load_task(place / f"{task}-1.0.0-full"), workspace=workspace)
            files = sorted((store.folder / "shards").glob("*.npy"))
            found |= {f"{name} {task} {file.name}": file.read_bytes() for file in files}
        model.close()
    return found


@pytest.fixture(scope="module")
def alone(place: Path) -> dict[str, bytes]:
    return {
        name: content
        for model in MODELS
        for task in TASKS
        for name, content in arrays(place, place / model / task, [model], [task]).items()
    }


@hypothesis_settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    models=st.lists(st.sampled_from(sorted(MODELS)), min_size=1, max_size=3, unique=True),
    tasks=st.lists(st.sampled_from(TASKS), min_size=1, max_size=3, unique=True),
)
def test_as_each_model_alone_on_each_task(
    place: Path,
    alone: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
    models: list[str],
    tasks: list[str],
) -> None:
    found = arrays(place, tmp_path_factory.mktemp("cache"), models, tasks)
    assert len({name.rpartition(" ")[0] for name in found}) == len(models) * len(tasks)
    assert found == {name: alone[name] for name in found}


@pytest.mark.usefixtures("quick_python")
def test_another_process_is_begun_anew(place: Path, tmp_path: Path, workspace: Workspace) -> None:
    there = Interpreter(Path(sys.executable))
    found = []
    for cache, tasks in enumerate((("scene", "event"), ("event",))):
        own = replace(workspace, cache_dir=tmp_path / str(cache))
        model = load_model(place / "counts" / "counts.py", workspace=own, interpreter=there)
        for task in tasks:
            store = embed(model, load_task(place / f"{task}-1.0.0-full"), workspace=own)
        model.close()
        files = sorted((store.folder / "shards").glob("*.npy"))
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]


def test_only_what_was_called_is_loaded_anew(place: Path, workspace: Workspace) -> None:
    model = load_model(place / "counts" / "counts.py", workspace=workspace)
    first = engine_of(model)
    model.renew()
    assert engine_of(model) is first
    audio = noise(1, 0.1, 16000)
    once = model.scene(audio.copy())
    model.timestamps(audio.copy())
    assert not np.array_equal(model.scene(audio.copy()), once)
    assert engine_of(model) is first
    model.renew()
    assert np.array_equal(model.scene(audio.copy()), once)
    # What was there before takes no memory any longer.
    assert first.loaded is None
    with pytest.raises(ModelError, match="closed"):
        first.call("get_scene_embeddings", audio)


def test_finished_embeddings_need_no_new_model(place: Path, workspace: Workspace) -> None:
    model = load_model(place / "counts" / "counts.py", workspace=workspace)
    task = load_task(place / "scene-1.0.0-full")
    embed(model, task, workspace=workspace)
    engine = engine_of(model)
    embed(model, task, workspace=workspace)
    assert engine_of(model) is engine


def test_a_source_that_changes_meanwhile(tmp_path: Path, workspace: Workspace) -> None:
    path = write_model(tmp_path, "SCALE = 2\n" + DRAWS)
    model = load_model(path, workspace=workspace)
    model.scene(noise(1, 0.1, 16000))
    path.write_text(path.read_text().replace("SCALE = 2", "SCALE = 33"))
    with pytest.raises(ModelError, match="changed"):
        model.renew()


@pytest.mark.usefixtures("quick_python")
def test_code_that_runs_once_in_a_process_goes_on_in_another(
    tmp_path: Path, workspace: Workspace
) -> None:
    extra = """
        SCALE = 2
        import wave
        if hasattr(wave, "hk_registered"):
            raise ValueError("registered already")
        wave.hk_registered = True
        random.seed(1)
        np.random.seed(1)
    """
    model = load_model(write_model(tmp_path, DRAWS, "once", extra), workspace=workspace)
    audio = noise(1, 0.1, 16000)
    try:
        first = model.scene(audio.copy())
        model.renew()
        assert np.array_equal(model.scene(audio.copy()), first)
    finally:
        import wave

        del wave.hk_registered  # type: ignore[attr-defined]
        model.close()
