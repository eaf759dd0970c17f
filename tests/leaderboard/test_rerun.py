"""Reruns: which scores lie within, which tasks are run, and what a hostile model learns of them."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_http import serving
from helpers_leaderboard import write_honest_submission
from helpers_models import BANDS, write_model
from helpers_tasks import make_event_task, make_scene_task

from hearbench.errors import HearError, ResultError, TaskError
from hearbench.evaluation.probes import ProbeSetup
from hearbench.evaluation.run import evaluate
from hearbench.leaderboard.card import Card
from hearbench.leaderboard.origin import Origin
from hearbench.leaderboard.package import submitted_package
from hearbench.leaderboard.rerun import (
    Rerun,
    RerunTasks,
    Submitted,
    read_submitted,
    rerun,
    tasks_to_run,
)
from hearbench.leaderboard.submission import MeasuredModel, Submission
from hearbench.leaderboard.table import COLUMNS
from hearbench.models.loaded import Interpreter
from hearbench.models.ref import ModelRef
from hearbench.models.sandbox import _bubblewrap
from hearbench.probe.protocol import get_protocol
from hearbench.results import Result
from hearbench.workspace import Workspace

BAD_MODELS = Path(__file__).resolve().parents[1] / "bad_models"
TONES, SECRET = "tones-1.0.0-full", "secret-1.0.0-full"
CARD = Card(
    model="Bands", team="Tones", authors=("A. Body",), url="https://example.org/bands",
    description="Bands.", pretraining="none", api="bands", licence="Apache-2.0",
)  # fmt: skip


@pytest.fixture
def bubblewrap() -> None:
    try:
        _bubblewrap()
    except HearError as error:
        pytest.skip(str(error))


def _setup(workspace: Workspace, protocol: str = "knn") -> ProbeSetup:
    named = get_protocol(protocol).restricted(first=1, only={})
    return ProbeSetup.of(named, precision="float32", workspace=workspace)


def _submission(card: Card = CARD, origin: Origin | None = None) -> Submission:
    return Submission(
        hearbench_version="1",
        created=dt.date(2026, 5, 1),
        card=card,
        model=MeasuredModel(
            n_weights=0, sample_rate=16000, scene_embedding_size=16, timestamp_embedding_size=16,
            hop_ms=50.0, digest="2" * 64, weights_digest=None, versions={"python": "3.11"},
        ),
        scores=dict.fromkeys(COLUMNS),
        tasks=(),
        missing={},
        origin=origin,
    )  # fmt: skip


def _stating(result: Result, score: float) -> Submitted:
    """A submission of a result with another first score."""
    primary = result.primary.model_copy(update={"mean": score})
    scores = {**result.scores, result.primary_score: primary}
    stated = result.model_copy(update={"scores": scores})
    return Submitted(_submission(), {result.task.name: stated})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tasks, and a model that makes mistakes on one of them."""
    folder = tmp_path_factory.mktemp("rerun")
    make_scene_task(folder, name="tones", clips_per_label=8)
    # It hears which tone it is in every third clip at most.
    blurred = BANDS.replace(
        "return torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3)",
        "return torch.log(power.reshape(len(audio), 16, -1).mean(2) + 1e-3) * 0 + audio[:, :16]",
    )
    assert blurred != BANDS
    write_model(folder, blurred, name="blurred")
    return folder


def test_a_score_within_the_interval_or_not(folder: Path, workspace: Workspace) -> None:
    model, task = ModelRef(str(folder / "blurred.py")), str(folder / TONES)
    tasks = RerunTasks({TONES: task}, ())
    _, result = evaluate(model, task, protocol=_setup(workspace), workspace=workspace).results[0]
    assert isinstance(result, Result)
    assert 0.1 < result.primary.mean < 0.9

    def run(stated: float) -> Rerun:
        return rerun(_stating(result, stated), model, tasks, _setup(workspace), workspace=workspace)

    honest = run(result.primary.mean)
    (row,) = honest.tasks
    assert honest.ok
    assert (row.rerun, row.verdict) == (result.primary.mean, "within")
    # The bootstrap's own, as it lies beside every result.
    assert row.interval is not None
    low, high = row.interval.low, row.interval.high
    assert low < result.primary.mean < high
    for stated, verdict in (
        (1.0, "not within"), (high + 0.002, "not within"), (high + 0.0009, "within"),
        (low - 0.0009, "within"), (low - 0.002, "not within"), (float("nan"), "not within"),
    ):  # fmt: skip
        again = run(stated)
        assert again.tasks[0].verdict == verdict
        assert again.ok is (verdict == "within")
    # Another model's digest is told, and a matter of its own.
    assert honest.same_model is False


