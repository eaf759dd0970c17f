"""A participant's way, without the environment: skeleton, card, submission, check, export."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_tasks import make_scene_task

QUICK = ("--quick", "--protocol", "faster", "--grid-points", "1", "--device", "cpu")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The skeleton with its card filled in, to be imported."""
    folder = tmp_path / "my-model"
    assert hearbench("init-model", "my-model", "--out", folder).code == 0
    card = folder / "card.toml"
    text = card.read_text().replace('["<a known training set>"]', '["AudioSet"]')
    text = re.sub(r"<([^>]*)>", r"A \1", text)
    text = text.replace("example.org/where-the-model-is-described", "example.org/my-model")
    card.write_text(text + 'esc50 = "no time"\n')
    monkeypatch.syspath_prepend(str(folder / "src"))
    monkeypatch.setenv("PYTHONPATH", str(folder / "src"))
    yield folder
    for name in [name for name in sys.modules if name.startswith("my_model")]:
        del sys.modules[name]


@pytest.mark.usefixtures("quick_python")
def test_from_the_skeleton_to_a_checked_submission(package: Path, tmp_path: Path) -> None:
    task = make_scene_task(tmp_path, name="tones")
    out = tmp_path / "submission"
    answer = hearbench(
        *("submit", "my_model.hear", "--card", package / "card.toml", "--out", out),
        *("--task", task, *QUICK),
    )
    assert answer.code == 0, answer.stderr
    assert "0 of 19 columns" in answer.stdout
    said = json.loads((out / "submission.json").read_text())
    assert said["model"]["n_weights"] == 0
    assert (said["model"]["sample_rate"], said["model"]["hop_ms"]) == (16000, 50.0)
    assert said["missing"]["ESC-50"] == "no time"
    assert said["missing"]["FSD50K"] == "not run"
    row = (out / "row.csv").read_text().splitlines()
    assert row[1].startswith("A name on the leaderboard,https://example.org/")

    checked = hearbench("leaderboard", "check", out, "--task", task, "--json")
    assert checked.code == 0, checked.stdout
    assert checked.json["labels_compared"] == ["tones-1.0.0-full"]
    result = out / "results" / "tones-1.0.0-full" / "result.json"
    result.write_text(result.read_text().replace('"mean": 0.', '"mean": 0.9'))
    tampered = hearbench("leaderboard", "check", out, "--task", task)
    assert tampered.code == 1
    assert "is stated" in tampered.stdout
    assert "checksum" in tampered.stdout
    assert "can't be taken: " in tampered.stdout

    # The same again keeps the results, and writes the submission anew.
    again = hearbench(
        *("submit", "my_model.hear", "--card", package / "card.toml", "--out", out),
        *("--task", task, *QUICK),
    )
    assert again.code == 0, again.stderr
    assert "kept" in again.stderr
    assert hearbench("leaderboard", "check", out, "--task", task).code == 0

    kept = tmp_path / "submission.results"
    exported = hearbench("leaderboard", "export", kept, "--form", "markdown", "--name", "mine")
    assert exported.stdout.startswith("| mine | score | value |")
    file = tmp_path / "r.parquet"
    assert hearbench("leaderboard", "export", kept, "--form", "parquet", "--out", file).code == 0
    assert file.read_bytes()[:4] == b"PAR1"


@pytest.mark.usefixtures("quick_python")
def test_a_model_that_is_not_valid_is_not_evaluated(package: Path, tmp_path: Path) -> None:
    path = package / "src" / "my_model" / "hear.py"
    path.write_text(path.read_text().replace("50.0 * torch", "0.05 * torch"))
    out = tmp_path / "submission"
    answer = hearbench(
        *("submit", "my_model.hear", "--card", package / "card.toml", "--out", out),
        *("--task", make_scene_task(tmp_path, name="tones"), *QUICK),
    )
    assert answer.code == 1
    assert "timestamp-unit" in answer.stderr
    assert "isn't valid, so nothing was evaluated" in answer.stderr
    assert not out.exists()


def test_what_is_installed_where_is_said_before(
    package: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without an index pip fails, but not before the line.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    answer = hearbench(
        *("submit", package, "--card", package / "card.toml", "--out", tmp_path / "s"),
        *("--task", make_scene_task(tmp_path, name="tones"), *QUICK),
    )
    assert answer.code == 2
    said, *_ = [line for line in answer.stderr.splitlines() if "pip installs" in line]
    assert f"pip installs {package} and all that it depends on" in said
    assert str(cache / "environments" / "my-model-") in said
    assert "--python P" in said


def test_bad_input(package: Path, tmp_path: Path) -> None:
    card = package / "card.toml"
    nothing = hearbench("submit", "my_model.hear", "--card", card, "--out", tmp_path / "s")
    assert nothing.code == 2
    assert "None of the leaderboard's tasks is in the cache" in nothing.stderr
    # Before any model is loaded.
    text = card.read_text()
    card.write_text(text.replace('licence = "Apache-2.0"', 'licence = "GPL-3.0-only"', 1))
    task = make_scene_task(tmp_path, name="tones")
    refused = hearbench(
        *("submit", "no_such.module", "--card", card, "--out", tmp_path / "s", "--task", task)
    )
    assert refused.code == 2
    assert "against the rules: licence is GPL-3.0-only" in refused.stderr
    card.write_text("model = ")
    answer = hearbench("submit", "my_model.hear", "--card", card, "--out", tmp_path / "s")
    assert answer.code == 2
    assert "isn't a TOML file" in answer.stderr
    gone = hearbench("leaderboard", "export", tmp_path / "nothing", "--form", "latex")
    assert gone.code == 2
    assert hearbench("leaderboard", "check", tmp_path / "nothing").code == 1
