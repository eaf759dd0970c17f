"""The command line on files of anybody: an answer, or one message and exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_fuzz import bounded, fuzzed_less, mutated_bytes, mutated_json
from helpers_leaderboard import write_made_up_result
from helpers_tasks import make_scene_task
from hypothesis import given
from hypothesis import strategies as st

ESC50 = "esc50-v2.0.0-full"
DONE, REFUSED, BAD_INPUT = 0, 1, 2


def _ends_well(*arguments: object) -> int:
    """The exit code of a call, which never ends in a traceback."""
    with bounded():
        answer = hearbench(*arguments)
    assert answer.code in (DONE, REFUSED, BAD_INPUT), answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    if answer.code == BAD_INPUT:
        errors = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, answer.stderr
    return answer.code


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_made_up_result(folder / "out", ESC50)
    make_scene_task(folder, clips_per_label=1, duration_s=0.05)
    return folder


@fuzzed_less
@given(data=st.data())
def test_results(place: Path, data: st.DataObject) -> None:
    path = place / "out" / "my_model" / ESC50 / "result.json"
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(mutated_json(json.loads(whole))))
        _ends_well("report", place / "out")
        _ends_well("leaderboard", "export", place / "out" / "my_model", "--form", "markdown")
        _ends_well("leaderboard", "show", "--with", place / "out" / "my_model")
    finally:
        path.write_bytes(whole)


@fuzzed_less
@given(data=st.data())
def test_tasks(place: Path, data: st.DataObject) -> None:
    folder = place / "tones-1.0.0-full"
    name = data.draw(st.sampled_from(("task_metadata.json", "train.json", "labelvocabulary.csv")))
    whole = (folder / name).read_bytes()
    changed = mutated_json(json.loads(whole)) if name.endswith(".json") else mutated_bytes(whole)
    try:
        (folder / name).write_bytes(data.draw(changed))
        _ends_well("tasks", "stats", folder, "--cache", place / "cache")
    finally:
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "{top}/nothing"),
        ("leaderboard", "check", "~nobodyhere/x"),
        ("tasks", "stats", "~nobodyhere/x"),
        ("tasks", "stats", "x" * 300),
        ("evaluate", "~nobodyhere/x.py", "--task", "{top}", "--out", "{top}/o"),
        ("evaluate", "x" * 300, "--task", "{top}", "--out", "{top}/o"),
        ("evaluate", "hearbench.models.naive", "--task", "x" * 300, "--out", "{top}/o"),
    ],
)
def test_places_that_can_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HEARBENCH_CACHE", str(tmp_path / "cache"))
    assert _ends_well(*(text.format(top=tmp_path) for text in arguments)) in (REFUSED, BAD_INPUT)


@pytest.mark.parametrize("value", ["~nobodyhere/x", "/dev/null/x", "x" * 5000])
def test_a_cache_that_can_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEARBENCH_CACHE", value)
    code = _ends_well("list", "tasks")
    # A name like any other makes a folder of that name.
    assert code in (DONE, BAD_INPUT)
