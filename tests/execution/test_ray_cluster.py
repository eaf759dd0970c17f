"""An evaluation on a cluster of two nodes, one of which dies halfway."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, STATS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.embeddings.kinds import Wanted
from hearbench.errors import HearError
from hearbench.evaluation.run import named_tasks
from hearbench.evaluation.steps import EmbedShards, FetchTask, FinishStore
from hearbench.evaluation.task_ref import TaskRef
from hearbench.execution.executor import InProcess, Outcome, Step
from hearbench.execution.ray_cluster import Share, ray_cluster
from hearbench.execution.remote_cache import UrlExchange
from hearbench.models.loading import load_model
from hearbench.models.ref import ModelRef
from hearbench.results import Result
from hearbench.workspace import Workspace

QUICK = ("--protocol", "faster", "--grid-points", "2")

# Says when it begins and ends to embed, takes its time, and waits until others have begun, too.
# What it is told by variables of these names makes it no other model.
SLOW = """
import os
import time

fast = get_scene_embeddings

def get_scene_embeddings(audio, model):
    note("begins")
    time.sleep(0.4)
    until = time.monotonic() + 60
    while begun() < int(os.environ["HEARBENCH_TOGETHER"]) and time.monotonic() < until:
        time.sleep(0.1)
    note("ends")
    return fast(audio, model)

def begun():
    with open(os.environ["HEARBENCH_DIARY"]) as file:
        return len({line.split()[0] for line in file})

def note(what):
    with open(os.environ["HEARBENCH_DIARY"], "a") as file:
        file.write(f"{os.getpid()} {what}\\n")
"""


def environment(diary: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HEARBENCH_DIARY": str(diary),
        "HEARBENCH_TOGETHER": "1",
        "OMP_NUM_THREADS": "1",
        "HEARBENCH_DEVICE": "cpu",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


# Ray would replace 127.0.0.1, for a cluster of several nodes, by an address that others reach.
LOOPBACK = "127.0.0.2"


def begin(arguments: list[str], diary: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hearbench.cli", *arguments, "--cache", str(cache)],
        env=environment(diary),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def noted(diary: Path) -> list[str]:
    return [line.split()[1] for line in diary.read_text().splitlines()]


def under_way(diary: Path) -> set[str]:
    """Processes that have begun and not ended."""
    last = dict(line.split() for line in diary.read_text().splitlines()) if diary.exists() else {}
    return {pid for pid, what in last.items() if what == "begins"}


def trained(cache: Path) -> dict[Path, bytes]:
    """The trainings that a cache has, which say how long they took."""
    folder = cache / "probes"
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.finished.npz")}


def kill(node: Any) -> None:
    """Ends a node's processes at once: those that work, and the one that started them."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [*raylet.children(recursive=True), raylet]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A node of one processor, and how many processes its slow model needs to go on."""
    for key, value in environment(tmp_path / "ray.diary").items():
        monkeypatch.setenv(key, value)
    if hasattr(request, "param"):
        monkeypatch.setenv("HEARBENCH_TOGETHER", request.param)
    Cluster = pytest.importorskip("ray.cluster_utils").Cluster

    own = {
        # Where the evaluation's cache isn't seen, a node's environment says where its own is.
        "env_vars": {"HEARBENCH_CACHE": str(tmp_path / "first-cache")},
        "num_cpus": 1,
        "object_store_memory": 80 << 20,
        "include_dashboard": False,
        "node_ip_address": LOOPBACK,
    }
    both: Any = Cluster(initialize_head=True, head_node_args=own)
    try:
        yield both
    finally:
        both.shutdown()


@pytest.mark.real
def test_a_node_dies_and_nothing_is_different(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1, object_store_memory=80 << 20, node_ip_address=LOOPBACK)
    tasks = [
        make_scene_task(tmp_path / "t", clips_per_label=3),
        make_scene_task(tmp_path / "t", name="folded", folds=True, seed=1),
        make_scene_task(tmp_path / "t", name="chords", multilabel=True, seed=2),
        make_event_task(tmp_path / "t"),
    ]
    models = [
        write_model(tmp_path / "m", BANDS, "slow", SLOW),
        write_model(tmp_path / "m", BANDS, "bands"),
        write_model(tmp_path / "m", STATS, "stats"),
    ]
    common = ["evaluate", *map(str, models), *(f"--task={task}" for task in tasks)]
    common += ["--protocol", "faster", "--grid-points", "3"]
    here = [*common, "--out", str(tmp_path / "here")]
    there = [*common, "--out", str(tmp_path / "there"), "--executor", "ray"]
    there += ["--address", cluster.address]

    diary = tmp_path / "ray.diary"
    own_diary = tmp_path / "command.diary"
    spread = begin(there, own_diary, tmp_path / "shared-cache")
    until = time.monotonic() + 90
    while len(under_way(diary)) < 2 and spread.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert len(under_way(diary)) == 2, spread.communicate()[1] if spread.poll() else "too slow"
    kill(second)
    cluster.remove_node(second, allow_graceful=False)
    _, told = spread.communicate(timeout=240)
    assert spread.returncode == 0, told
    # What was lost with the node was done again by another process.
    assert len(under_way(diary)) == 1
    local = begin(here, tmp_path / "local.diary", tmp_path / "own-cache")
    _, told_locally = local.communicate(timeout=240)
    assert local.returncode == 0, told_locally

    # The process that wrote the results was called for the signal that tells models apart, alone.
    assert [line.split()[1] for line in own_diary.read_text().splitlines()] == [
        "begins",
        "ends",
    ] * 2
    pairs = sorted(path.relative_to(tmp_path / "here") for path in tmp_path.glob("here/*/*/"))
    assert len(pairs) == 12
    for pair in pairs:
        one, other = (Result.read(tmp_path / place / pair) for place in ("here", "there"))
        assert one.same_as(other), pair
        assert one.embeddings.digest == other.embeddings.digest
        for array in (tmp_path / "here" / pair / "predictions").iterdir():
            twin = tmp_path / "there" / pair / "predictions" / array.name
            assert array.read_bytes() == twin.read_bytes(), array


