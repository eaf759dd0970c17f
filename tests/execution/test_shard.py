"""Processes that share one evaluation, and one that evaluates alone, come to the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import hearbench
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.errors import HearError
from hearbench.evaluation.run import evaluate
from hearbench.execution.remote_cache import UrlExchange
from hearbench.execution.shard import Shard, _Notes
from hearbench.results import Result
from hearbench.workspace import Workspace

# Notes which clips it begins and ends to embed; the signal that tells models apart comes alone.
NOTING = """
import hashlib
import os
import time

def noting(embed):
    def wrapped(audio, model):
        if len(audio) == 1:
            return embed(audio, model)
        note("begins", audio)
        until = time.monotonic() + 60
        while begun() < int(os.environ["TOGETHER"]) and time.monotonic() < until:
            time.sleep(0.05)
        if 0 <= int(os.environ["STOP_AFTER"]) <= ended():
            time.sleep(300)
        found = embed(audio, model)
        note("ends", audio)
        return found
    return wrapped

get_scene_embeddings = noting(get_scene_embeddings)
get_timestamp_embeddings = noting(get_timestamp_embeddings)

def lines():
    with open(os.environ["DIARY"]) as file:
        return [line.split() for line in file]

def begun():
    return len({pid for pid, _, _ in lines()})

def ended():
    return len({line[2] for line in lines() if line[:2] == [str(os.getpid()), "ends"]})

def note(what, audio):
    with open(os.environ["DIARY"], "a") as file:
        for clip in audio.numpy():
            digest = hashlib.sha256(clip.tobytes()).hexdigest()
            file.write(f"{os.getpid()} {what} {digest}\\n")
