"""A plan beside the run that it is of."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.models.loading import load_model
from hearbench.models.protocol import Model
from hearbench.planning.facts import task_facts
from hearbench.planning.plan import Asked, Planner, plan_evaluation
from hearbench.probe.fit import fit_probe
from hearbench.probe.protocol import GridPoint, Protocol
from hearbench.tasks.store import load_task, with_rate
from hearbench.workspace import Workspace

POINT = GridPoint(hidden_dim=256, max_epochs=40, check_every=5, patience=8)
ASKED = Asked(Protocol(name="small", grid=(POINT,)), budget_s=0.1)


@pytest.fixture
def model(tmp_path: Path, workspace: Workspace) -> Model:
    """Sixteen bands at 16 kHz."""
    return load_model(str(write_model(tmp_path, BANDS)), workspace=workspace)


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_a_small_run_is_foretold(
    tmp_path: Path, workspace: Workspace, model: Model, kind: str
) -> None:
    folder = (
        make_scene_task(tmp_path / "task", clips_per_label=40, sample_rates=(22050,))
        if kind == "scene"
        else make_event_task(tmp_path / "task", clips=8, sample_rates=(22050,))
    )
    facts = task_facts(str(folder), workspace)
    plan = plan_evaluation(model, [facts], ASKED, workspace=workspace)
    assert plan.fits
    assert not plan.failed
    (found,) = plan.tasks
    stages = {stage.stage: stage for stage in found.stages}
    assert list(stages) == ["check", "resample", "embed", "probe", "result"]
    task = load_task(folder, workspace=workspace)
    before = written(workspace.cache_dir)
    with_rate(task, model.sample_rate, workspace=workspace)
    resampled = written(workspace.cache_dir) - before
    assert stages["resample"].disk_bytes == pytest.approx(resampled, rel=0.02)
    store = embed(model, task, workspace=workspace)
    arrays = sum(file.bytes for shard in store.manifest.shards for file in shard.files)
    # As much again for the records of clips this small.
    assert arrays < stages["embed"].disk_bytes < arrays + 100 * facts.n_clips + 4000
    started, computing = time.perf_counter(), time.process_time()
    predictions = fit_probe(store, ASKED.protocol, workspace=workspace)
    seconds, computing = time.perf_counter() - started, time.process_time() - computing
    foretold = stages["probe"].seconds
    assert foretold is not None
    # A machine that does other things makes it take longer, whether before or now.
    assert foretold.low / (5 if kind == "scene" else 40) < seconds
    assert computing < 5 * foretold.high
    # A fold whose score is undefined at first is given up early.
    assert predictions.folds[0].outcome.epochs == (40 if kind == "scene" else 5)
    assert plan.total.disk_bytes == sum(stage.disk_bytes for stage in found.stages)
    again = plan_evaluation(model, [facts], ASKED, workspace=workspace)
    assert [stage.stage for stage in again.tasks[0].stages] == ["check", "probe", "result"]
    assert "embeddings are in the cache" in again.tasks[0].notes
    told = again.tasks[0].stages[1].made_from
    assert ("40 expected as in earlier trainings" in told) == (kind == "scene")


def test_a_second_model_finds_what_the_first_has_made(
    tmp_path: Path, workspace: Workspace, model: Model
) -> None:
    facts = task_facts(str(make_scene_task(tmp_path / "t", sample_rates=(22050,))), workspace)
    planner = Planner(ASKED, workspace)
    planner.add(model, [facts])
    planner.add(dataclasses.replace(model, name="other", digest="other"), [facts])
    first, second = planner.plan().tasks
    assert [stage.stage for stage in first.stages][:2] == ["check", "resample"]
    assert [stage.stage for stage in second.stages] == ["embed", "probe", "result"]


def test_what_does_not_fit_is_said(tmp_path: Path, model: Model) -> None:
    small = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=1, max_memory_gb=0.001)
    planner = Planner(ASKED, small)
    planner._memory_free = 1 << 20
    tasks = [task_facts(name, small) for name in ("gunshot_triangulation", "esc50-small")]
    planner.add(model, tasks)
    plan = planner.plan()
    assert not plan.fits
    gunshot, esc50_small = plan.tasks
    assert any("of memory" in problem for problem in gunshot.problems)
    assert any("hearbench prepare" in problem for problem in esc50_small.problems)
    assert [stage.seconds for stage in esc50_small.stages if stage.stage == "fetch"] == [None]


def test_frames_beyond_the_memory_are_noted(tmp_path: Path, model: Model) -> None:
    small = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=1, max_memory_gb=0.001)
    plan = plan_evaluation(model, [task_facts("dcase2016_task2", small)], ASKED, workspace=small)
    assert any("--max-memory" in note for note in plan.tasks[0].notes)


def test_a_model_that_fails_stops_no_other_task(tmp_path: Path, workspace: Workspace) -> None:
    source = BANDS.replace("def get_timestamp_embeddings(audio, model):", "def nothing(a, m):")
    source += "\n\ndef get_timestamp_embeddings(audio, model):\n    raise RuntimeError('broken')\n"
    broken = load_model(str(write_model(tmp_path, source, "broken")), workspace=workspace)
    scene = task_facts(str(make_scene_task(tmp_path / "a")), workspace)
    event = task_facts(str(make_event_task(tmp_path / "b")), workspace)
    plan = plan_evaluation(broken, [event, scene], ASKED, workspace=workspace)
    assert [task.task for task in plan.tasks] == [scene.name]
    assert [failed.task for failed in plan.failed] == [event.name]
    assert "broken" in plan.failed[0].error
    assert not plan.fits