@pytest.mark.real
@pytest.mark.parametrize("cluster", ["2"], indirect=True)
def test_nodes_with_caches_of_their_own(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(
        num_cpus=1,
        object_store_memory=80 << 20,
        node_ip_address=LOOPBACK,
        env_vars={"HEARBENCH_CACHE": str(tmp_path / "second-cache")},
    )
    tasks = [
        make_scene_task(tmp_path / "t", folds=True, sample_rates=(44100,), clips_per_label=30),
        make_event_task(tmp_path / "t"),
    ]
    models = [
        write_model(tmp_path / "m", BANDS, "slow", SLOW),
        write_model(tmp_path / "m", STATS, "stats"),
    ]
    url = (tmp_path / "between").as_uri()
    common = ["evaluate", *map(str, models), *(f"--task={task}" for task in tasks)]
    common += ["--protocol", "faster", "--grid-points", "3", "--seeds", "2"]
    there = [*common, "--executor", "ray", "--address", cluster.address, "--shared", url]

    def run(arguments: list[str], out: str, cache: str) -> None:
        process = begin(
            [*arguments, "--out", str(tmp_path / out)], tmp_path / f"{out}.diary", tmp_path / cache
        )
        _, told = process.communicate(timeout=240)
        assert process.returncode == 0, told

    run(there, "there", "own-cache")
    assert noted(tmp_path / "there.diary") == ["begins", "ends"] * 2
    # Both embedded, as the slow model waits until two do.
    diary = tmp_path / "ray.diary"
    assert len({line.split()[0] for line in diary.read_text().splitlines()}) >= 2
    nodes = [tmp_path / "first-cache", tmp_path / "second-cache"]
    for node in nodes:
        assert list((node / "embeddings").rglob("*.npy")), node
    run(common, "here", "other-cache")
    # Which of them trained what is Ray's affair; together they trained all, with what they needed
    # of each other's embeddings.
    expected = trained(tmp_path / "other-cache")
    assert expected
    assert {path for node in nodes for path in trained(node)} == expected.keys()
    got = trained(tmp_path / "own-cache")
    assert got.keys() == expected.keys()
    assert got.items() <= {item for node in nodes for item in trained(node).items()}
    pairs = sorted(path.relative_to(tmp_path / "here") for path in tmp_path.glob("here/*/*/"))
    assert len(pairs) == 4
    for pair in pairs:
        for seed in ("", "seeds/43"):
            one, other = (Result.read(tmp_path / on / pair / seed) for on in ("here", "there"))
            assert one.same_as(other), pair
            assert one.embeddings.digest == other.embeddings.digest
            for array in (tmp_path / "here" / pair / seed / "predictions").iterdir():
                twin = tmp_path / "there" / pair / seed / "predictions" / array.name
                assert array.read_bytes() == twin.read_bytes(), array
    # Another machine with the same URL has nothing to do but to predict.
    run(there, "again", "fourth-cache")
    assert trained(tmp_path / "fourth-cache") == got
    assert not list((tmp_path / "between" / "marks").iterdir())


@pytest.mark.real
def test_on_this_machine_alone(tmp_path: Path, workspace: Workspace) -> None:
    pytest.importorskip("ray")
    task = make_scene_task(tmp_path / "t")
    model = write_model(tmp_path / "m", BANDS, "bands")
    command = ("evaluate", model, "--task", task, *QUICK, "--json")
    there = hearbench(
        *command, "--cache", workspace.cache_dir, "--out", tmp_path / "there", "--executor", "ray"
    )
    assert there.code == 0, there.stderr
    assert not list((workspace.cache_dir / "execution").iterdir())
    here = hearbench(*command, "--cache", tmp_path / "other", "--out", tmp_path / "here")
    assert "embeddings found in the cache" not in here.stderr
    one, other = (Result.read(Path(a.json["results"][0]["path"])) for a in (here, there))
    assert one.same_as(other)


def test_what_a_cluster_can_and_cannot_do(tmp_path: Path, workspace: Workspace) -> None:
    pytest.importorskip("ray")
    spec = write_model(tmp_path / "m", STATS, "ends", ENDS)
    task = str(make_scene_task(tmp_path / "t"))
    ref = TaskRef("tones-1.0.0-full", task)
    digest = load_model(spec, workspace=workspace).digest
    step = FinishStore(ModelRef(str(spec)), digest, ref, Wanted("scene"))
    with ray_cluster(workspace, share=Share(retries=0)) as cluster:
        cluster.submit(step)
        cluster.submit(FetchTask(f"{task}/nothing"))
        cluster.submit(FetchTask(task))
        outcomes = dict(cluster.wait() for _ in range(3))
        with pytest.raises(HearError, match="No node of the cluster has the 6400 CPUs"):
            cluster.check_room(Share(cpus=6400))
        # Another folder, or one that isn't there.
        (mark,) = (workspace.cache_dir / "execution").iterdir()
        mark.unlink()
        cluster.submit(FetchTask(task))
        _, unseen = cluster.wait()
    assert outcomes[FetchTask(task)].value == ref
    assert outcomes[FetchTask(task)].error is None
    lost = outcomes[step].error
    assert lost is not None
    assert "tones-1.0.0-full: finishing embeddings of" in str(lost)
    assert "was lost 1 times" in str(lost)
    bad = outcomes[FetchTask(f"{task}/nothing")].error
    assert bad is not None
    assert "there is no such file or folder" in str(bad)
    assert unseen.error is not None
    assert "doesn't see the cache" in str(unseen.error)


ENDS = """
import os

def get_scene_embeddings(audio, model):
    os.abort()
"""


class Unlucky(InProcess):
    """Fails with embeddings."""

    parallel = True
    unused_gpus = 2

    def __init__(self, workspace: Workspace, failures: dict[tuple[str, str], str]) -> None:
        super().__init__(workspace)
        self.failures = failures

    def wait(self) -> tuple[Step, Outcome]:
        step = self._waiting[0]
        if isinstance(step, EmbedShards):
            text = self.failures.get((step.model.spec, str(step.task.folder)))
            if text is not None:
                self._waiting.popleft()
                return step, Outcome(error=HearError(text))
        return super().wait()


def test_what_the_cluster_could_not_do_is_left_out(
    tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [make_scene_task(tmp_path / "t"), make_scene_task(tmp_path / "t", name="other")]
    models = [write_model(tmp_path / "m"), write_model(tmp_path / "m", BANDS, "bands")]
    failures = {
        (str(models[0]), str(tasks[1])): "no luck",
        **{(str(models[1]), str(task)): "the node burned down" for task in tasks},
    }
    asked: dict[str, object] = {}

    @contextlib.contextmanager
    def cluster(of: Workspace, **arguments: object) -> Iterator[Unlucky]:
        asked.update(arguments)
        yield Unlucky(of, failures)

    monkeypatch.setattr("hearbench.execution.ray_cluster.ray_cluster", cluster)
    answer = hearbench(
        *("evaluate", *models, *(f"--task={task}" for task in tasks), *QUICK, "--json"),
        *("--out", tmp_path / "out", "--cache", workspace.cache_dir, "--seeds", 2),
        *("--executor", "ray", "--address", "a:1", "--gpus-per-unit", 0.25, "--cpus-per-unit", 3),
        *("--shared", "s3://a/b"),
    )
    assert answer.code == 2
    assert [found["task"] for found in answer.json["results"]] == ["tones-1.0.0-full"]
    assert answer.json["results"][0]["seeds"] == [42, 43]
    assert {(f["model"], f["task"]): f["error"] for f in answer.json["failed"]} == failures
    assert f"error: {models[0]} on {tasks[1]}: no luck" in answer.stderr
    assert "The cluster's GPUs (2) stay idle" in answer.stderr
    assert asked == {
        "address": "a:1",
        "share": Share(cpus=3, gpus=0.25),
        "shared": UrlExchange("s3://a/b"),
    }


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:70000", "no-such-host.invalid:6379"])
def test_nobody_at_the_address(address: str, workspace: Workspace) -> None:
    pytest.importorskip("ray")
    with (
        pytest.raises(HearError, match=f"No Ray cluster answers at {address}"),
        ray_cluster(workspace, address=address),
    ):
        pass


def test_all_tasks_are_those_of_the_benchmark() -> None:
    named = named_tasks(["mine", "all", "esc50-v2.0.0-full"])
    assert len(named) == 21
    assert named[0] == "mine"
    assert "nsynth_pitch-v2.2.3-50h" in named
    assert named.count("esc50-v2.0.0-full") == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--executor", "dask"), "--executor dask: use local or ray."),
        (("--address", "a:1"), "--address only goes with --executor ray."),
        (("--shared", "s3://a/b"), "--shared only goes with --executor ray or --shard."),
        (("--executor", "ray", "--gpus-per-unit", 1.5), "a part of one GPU, or a whole number"),
    ],
)
def test_slips_are_told(more: tuple[object, ...], said: str, tmp_path: Path) -> None:
    answer = hearbench("evaluate", "x", "--task", "y", "--out", tmp_path / "out", *more)
    assert answer.code == 2
    assert said in answer.stderr
    assert not (tmp_path / "out").exists()
