"""A plan beside the run that it is of."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers_models import BANDS, write_model
from helpers_regression import make_regression_task
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.evaluation.probes import ProbeSetup
from hearbench.models.loading import load_model
from hearbench.planning import Asked, Plan, plan_evaluation, task_facts
from hearbench.planning.dry_run import dry_run
from hearbench.probe.protocol import GridPoint, NeighbourPoint, Protocol
from hearbench.tasks.store import load_task, with_rate
from hearbench.workspace import Workspace

POINT = GridPoint(hidden_dim=64, max_epochs=40, check_every=5, patience=3)
DEEP = POINT.model_copy(update={"hidden_layers": 2})
SETUP = ProbeSetup(Protocol(name="small", grid=(POINT, DEEP)), (42,), "float32")
ASKED = Asked(SETUP, embed_s=0.1)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Sixteen bands at 16 kHz."""
    return str(write_model(tmp_path, BANDS))


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


MAKERS = {
    "scene": lambda folder: make_scene_task(folder, clips_per_label=40, sample_rates=(22050,)),
    "event": lambda folder: make_event_task(folder, clips=8, sample_rates=(22050,)),
    "regression": lambda folder: make_regression_task(folder, 150, sample_rate=22050),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_what_is_kept_on_disk_is_foretold(
    tmp_path: Path, workspace: Workspace, model: str, kind: str
) -> None:
    folder = MAKERS[kind](tmp_path / "task")
    plan = plan_evaluation([model], [str(folder)], ASKED, workspace=workspace)
    assert plan.fits
    assert not plan.failed
    assert [path for path in workspace.cache_dir.rglob("*") if path.is_file()] == []
    (found,) = plan.tasks
    stages = {stage.stage: stage for stage in found.stages}
    assert list(stages) == ["check", "resample", "embed", "probe", "result"]
    assert plan.total.disk_bytes == sum(stage.disk_bytes for stage in found.stages)
    for stage in found.stages:
        assert stage.seconds is not None
        assert 0 <= stage.seconds.low <= stage.seconds.expected <= stage.seconds.high

    task, loaded = load_task(folder, workspace=workspace), load_model(model, workspace=workspace)
    before = written(workspace.cache_dir)
    with_rate(task, loaded.sample_rate, workspace=workspace)
    resampled = written(workspace.cache_dir) - before
    assert stages["resample"].disk_bytes == pytest.approx(resampled, rel=0.02)
    store = embed(loaded, task, workspace=workspace)
    arrays = sum(file.bytes for shard in store.manifest.shards for file in shard.files)
    n_clips = sum(map(len, task.splits.values()))
    # As much again for the records of clips this small.
    assert arrays < stages["embed"].disk_bytes < arrays + 100 * n_clips + 4000

    again = plan_evaluation([model], [str(folder)], ASKED, workspace=workspace)
    assert [stage.stage for stage in again.tasks[0].stages] == ["check", "probe", "result"]
    assert "embeddings are in the cache" in again.tasks[0].notes


def test_the_sample_is_like_the_task(workspace: Workspace, model: str) -> None:
    loaded = load_model(model, workspace=workspace)
    scene, event = (task_facts(name, workspace) for name in ("esc50", "dcase2016_task2"))
    ran = dry_run(loaded, scene, SETUP, dtype="float16", embed_s=0.1, workspace=workspace)
    assert (ran.clip_s, ran.frames_per_s, ran.embedding_size) == (5.0, 0.0, 16)
    assert [stack.points for stack in ran.stacks] == [(POINT,), (DEEP,)]
    times = [ran.check_s, ran.resample_s, ran.embed_s, ran.result_s]
    assert min(times + [stack.epoch_s for stack in ran.stacks]) > 0
    # Of long clips half a minute is embedded.
    ran = dry_run(loaded, event, SETUP, dtype="float32", embed_s=0.1, workspace=workspace)
    assert (ran.clip_s, ran.embedding_size) == (30.0, 16)
    assert ran.frames_per_s == pytest.approx(20, rel=0.01)


def test_neighbours_train_nothing(workspace: Workspace, model: str) -> None:
    asking = ProbeSetup(Protocol(name="ask", grid=(NeighbourPoint(k=1),)), (42,), "float32")
    loaded, facts = load_model(model, workspace=workspace), task_facts("beijing_opera", workspace)
    ran = dry_run(loaded, facts, asking, dtype="float32", embed_s=0.1, workspace=workspace)
    assert ran.stacks == ()
    assert ran.result_s > 0


def test_a_second_model_finds_what_the_first_has_made(
    tmp_path: Path, workspace: Workspace, model: str
) -> None:
    task = str(make_scene_task(tmp_path / "t", sample_rates=(22050,)))
    other = str(write_model(tmp_path, f"{BANDS}\n# another\n", "other"))
    first, second = plan_evaluation([model, other], [task], ASKED, workspace=workspace).tasks
    assert [stage.stage for stage in first.stages][:2] == ["check", "resample"]
    assert [stage.stage for stage in second.stages] == ["embed", "probe", "result"]


def test_what_does_not_fit_is_said(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("_", (), {"available": -(1 << 40)}))
    small = Workspace(cache_dir=tmp_path / "cache", device="cpu", workers=1, max_memory_gb=0.001)
    tasks = ["gunshot_triangulation", "esc50-small", "dcase2016_task2"]
    plan = plan_evaluation([model], tasks, ASKED, workspace=small)
    assert not plan.fits
    gunshot, esc50_small, dcase = plan.tasks
    assert any("of memory" in problem for problem in gunshot.problems)
    assert any("hearbench prepare" in problem for problem in esc50_small.problems)
    assert [stage.seconds for stage in esc50_small.stages if stage.stage == "fetch"] == [None]
    assert any("--max-memory" in note for note in dcase.notes)


def failures(plan: Plan) -> list[tuple[str | None, str | None]]:
    return [(failed.model, failed.task) for failed in plan.failed]


def test_what_fails_stops_nothing_else(tmp_path: Path, workspace: Workspace, model: str) -> None:
    source = BANDS.replace("def get_timestamp_embeddings(audio, model):", "def nothing(a, m):")
    source += "\n\ndef get_timestamp_embeddings(audio, model):\n    raise RuntimeError('broken')\n"
    broken = str(write_model(tmp_path, source, "broken"))
    scene, event = make_scene_task(tmp_path / "a"), make_event_task(tmp_path / "b")
    tasks = [str(event), "nonsense", str(scene)]
    plan = plan_evaluation(["no.such.model", broken], tasks, ASKED, workspace=workspace)
    assert [task.task for task in plan.tasks] == [scene.name]
    assert failures(plan) == [
        (None, "nonsense"),
        ("no.such.model", None),
        (broken, event.name),
    ]
    assert "broken" in plan.failed[2].error
    assert not plan.fits
