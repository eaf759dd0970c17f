"""Steps done by others leave what an evaluation makes in one process, and nothing to make again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from helpers_models import BANDS, write_model
from helpers_tasks import make_scene_task

from hearbench.embeddings.compute import embed
from hearbench.embeddings.kinds import Wanted as WantedEmbeddings
from hearbench.evaluation.job import Embeddings
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.run import embed_tasks, evaluate
from hearbench.evaluation.steps import (
    EmbedShards,
    FetchTask,
    FindShards,
    FinishStore,
    Resample,
    TrainFold,
)
from hearbench.evaluation.task_ref import TaskRef
from hearbench.evaluation.workflow import Score, embedding, fetching
from hearbench.execution.executor import Context, Flow, InProcess, Outcome, Step, drive
from hearbench.models.loading import load_model
from hearbench.models.ref import ModelRef
from hearbench.probe.fit import fit_probes
from hearbench.probe.protocol import get_protocol
from hearbench.results import Result
from hearbench.tasks.store import load_task
from hearbench.workspace import Workspace

SHARED_OUT = [Resample, FindShards, EmbedShards, FinishStore, TrainFold, Score]


def made(workspace: Workspace) -> dict[Path, bytes]:
    """Shards and trainings in a cache; both say how long they took."""
    shards = workspace.cache_dir.glob("embeddings/*/*/*/shards/*")
    return {
        path: path.read_bytes()
        for path in [*shards, *workspace.path("probes").rglob("*.finished.npz")]
    }


class Recorder(InProcess):
    """Works as executors of several processes do; remembers steps, and what the last one found."""

    parallel = True

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.steps: list[Step] = []
        self.before_score: Mapping[Path, bytes] = {}

    def wait(self) -> tuple[Step, Outcome]:
        if isinstance(self._waiting[0], Score):
            self.before_score = made(self.context.workspace)
        step, outcome = super().wait()
        self.steps.append(step)
        return step, outcome

    @property
    def kinds(self) -> list[type[object]]:
        return list(dict.fromkeys(type(step) for step in self.steps))

    @property
    def trained(self) -> list[TrainFold]:
        return [step for step in self.steps if isinstance(step, TrainFold)]


SCENES = WantedEmbeddings("scene")


@dataclass(frozen=True)
class Wanted:
    """A model and a task."""

    spec: str
    task: Path

    def evaluate(self, setup: ProbeSetup, out: Path, executor: InProcess) -> Path:
        """Evaluates it; returns the result's folder."""
        results = evaluate(
            self.spec,
            self.task,
            protocol=setup,
            out=out,
            executor=executor,
            workspace=executor.context.workspace,
        )
        assert results.failures == []
        ((path, _),) = results.results
        return path.parent


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """Three folds at 44.1 kHz for a model at 16 kHz."""
    task = make_scene_task(
        tmp_path, folds=True, varying_lengths=True, sample_rates=(44100,), clips_per_label=30
    )
    return Wanted(str(write_model(tmp_path, BANDS, "bands")), task)


@pytest.fixture
def small(tmp_path: Path, wanted: Wanted) -> Wanted:
    """The same model with another, much smaller task."""
    return replace(wanted, task=make_scene_task(tmp_path, name="small", folds=True))


def test_an_evaluation_finds_all_of_it(
    wanted: Wanted, tmp_path: Path, workspace: Workspace
) -> None:
    setup = ProbeSetup(get_protocol("faster").restricted(first=4), (7, 8), "float32")
    executor = Recorder(workspace)
    there = wanted.evaluate(setup, tmp_path / "there", executor)
    assert executor.kinds[-6:] == SHARED_OUT
    grid = [step.points for step in executor.trained if step.number == 0]
    assert sorted(i for points in grid for i in points) == [0, 1, 2, 3]
    assert len(grid) > 1, "shapes are steps of their own"
    assert [step.number for step in executor.trained if not step.points] == [1, 2]
    assert {step.seeds for step in executor.trained} == {(7, 8)}
    # 90 clips per fold, 64 of them a shard.
    parts = [step.names for step in executor.steps if isinstance(step, EmbedShards)]
    assert [name for names in parts for name in names] == [
        f"fold0{fold}-0000{i}" for fold in range(3) for i in range(2)
    ]
    assert len(executor.before_score) == 2 * 6 + 2 * (len(grid) + 2)
    assert made(workspace) == executor.before_score, "nothing was left to be made"

    # One process by itself makes the same, in results and in what they are computed from.
    elsewhere = replace(workspace, cache_dir=tmp_path / "other")
    here = wanted.evaluate(setup, tmp_path / "here", InProcess(elsewhere))
    for seed in ("", "seeds/8"):
        one, other = Result.read(there / seed), Result.read(here / seed)
        assert one.same_as(other)
        assert one.embeddings.digest == other.embeddings.digest
        names = sorted(path.name for path in (here / seed / "predictions").iterdir())
        assert len(names) == 2 * 3 + 2
        for name in names:
            mine, theirs = (each / seed / "predictions" / name for each in (there, here))
            assert mine.read_bytes() == theirs.read_bytes(), name
    assert (there / "uncertainty.json").read_bytes() == (here / "uncertainty.json").read_bytes()
    task, model = load_task(wanted.task), load_model(wanted.spec, workspace=workspace)
    for one_fold, other_fold in zip(
        *(
            predictions.folds
            for place in (workspace, elsewhere)
            for predictions in fit_probes(
                embed(model, task, workspace=place),
                setup.protocol,
                seeds=[8],
                precision="float32",
                workspace=place,
            )
        ),
        strict=True,
    ):
        assert one_fold.outcome == other_fold.outcome

    # Again, nothing is missing: steps find out so, and none embeds.
    again = Recorder(workspace)
    wanted.evaluate(setup, tmp_path / "again", again)
    assert again.kinds[-5:] == [kind for kind in SHARED_OUT if kind is not EmbedShards]
    assert made(workspace) == executor.before_score
    # And with the results there, nothing is done.
    kept = Recorder(workspace)
    assert wanted.evaluate(setup, tmp_path / "there", kept) == there
    assert kept.kinds == [FetchTask]


