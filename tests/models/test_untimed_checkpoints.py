"""A checkpoint whose frames can't be timed, from the host: scenes with a note, no events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_models import noise
from helpers_published import PUBLISHED, save
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.errors import ModelError
from hearbench.models.loading import load_model
from hearbench.models.model import Model
from hearbench.tasks.store import load_task
from hearbench.worker.checkpoints.families import STACKS
from hearbench.workspace import Workspace

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nemotron")
    save(PUBLISHED["nemotron"], path)
    return path


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the checkpoint's architecture to be measured, as one that isn't known."""
    monkeypatch.delitem(STACKS, "nemotron_asr_streaming_encoder")


def _load(folder: Path, workspace: Workspace, **options: Any) -> Model:
    # With random weights, its layers look further back than a hop.
    return load_model(f"hf:{folder}", workspace=workspace, layer=1, **options)


def test_scenes_have_a_note_and_events_are_refused(
    folder: Path, tmp_path: Path, workspace: Workspace
) -> None:
    model = _load(folder, workspace)
    assert model.layers == 0
    scenes = load_task(make_scene_task(tmp_path / "scenes"), workspace=workspace)
    (note,) = embed(model, scenes, workspace=workspace).manifest.notes
    assert note.startswith(f"{model.name}: the times of its frames aren't known, so it is for ")
    events = load_task(make_event_task(tmp_path / "events"), workspace=workspace)
    with pytest.raises(ModelError, match=r"times of its frames aren't known: .*hop_ms="):
        embed(model, events, workspace=workspace)


def test_times_that_options_state_serve_events(
    folder: Path, tmp_path: Path, workspace: Workspace
) -> None:
    model = _load(folder, workspace, hop_ms=80, first_ms=10)
    _, ms = model.timestamps(noise(1, 2.0, 16000))
    assert ms[0] == pytest.approx(10 + 80 * np.arange(25))
    events = load_task(make_event_task(tmp_path / "events"), workspace=workspace)
    (note,) = embed(model, events, workspace=workspace).manifest.notes
    assert "its frames are 80 ms apart from 10 ms on because options say so" in note
