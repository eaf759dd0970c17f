"""Models in processes of their own, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_models import STATS, write_model

QUICK = ("--protocol", "faster", "--grid-points", "1", "--timeout", "60")

# How a model can end its process, or answer wrongly, in the middle of a task; further ways are
# those of tests/models/test_isolation.py.
BAD = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "short": "return torch.zeros(len(audio), 2)",
    "reads": "open({labels!r}).read()",
}
SAID = {
    "crashes": "ended by SIGSEGV during get_scene_embeddings",
    "short": "should be (12, 3) and are (12, 2)",
    "reads": "test.json, which belongs to the benchmark",
}


@pytest.fixture
def own(quick_python: Path) -> tuple[str, ...]:
    """The option with which models get a process of their own."""
    return "--python", str(quick_python)


def test_the_run_of_the_other_models_goes_on(
    task: Path, model: Path, tmp_path: Path, own: tuple[str, ...]
) -> None:
    paths = []
    for name, code in BAD.items():
        body = code.format(labels=str(task / "test.json"))
        extra = f"def get_scene_embeddings(audio, model):\n    {body}"
        paths.append(write_model(tmp_path / "models", STATS, name=name, extra=extra))
    out = tmp_path / "out"
    answer = hearbench(
        *("evaluate", *paths[:2], model, *paths[2:], "--task", task, "--out", out),
        *(*QUICK, *own, "--json"),
    )
    assert answer.code == 2
    assert [found["model"] for found in answer.json["results"]] == ["stats"]
    failed = {Path(one["model"]).stem: one["error"] for one in answer.json["failed"]}
    assert failed.keys() == BAD.keys()
    for name, text in SAID.items():
        assert text in failed[name], failed[name]
    assert "3 of 4 evaluations failed" in answer.stderr
    assert sorted(item.name for item in out.iterdir()) == ["stats"]


def test_the_scores_are_those_of_this_process(
    task: Path, model: Path, tmp_path: Path, own: tuple[str, ...]
) -> None:
    scores = []
    for name, more in (("here", ()), ("there", own)):
        answer = hearbench(
            *("evaluate", model, "--task", task, "--out", tmp_path, "--name", name),
            *(*QUICK[:-2], *more, "--json"),
        )
        assert answer.code == 0, answer.stderr
        found = json.loads((tmp_path / name / "tones-1.0.0-full" / "result.json").read_text())
        scores.append(found["scores"])
    assert scores[0] == scores[1]


def test_embed_takes_them_too(task: Path, model: Path, own: tuple[str, ...]) -> None:
    answer = hearbench("embed", model, "--task", task, *own, "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["embeddings"][0]["clips"] == 36


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--python", "/nowhere/python"), "no interpreter /nowhere/python"),
        (("--env", "/nowhere/source"), "/nowhere/source"),
        (("--python", "/bin/true"), "isn't a Python"),
    ],
)
def test_what_can_not_be_used(
    task: Path, model: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    answer = hearbench("evaluate", model, "--task", task, "--out", tmp_path / "o", *QUICK, *more)
    assert answer.code == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_what_belongs_to_one_model(task: Path, model: Path, tmp_path: Path) -> None:
    answer = hearbench(
        *("evaluate", model, "hearbench.models.naive", "--task", task, "--out", tmp_path / "o"),
        *("--option", "a=b", "--name", "x"),
    )
    assert answer.code == 2
    assert "--option and --name can't be given for several models" in answer.stderr
