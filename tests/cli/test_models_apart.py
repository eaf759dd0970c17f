"""Several models and tasks in one command: none costs others their results, or changes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import hearbench as run
from helpers_cli import runner
from helpers_models import STATS, write_model
from helpers_tasks import make_scene_task

from hearbench.cli.app import app
from hearbench.evaluation.job import Job
from hearbench.evaluation.probes import ProbeSetup
from hearbench.results import Result

FAILING = {
    "quits": "def get_scene_embeddings(audio, model):\n    raise SystemExit(0)",
    "gives_up": "def get_scene_embeddings(audio, model):\n    raise GeneratorExit",
    "own_error": (
        "class Odd(BaseException): pass\n"
        "def get_scene_embeddings(audio, model):\n    raise Odd('a very odd one')"
    ),
    "odd_array": (
        "class Odd:\n"
        "    shape = (1,)\n"
        "    def __array__(self, dtype=None, copy=None): raise SystemExit(0)\n"
        "def get_scene_embeddings(audio, model):\n    return Odd()"
    ),
    "leaves": (
        "import os\ndef get_scene_embeddings(audio, model):\n"
        "    try:\n        os._exit(0)\n    except Exception:\n        return torch.zeros(12, 3)"
    ),
    "leaves_on_import": "from os import _exit\n_exit(0)",
    "quits_on_import": "raise SystemExit(0)",
    "quits_on_load": "def load_model(path=''):\n    raise SystemExit(0)",
    "quits_when_asked": (
        "class Stats(Stats):\n    @property\n    def sample_rate(self): raise SystemExit(0)"
    ),
    "raises_when_asked": (
        "class Stats(Stats):\n    @property\n    def sample_rate(self): raise KeyError('rate')"
    ),
    "quits_when_shown": (
        "class Odd:\n    def __repr__(self): raise SystemExit(0)\nStats.sample_rate = Odd()"
    ),
    "quits_when_moved": "Stats.to = lambda self, device: exit(0)",
}
MEDDLING = {
    "double": "torch.set_default_dtype(torch.float64)",
    "on_meta": "torch.set_default_device('meta')",
    "no_grad": "torch.set_grad_enabled(False)",
    "moves": "import os\nos.chdir('/')",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARBENCH_CACHE", "cache")
    make_scene_task(tmp_path / "tasks")
    write_model(tmp_path, name="good")
    return tmp_path


def evaluate(*models: str, protocol: str = "knn") -> tuple[int, list[str], dict[str, str]]:
    options = ["--protocol", protocol, "--grid-points", 1, "--device", "cpu", "--json"]
    answer = run(
        "evaluate", *models, "--task", "tasks/tones-1.0.0-full", "--out", "results", *options
    )
    done = [result["path"] for result in answer.json["results"]]
    return answer.code, done, {item["model"]: item["error"] for item in answer.json["failed"]}


@pytest.mark.parametrize("name", FAILING)
def test_an_exit_is_an_error_of_the_model(here: Path, name: str) -> None:
    write_model(here, STATS, name, FAILING[name])
    code, done, failed = evaluate(f"{name}.py", "good.py")
    assert code == 2
    assert done == ["results/good/tones-1.0.0-full/result.json"]
    assert [*failed] == [f"{name}.py"]
    assert name in failed[f"{name}.py"]
    if "get_scene" in FAILING[name]:
        assert "get_scene_embeddings" in failed[f"{name}.py"]


def test_models_that_meddle_change_nothing_for_others(here: Path) -> None:
    names = [*MEDDLING, "good"]
    for name, extra in MEDDLING.items():
        write_model(here, STATS, name, extra)
    code, done, failed = evaluate("good.py", protocol="fast")
    assert (code, failed) == (0, {})
    alone = Result.read(here / done[0]).scores
    code, done, failed = evaluate(*(f"{name}.py" for name in names), protocol="fast")
    assert (code, failed) == (0, {})
    assert done == [f"results/{name}/tones-1.0.0-full/result.json" for name in names]
    for path in done:
        assert Result.read(here / path).scores == alone


def test_a_bug_loses_nothing_else(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_scene_task(here / "tasks", name="others")

    make = ProbeSetup.make

    def fails(setup: ProbeSetup, job: Job, *rest: Any) -> Any:
        if job.task.name.startswith("tones"):
            raise RuntimeError("a bug of ours")
        return make(setup, job, *rest)

    monkeypatch.setattr(ProbeSetup, "make", fails)
    arguments = ["evaluate", "good.py", "--out", "results", "--protocol", "knn", "--json"]
    tasks = ["--task", "tasks/tones-1.0.0-full", "--task", "tasks/others-1.0.0-full"]
    result = runner().invoke(app, [*arguments, *tasks])
    # With the traceback of the bug, and after the answer.
    assert isinstance(result.exception, RuntimeError)
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert [item["task"] for item in answer["results"]] == ["others-1.0.0-full"]
    (failed,) = answer["failed"]
    assert failed["task"] == "tasks/tones-1.0.0-full"
    assert "a bug of ours" in failed["error"]
    assert "test_models_apart.py" in failed["error"]


def test_a_model_is_the_same_whoever_came_before(here: Path) -> None:
    """Python reads the lines of all that runs when it shows where something happened."""
    shows = """
        def get_scene_embeddings(audio, model):
            import linecache, traceback
            linecache.clearcache()
            traceback.format_stack()
            return torch.zeros(len(audio), 3)
    """
    write_model(here, STATS, "shows", shows)
    assert evaluate("shows.py")[0] == 0
    write_model(here, STATS, "other", MEDDLING["double"])
    code, done, failed = evaluate("other.py", "shows.py", "good.py")
    assert (code, len(done), failed) == (0, 3, {})
    manifests = [*(here / "cache" / "embeddings").glob("*/shows/*/manifest.json")]
    (files,) = {len(json.loads(path.read_text())["model"]["later_files"]) for path in manifests}
    assert (len(manifests), files) == (1, 0)