def test_another_protocol_says_nothing_of_a_score(folder: Path, workspace: Workspace) -> None:
    model, task = ModelRef(str(folder / "blurred.py")), str(folder / TONES)
    _, result = evaluate(model, task, protocol=_setup(workspace), workspace=workspace).results[0]
    assert isinstance(result, Result)
    other = result.protocol.model_copy(update={"name": "mine"})
    submitted = Submitted(_submission(), {TONES: result.model_copy(update={"protocol": other})})
    tasks = RerunTasks({TONES: task}, ("gone-1-full",))
    gone = {"gone-1-full": result}
    submitted = replace(submitted, results={**submitted.results, **gone})
    done = rerun(submitted, model, tasks, _setup(workspace), workspace=workspace)
    rows = {row.task: row for row in done.tasks}
    assert rows[TONES].verdict == "not within"
    assert "protocol is mine" in rows[TONES].why
    # What can't be run is no success either.
    assert rows["gone-1-full"].verdict == "failed"
    assert rows["gone-1-full"].submitted == result.primary.mean


def test_which_tasks_are_run(tmp_path: Path, workspace: Workspace) -> None:
    bundle = write_honest_submission(tmp_path)
    submitted = read_submitted(bundle)
    assert len(submitted.results) == 2
    first, second = submitted.results
    secret = make_scene_task(tmp_path / "private", name="secret")
    found = tasks_to_run(submitted, [str(secret)], workspace)
    # Those of the catalog are downloaded when they are run.
    assert found.places == {"secret-1.0.0-full": str(secret), first: first, second: second}
    assert found.missing == ()
    assert list(tasks_to_run(submitted, [], workspace, only=[second]).places) == [second]
    assert list(tasks_to_run(submitted, [str(secret)], workspace, only=[]).places) == [SECRET]
    with pytest.raises(ResultError, match="has no task secret"):
        tasks_to_run(submitted, [], workspace, only=["secret-1.0.0-full"])
    with pytest.raises(ResultError, match="no task to run"):
        tasks_to_run(submitted, [], workspace, only=[])
    with pytest.raises(TaskError):
        tasks_to_run(submitted, [str(tmp_path / "nowhere/secret")], workspace)
    # A name that is in no catalog is looked for in the cache alone, wherever this is run.
    strange = Submitted(submitted.submission, {"all": submitted.results[first]})
    assert tasks_to_run(strange, [], workspace).missing == ("all",)


def test_bundles_that_are_not_read(tmp_path: Path) -> None:
    bundle = write_honest_submission(tmp_path)
    result = next((bundle / "results").iterdir())
    with pytest.raises(ResultError, match="no folder"):
        read_submitted(tmp_path / "nothing")
    moved = tmp_path / "moved"
    shutil.copytree(bundle, moved)
    (moved / "results" / result.name).rename(moved / "results" / "other-1-full")
    with pytest.raises(ResultError, match="other-1-full"):
        read_submitted(moved)
    linked = tmp_path / "linked"
    shutil.copytree(bundle, linked)
    (linked / "submission.json").unlink()
    (linked / "submission.json").symlink_to("/etc/passwd")
    with pytest.raises(ResultError, match=r"submission\.json is neither a file nor a folder"):
        read_submitted(linked)


