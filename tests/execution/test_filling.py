"""What units leave in the cache is what an evaluation looks for, and what it would have made."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from helpers_models import BANDS, write_model
from helpers_progress import Noted, noting
from helpers_tasks import make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.execution.exchange import OneDisk
from hearbench.execution.executor import Outcome, ThisProcess, drive
from hearbench.execution.filling import Training, Wanted, fetching, filling
from hearbench.execution.task_place import TaskPlace
from hearbench.execution.units import (
    EmbedShards,
    FetchTask,
    FindShards,
    FinishStore,
    ModelChoice,
    ResampleTask,
    TrainFold,
    Unit,
)
from hearbench.models.loading import load_model
from hearbench.probe.fit import fit_probes
from hearbench.probe.protocol import get_protocol
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace


class Recorder(ThisProcess):
    """Remembers what it was handed."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.units: list[Unit] = []

    def wait(self) -> tuple[Unit, Outcome]:
        unit, outcome = super().wait()
        self.units.append(unit)
        return unit, outcome


@pytest.fixture
def wanted(tmp_path: Path, workspace: Workspace) -> Wanted:
    """Three folds at 44.1 kHz for a model at 16 kHz, with two seeds."""
    place = make_scene_task(
        tmp_path, folds=True, varying_lengths=True, sample_rates=(44100,), clips_per_label=30
    )
    spec = write_model(tmp_path, BANDS, "bands")
    model = load_model(spec, workspace=workspace)
    choice = ModelChoice(str(spec), None, (), None, model.digest, "scene")
    protocol = get_protocol("faster").restricted(first=4)
    training = Training(protocol, (7, 8), "float32")
    task = load_task(place)
    return Wanted(choice, model.sample_rate, task, TaskPlace.on_disk(task), "float32", training)


@pytest.fixture
def small(tmp_path: Path, wanted: Wanted) -> Wanted:
    """The same with another, much smaller task."""
    place = make_scene_task(tmp_path, name="small", folds=True)
    task = load_task(place)
    return dataclasses.replace(wanted, task=task, place=TaskPlace.on_disk(task))


def kinds(units: list[Unit]) -> list[type[object]]:
    return list(dict.fromkeys(type(unit) for unit in units))


def test_an_evaluation_finds_all_of_it(
    wanted: Wanted, tmp_path: Path, workspace: Workspace
) -> None:
    executor = Recorder(workspace)
    assert drive(executor, {"it": filling(wanted, set())}) == {}
    assert kinds(executor.units) == [ResampleTask, FindShards, EmbedShards, FinishStore, TrainFold]
    trained = [unit for unit in executor.units if isinstance(unit, TrainFold)]
    grid = [unit.points for unit in trained if unit.number == 0]
    assert sorted(i for points in grid for i in points) == [0, 1, 2, 3]
    assert len(grid) > 1, "shapes are units of their own"
    assert [unit.number for unit in trained if not unit.points] == [1, 2]
    # 90 clips per fold, 64 of them a shard.
    parts = [unit.names for unit in executor.units if isinstance(unit, EmbedShards)]
    assert [name for names in parts for name in names] == [
        f"fold0{fold}-0000{i}" for fold in range(3) for i in range(2)
    ]
    assert wanted.training is not None
    model = load_model(wanted.model.spec, workspace=workspace)
    told = Noted()
    store = embed(model, wanted.task, workspace=noting(workspace, told))
    assert told.states == []
    found = fit_probes(
        store,
        wanted.training.protocol,
        seeds=(7, 8),
        precision="float32",
        workspace=noting(workspace, told),
    )
    assert told.states == [], "nothing was left to be trained"
    elsewhere = dataclasses.replace(workspace, cache_dir=tmp_path / "other")
    store = embed(model, wanted.task, workspace=elsewhere)
    made = fit_probes(
        store, wanted.training.protocol, seeds=(7, 8), precision="float32", workspace=elsewhere
    )
    for one, other in zip(found, made, strict=True):
        assert one.embeddings_digest == other.embeddings_digest
        assert (one.grid, one.chosen) == (other.grid, other.chosen)
        for mine, theirs in zip(one.folds, other.folds, strict=True):
            assert mine.outcome == theirs.outcome
    # Again, nothing is missing: units find out so, and none embeds.
    again = Recorder(workspace)
    assert drive(again, {"it": filling(wanted, set())}) == {}
    assert EmbedShards not in kinds(again.units)


def test_embeddings_alone(small: Wanted, workspace: Workspace) -> None:
    executor = Recorder(workspace)
    assert drive(executor, {1: filling(dataclasses.replace(small, training=None), set())}) == {}
    assert TrainFold not in kinds(executor.units)
    assert len(list((workspace.cache_dir / "embeddings").glob("*/*/*/manifest.json"))) == 1


def test_neighbours_are_left_to_the_evaluation(small: Wanted, workspace: Workspace) -> None:
    executor = Recorder(workspace)
    training = Training(get_protocol("knn"), (7,), "float32")
    assert drive(executor, {1: filling(dataclasses.replace(small, training=training), set())}) == {}
    assert TrainFold not in kinds(executor.units)


def test_points_that_race_stay_together(small: Wanted, workspace: Workspace) -> None:
    executor = Recorder(workspace)
    protocol = get_protocol("racing").restricted(first=4)
    points = tuple(
        point.model_copy(update={"max_epochs": 4, "hidden_dim": 8}) for point in protocol.networks
    )
    training = Training(protocol.model_copy(update={"grid": points}), (7,), "float32")
    assert drive(executor, {1: filling(dataclasses.replace(small, training=training), set())}) == {}
    trained = [unit for unit in executor.units if isinstance(unit, TrainFold)]
    assert [unit.points for unit in trained] == [(0, 1, 2, 3), (), ()]


def test_another_model_on_a_node_is_refused(small: Wanted, workspace: Workspace) -> None:
    other = dataclasses.replace(small.model, digest="0" * 64)
    errors = drive(
        ThisProcess(workspace), {1: filling(dataclasses.replace(small, model=other), set())}
    )
    assert "is another model on this node" in errors[1]
    assert not (workspace.cache_dir / "embeddings").exists()


def test_fetching_says_what_is_missing(small: Wanted, workspace: Workspace) -> None:
    place = str(small.task.folder)
    assert FetchTask(place).run(workspace, OneDisk()) == small.place
    found: dict[str, TaskPlace] = {}
    flows = {"a": fetching(place, found), "b": fetching(f"{place}/nothing", found)}
    errors = drive(ThisProcess(workspace), flows)
    assert found == {place: small.place}
    assert errors.keys() == {"b"}
    assert "there is no such file or folder" in errors["b"]