"""

# Three folds of 12 clips, and three splits of 3: a shard each. Of them all folds and one split are
# disturbed, too.
DISTURBED_TONES = 36
CLIPS = (36 + 9) + (DISTURBED_TONES + 3)
pytestmark = pytest.mark.usefixtures("quick_python")

TIMEOUT_S = 240


@dataclass
class Evaluation:
    """One evaluation, its cache and output folder, and the diary of its model."""

    folder: Path
    arguments: list[str]
    cache: str = "cache"
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def write(cls, folder: Path) -> Evaluation:
        """With its own tasks and model."""
        tasks = [make_scene_task(folder, folds=True), make_event_task(folder)]
        model = write_model(folder, BANDS, "bands", NOTING)
        more = ["--protocol", "faster", "--grid-points", "3", "--seeds", "2", "--json"]
        more += ["--perturb", "noise=5"]
        return cls(folder, ["evaluate", str(model), *(f"--task={task}" for task in tasks), *more])

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def diary(self) -> Path:
        return self.folder / "diary"

    def command(self, *shard: str) -> list[str]:
        places = ["--out", str(self.out), "--cache", str(self.folder / self.cache)]
        return [*self.arguments, *places, *(("--shard", *shard) if shard else ())]

    def environment(self, together: int = 1, stop_after: int = -1) -> dict[str, str]:
        return {
            "DIARY": str(self.diary),
            "TOGETHER": str(together),
            "STOP_AFTER": str(stop_after),
            "HEARBENCH_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
        }

    def begin(
        self, shard: str, *, together: int = 1, stop_after: int = -1
    ) -> subprocess.Popen[str]:
        """Starts a shard in a process of its own.

        Args:
            shard: As ``1/2``.
            together: How many processes have begun before any goes on.
            stop_after: Having embedded so many clips, it hangs; with -1 it never does.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", "hearbench.cli", *self.command(shard)],
            env={**os.environ, **self.environment(together, stop_after)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """Ends all processes at once."""
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                process.communicate()

    def run(self, monkeypatch: pytest.MonkeyPatch, *shard: str) -> list[dict[str, Any]]:
        """Runs the command in this process; returns its results."""
        for key, value in self.environment().items():
            monkeypatch.setenv(key, value)
        answer = hearbench(*self.command(*shard))
        assert answer.code == 0, answer.stderr
        return self.results(answer.stdout)

    def results(self, answer: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(answer)["results"]
        return [{**each, "path": Path(each["path"]).relative_to(self.out)} for each in found]

    def noted(self) -> list[tuple[str, str, str]]:
        """Process, what it did, and with which clip."""
        # The last line may be being written.
        lines = (line.split() for line in self.diary.read_text().rpartition("\n")[0].splitlines())
        return [(pid, what, clip) for pid, what, clip in lines]

    def embedded(self) -> Counter[str]:
        """How often each clip was embedded."""
        return Counter(clip for _, what, clip in self.noted() if what == "ends")

    def in_hand(self) -> set[str]:
        """Clips that a process began to embed, and hasn't ended with."""
        began = {clip for _, what, clip in self.noted() if what == "begins"}
        return began - self.embedded().keys()

    def written(self) -> dict[str, object]:
        """All that the output folder holds but for times and the cache's place, by name."""
        found: dict[str, object] = {}
        for path in self.out.rglob("*"):
            name = path.relative_to(self.out).as_posix()
            if path.name == "result.json":
                result = Result.read(path)
                found[name] = result.model_dump_json(exclude={"resources"})
            elif path.name == "test.predicted-scores.json":
                lines = path.read_text().replace(str(self.folder), "").splitlines()
                found[name] = [line for line in lines if "time_in_min" not in line]
            elif path.name == "SHA256SUMS":
                found[name] = sorted(line[66:] for line in path.read_text().splitlines()[:-1])
            elif path.is_file():
                found[name] = path.read_bytes()
        return found


def finish(process: subprocess.Popen[str]) -> str:
    """What a process answers that ends well."""
    answer, told = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, told
    return answer


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Waits for something that a process does."""
    until = time.monotonic() + TIMEOUT_S
    while not reached() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert reached(), process.communicate()[1] if process.poll() is not None else "too slow"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """The evaluation by one process."""
    evaluation = Evaluation.write(tmp_path_factory.mktemp("alone"))
    with pytest.MonkeyPatch.context() as patch:
        evaluation.run(patch)
    # Or else the diary would miss some, and what follows would prove nothing.
    assert evaluation.embedded() == dict.fromkeys(evaluation.embedded(), 1)
    assert len(evaluation.embedded()) == CLIPS
    names = {Path(name).name for name in evaluation.written()}
    assert {"result.json", "uncertainty.json", "SHA256SUMS", "fold01.npy"} <= names
    return evaluation


@pytest.fixture
def shared(alone: Evaluation, tmp_path: Path) -> Iterator[Evaluation]:
    """The same evaluation with nothing done."""
    (tmp_path / "diary").touch()
    evaluation = Evaluation(tmp_path, list(alone.arguments))
    yield evaluation
    evaluation.kill()


def test_two_at_the_same_time(alone: Evaluation, shared: Evaluation) -> None:
    processes = [shared.begin(f"{i}/2", together=2) for i in (1, 2)]
    answers = [shared.results(finish(process)) for process in processes]
    assert shared.written() == alone.written()
    assert shared.embedded() == alone.embedded()
    assert len({pid for pid, _, _ in shared.noted()}) == 2
    # Both tell all of the results, in whatever order they came.
    one, other = (sorted(answer, key=lambda found: str(found["path"])) for answer in answers)
    assert one == other
    assert [found["task"] for found in one] == ["beeps-1.0.0-full", "tones-1.0.0-full"]
    assert not list((shared.folder / "cache").glob("execution/*"))


def test_one_after_the_other(
    alone: Evaluation, shared: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even the last one alone does all of it.
    first = shared.run(monkeypatch, "3/3")
    assert shared.written() == alone.written()
    assert shared.embedded() == alone.embedded()
    times = {path: path.stat().st_mtime_ns for path in shared.out.rglob("*")}
    for shard in ("1/3", "merge"):
        assert shared.run(monkeypatch, shard) == first
    assert shared.embedded() == alone.embedded()
    assert {path: path.stat().st_mtime_ns for path in shared.out.rglob("*")} == times


def test_one_is_killed_and_the_others_finish(alone: Evaluation, shared: Evaluation) -> None:
    killed = shared.begin("2/3", stop_after=0)
    wait_until(killed, lambda: bool(shared.in_hand()))
    others = [shared.begin("1/3"), shared.begin("3/3")]
    # They do all that the one hasn't in hand, for which they wait: disturbed clips come after it.
    there = CLIPS - DISTURBED_TONES
    wait_until(others[0], lambda: len(shared.embedded()) + len(shared.in_hand()) == there)
    assert shared.in_hand()
    assert killed.poll() is None
    killed.kill()
    killed.communicate()
    for process in others:
        finish(process)
    assert shared.written() == alone.written()
    assert shared.embedded() == alone.embedded()


def test_merge_does_what_is_left(
    alone: Evaluation, shared: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = shared.begin("1/2", stop_after=1)
    wait_until(killed, lambda: bool(shared.embedded() and shared.in_hand()))
    killed.kill()
    killed.communicate()
    assert not list(shared.out.rglob("result.json"))
    assert 0 < len(shared.embedded()) < CLIPS
    shared.run(monkeypatch, "merge")
    # What was finished isn't made again.
    assert shared.written() == alone.written()
    assert shared.embedded() == alone.embedded()


def test_few_labels_and_distances(
    shared: Evaluation, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    # Nothing of them is shared but the embeddings; they are there all the same.
    for key, value in shared.environment().items():
        monkeypatch.setenv(key, value)
    model, task = shared.arguments[1], shared.arguments[2].removeprefix("--task=")
    more = ("--protocol", "faster", "--grid-points", "1", "--shots", "2", "--repeats", "1")
    command = ("evaluate", model, "--task", task, "--cache", workspace.cache_dir, "--json")
    answers = {}
    for name, shard in (("here", ()), ("there", ("--shard", "1/2"))):
        few = hearbench(*command, *more, "--out", shared.folder / name, *shard)
        distances = hearbench(*command, "--distance", "--out", shared.folder / name, *shard)
        assert (few.code, distances.code) == (0, 0), few.stderr + distances.stderr
        answers[name] = (few.json["curves"][0]["points"], distances.json["results"][0]["scores"])
    assert answers["there"] == answers["here"]


@pytest.fixture
def apart(alone: Evaluation, tmp_path: Path) -> Iterator[list[Evaluation]]:
    """The same evaluation for two processes that share a URL, and neither cache nor results."""
    url = (tmp_path / "exchange").as_uri()
    (tmp_path / "exchange").mkdir()
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(Evaluation(tmp_path / name, [*alone.arguments, "--shared", url]))
        found[-1].diary.touch()
    yield found
    for evaluation in found:
        evaluation.kill()


def test_what_one_made_comes_to_another_by_the_url(
    alone: Evaluation, apart: list[Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = apart
    one.run(monkeypatch, "1/2")
    assert one.written() == alone.written()
    assert one.embedded() == alone.embedded()
    for shard in ("2/2", "merge"):
        two.run(monkeypatch, shard)
        assert two.written() == alone.written()
        assert not two.embedded()
    assert not list((apart[0].folder.parent / "exchange").glob("execution/*"))


def test_a_step_of_a_lost_process_is_taken_over(
    alone: Evaluation, apart: list[Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = apart
    monkeypatch.setattr("hearbench.execution.shard._LOST_S", 1.0)
    claimed = []

    def lost(exchange: UrlExchange, name: str, text: str) -> None:
        # It says once that it has the step, and never again.
        claimed.append(name)
        real(exchange, name, text)
        raise KeyboardInterrupt

    real = UrlExchange.write_note
    with monkeypatch.context() as patch:
        patch.setattr(UrlExchange, "check", lambda _: None)
        patch.setattr(UrlExchange, "write_note", lost)
        for key, value in one.environment().items():
            patch.setenv(key, value)
        assert hearbench(*one.command("1/2")).code != 0
    (name,) = claimed
    assert (apart[0].folder.parent / "exchange" / name).is_file()
    two.run(monkeypatch, "2/2")
    assert two.written() == alone.written()
    assert two.embedded() == alone.embedded()
    assert not list((apart[0].folder.parent / "exchange").glob("execution/*"))


def test_a_step_that_another_works_on_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearbench.execution.shard._LOST_S", 0.2)
    monkeypatch.setattr("hearbench.execution.shard._BEAT_S", 0.01)
    ours, theirs = (_Notes(UrlExchange(tmp_path.as_uri())) for _ in range(2))
    with ours.claimed("step", "embedding") as alone:
        assert alone
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with theirs.claimed("step", "embedding") as also:
                assert not also
            time.sleep(0.02)
    with theirs.claimed("step", "embedding") as alone:
        assert alone


@pytest.mark.real
def test_two_that_share_a_url_at_the_same_time(alone: Evaluation, apart: list[Evaluation]) -> None:
    one, two = apart
    two.diary.unlink()
    two.diary.symlink_to(one.diary)
    processes = [each.begin(f"{i}/2", together=2) for i, each in enumerate(apart, start=1)]
    for process in processes:
        finish(process)
    for each in apart:
        assert each.written() == alone.written()
    assert one.embedded().keys() == alone.embedded().keys()
    # Two that look at the same moment may both have a step; they don't both do everything.
    assert sum(one.embedded().values()) < 2 * CLIPS
    assert len({pid for pid, _, _ in one.noted()}) == 2


def test_what_fails_is_told_by_every_shard(
    shared: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.arguments[2] += "/nothing"
    for key, value in shared.environment().items():
        monkeypatch.setenv(key, value)
    for shard in ("1/2", "2/2"):
        answer = hearbench(*shared.command(shard))
        assert answer.code == 2
        assert [found["task"] for found in answer.json["results"]] == ["beeps-1.0.0-full"]
        (failed,) = answer.json["failed"]
        assert failed["task"].endswith("/nothing")
        assert "there is no such file or folder" in failed["error"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("0/3",), "--shard 0/3: use I/N"),
        (("4/3",), "--shard 4/3: use I/N"),
        (("a",), "--shard a: use I/N, as 3/16 for the third of 16, or merge."),
        (("1/2/3",), "--shard 1/2/3: use I/N"),
        (("-1/3",), "--shard -1/3: use I/N"),
        (("1/2", "--executor", "ray"), "--shard shares work without Ray; leave out --executor"),
        (("merge", "--executor", "ray"), "--shard shares work without Ray; leave out --executor"),
        (("1/2", "--shared", "folder"), "--shared folder: a URL is needed"),
    ],
)
def test_slips_are_told(more: tuple[str, ...], said: str, tmp_path: Path) -> None:
    task = make_scene_task(tmp_path)
    answer = hearbench(
        *("evaluate", "hearbench.models.naive", "--task", task, "--out", tmp_path / "out"),
        *("--cache", tmp_path / "cache", "--shard", *more),
    )
    assert answer.code == 2
    assert said in answer.stderr
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in answer.stderr
    assert not list((tmp_path / "out").rglob("*"))


def test_shards_share_models_by_name(alone: Evaluation, workspace: Workspace) -> None:
    with pytest.raises(HearError, match="an object of this process can't be evaluated by others"):
        evaluate(object(), alone.arguments[2], executor=Shard(1, 2, workspace), workspace=workspace)