def test_what_a_submission_must_say_to_be_run(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(ResultError, match="--package"):
        submitted_package(_submission(), workspace)
    # Its options would make what they name readable in the sandbox.
    for value in (str(tmp_path), "/etc", "."):
        card = CARD.model_copy(update={"options": {"data": value}})
        with pytest.raises(ResultError, match="option data of the card"):
            submitted_package(_submission(card), workspace, package=str(tmp_path))
    told = {"address": "git+https://example.org/o/m@v1", "commit": "a" * 40}
    origin = Origin.model_validate({**told, "weights_sha256": "b" * 64})
    with pytest.raises(ResultError, match="where the weights can be had"):
        submitted_package(_submission(origin=origin), workspace)
    weights = tmp_path / "w"
    weights.write_text("others")
    with pytest.raises(HearError, match="aren't those that were submitted"):
        submitted_package(_submission(origin=origin), workspace, weights=str(weights))


def test_a_private_task_needs_the_sandbox(folder: Path, workspace: Workspace) -> None:
    tasks = RerunTasks({SECRET: str(folder / TONES)}, ())
    submitted = Submitted(_submission(), {})
    for host in (None, Interpreter(Path(sys.executable))):
        model = ModelRef(str(folder / "blurred.py"), host=host)
        with pytest.raises(ResultError, match="run in a sandbox only"):
            rerun(submitted, model, tasks, _setup(workspace), workspace=workspace)


# It embeds no clip if any of its attempts gets it anything. Python's own functions would be heard
# of by audit hooks, so others look for it where they can.
_SPY = """
import os, socket, subprocess

def look(command, *arguments):
    return lambda: subprocess.check_output([command, *arguments], stderr=subprocess.DEVNULL)

ATTEMPTS = {
    "labels": look("cat", PRIVATE + "/test.json"),
    "audio": look("ls", PRIVATE + "/16000/test"),
    "embeddings": look("ls", CACHE + "/embeddings"),
    "network": lambda: socket.create_connection(URL, 5).close(),
    "others": lambda: [p for p in os.listdir("/proc") if p.isdigit()][5],
    "write": look("touch", os.path.dirname(__file__) + "/left"),
}

def spy():
    got = []
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except (OSError, IndexError, subprocess.CalledProcessError):
            continue
        got.append(name)
    if got:
        raise RuntimeError("it got " + " ".join(got))

spy()
_scene = get_scene_embeddings

def get_scene_embeddings(audio, model):
    spy()
    return _scene(audio, model)
"""


@pytest.mark.usefixtures("bubblewrap")
def test_what_the_sandbox_keeps_from_a_spy(tmp_path: Path, workspace: Workspace) -> None:
    private = make_scene_task(tmp_path / "organiser", name="secret")
    with serving() as source:
        host, port = source.url.removeprefix("http://").split(":")
        known = f"PRIVATE = {str(private)!r}\nURL = ({host!r}, {port})\n"
        known += f"CACHE = {str(workspace.cache_dir)!r}\n"
        spy = textwrap.dedent(BANDS) + known + _SPY
        model = write_model(tmp_path / "model", spy, name="spy")
        inside = Interpreter(Path(sys.executable), sandbox=True, hidden=(private,))
        tasks = RerunTasks({SECRET: str(private)}, ())
        submitted = Submitted(_submission(), {})
        setup = _setup(workspace)
        done = rerun(
            submitted, ModelRef(str(model), host=inside), tasks, setup, workspace=workspace
        )
        # It was handed the clips, one array after the other, and embedded them.
        (row,) = done.tasks
        assert (row.verdict, row.rerun, row.why) == ("private", 1.0, "")
        assert not (tmp_path / "model" / "left").exists()
        # Nothing keeps the same code from these outside.
        with pytest.raises(HearError, match="it got labels audio embeddings network others write"):
            ModelRef(str(model)).load(workspace)
    said = json.dumps(done.model_dump(mode="json"))
    assert str(private) not in said
    assert ".wav" not in said


@pytest.mark.usefixtures("bubblewrap")
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("reads_labels", "private"), ("import_connects", "private"), ("import_writes", "private"),
        ("exits", "failed"), ("import_starts_a_program", "private"),
    ],
)  # fmt: skip
def test_hostile_models_end_in_a_row(
    name: str, verdict: str, tmp_path: Path, workspace: Workspace
) -> None:
    private = make_event_task(tmp_path / "organiser", name="secret")
    own = tmp_path / "model"
    own.mkdir()
    for file in (f"{name}.py", "base.py"):
        shutil.copy(BAD_MODELS / file, own / file)
    host = Interpreter(Path(sys.executable), sandbox=True, hidden=(private,))
    done = rerun(
        Submitted(_submission(), {}),
        ModelRef(str(own / f"{name}.py"), host=host),
        RerunTasks({SECRET: str(private)}, ()),
        _setup(workspace, "faster"),
        workspace=workspace,
    )
    (row,) = done.tasks
    assert row.verdict == verdict
    assert done.ok is (verdict == "private")
    # What a model says as it dies isn't published.
    assert row.why == ("" if verdict == "private" else "It can't be evaluated.")
    assert (row.rerun is None) is (verdict == "failed")