def test_only_missing_seeds_are_trained(
    small: Wanted, tmp_path: Path, workspace: Workspace
) -> None:
    setup = ProbeSetup(get_protocol("faster").restricted(first=1), (7,), "float32")
    small.evaluate(setup, tmp_path / "out", Recorder(workspace))
    executor = Recorder(workspace)
    small.evaluate(replace(setup, seeds=(7, 8)), tmp_path / "out", executor)
    assert {step.seeds for step in executor.trained} == {(8,)}


def test_what_is_missing_of_many_parts_is_a_step_of_its_own(
    small: Wanted, workspace: Workspace
) -> None:
    # So a process that comes later doesn't embed what the step of another one is about to finish.
    embed_tasks(small.spec, [small.task], executor=Recorder(workspace), workspace=workspace)
    (store,) = workspace.cache_dir.glob("embeddings/*/*/*/")
    (store / "manifest.json").unlink()
    for path in store.glob("shards/fold01-00000.*"):
        path.unlink()
    executor = Recorder(workspace)
    embed_tasks(small.spec, [small.task], executor=executor, workspace=workspace)
    assert [step.names for step in executor.steps if isinstance(step, EmbedShards)] == [
        ("fold01-00000",)
    ]


def test_embeddings_alone(small: Wanted, workspace: Workspace) -> None:
    executor = Recorder(workspace)
    results = embed_tasks(small.spec, [small.task], executor=executor, workspace=workspace)
    assert results.failures == []
    (store,) = results.stores
    assert TrainFold not in executor.kinds
    (manifest,) = workspace.cache_dir.glob("embeddings/*/*/*/manifest.json")
    assert manifest.parent == store.folder


def test_neighbours_are_left_to_the_evaluation(
    small: Wanted, tmp_path: Path, workspace: Workspace
) -> None:
    executor = Recorder(workspace)
    setup = ProbeSetup(get_protocol("knn"), (7,), "float32")
    folder = small.evaluate(setup, tmp_path / "out", executor)
    assert TrainFold not in executor.kinds
    assert Result.read(folder).protocol.name == "knn"


def test_points_that_race_stay_together(
    small: Wanted, tmp_path: Path, workspace: Workspace
) -> None:
    executor = Recorder(workspace)
    protocol = get_protocol("racing").restricted(first=4)
    points = tuple(
        point.model_copy(update={"max_epochs": 4, "hidden_dim": 8}) for point in protocol.networks
    )
    setup = ProbeSetup(protocol.model_copy(update={"grid": points}), (7,), "float32")
    small.evaluate(setup, tmp_path / "out", executor)
    assert [step.points for step in executor.trained] == [(0, 1, 2, 3), (), ()]


def test_another_model_on_a_node_is_refused(small: Wanted, workspace: Workspace) -> None:
    ref = TaskRef.on_disk(load_task(small.task))

    def flow() -> Flow:
        embeddings = Embeddings(ModelRef(small.spec), "0" * 64, 16000, ref, SCENES)
        yield from embedding(embeddings, parallel=True)

    errors = drive(Recorder(workspace), {1: flow()})
    assert "is another model on this node" in str(errors[1])
    assert not (workspace.cache_dir / "embeddings").exists()


def test_fetching_says_what_is_missing(small: Wanted, workspace: Workspace) -> None:
    place, ref = str(small.task), TaskRef.on_disk(load_task(small.task))
    assert FetchTask(place).run(Context(workspace)) == ref
    found: dict[str, TaskRef] = {}
    flows = {"a": fetching(place, found), "b": fetching(f"{place}/nothing", found)}
    errors = drive(InProcess(workspace), flows)
    assert found == {place: ref}
    assert errors.keys() == {"b"}
    assert "there is no such file or folder" in str(errors["b"])
