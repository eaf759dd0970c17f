from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from helpers_cli import Answer
from helpers_leaderboard import write_made_up_result
from typer.testing import CliRunner

from hearbench.cli.report import report

ESC50 = "esc50-v2.0.0-full"


def run(*arguments: object) -> Answer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command("report")(report)
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_made_up_result(tmp_path / "results", ESC50)
    return tmp_path / "results"


def test_a_table_with_what_each_stage_took(out: Path) -> None:
    answer = run(out)
    assert answer.code == 0
    lines = [line.strip() for line in answer.stdout.splitlines()]
    # Embedding took a second for 10 s of audio, five folds a second each.
    assert any(
        line.startswith("my_model") and "1.0 s" in line and "5.0 s" in line for line in lines
    )
    assert any(line.startswith(f"{ESC50}, seed 42") and "10.0 x" in line for line in lines)
    # What scoring took is as it was.
    total = next(line for line in lines if " in all: " in line)
    found = re.search(r"in all: embedding 1\.0 s \((\d+) %\), probe 5\.0 s \((\d+) %\)", total)
    assert found is not None
    assert float(found[2]) == pytest.approx(5 * float(found[1]), abs=3)


def test_json_alone_on_stdout_and_a_page(out: Path, tmp_path: Path) -> None:
    page = tmp_path / "made" / "report.html"
    answer = run(out, "--json", "--out", page)
    found = json.loads(answer.stdout)
    assert found["format_version"] == 1
    assert [each["task"] for each in found["results"]] == [ESC50]
    assert found["totals"][1]["stage"] == "probe"
    assert found["totals"][1]["seconds"] == 5.0
    assert f"wrote {page}" in answer.stderr.replace("\n", "")
    assert page.read_text().startswith("<!doctype html>")


def test_what_is_not_there_and_what_is_no_page(out: Path, tmp_path: Path) -> None:
    answer = run(tmp_path / "nowhere")
    assert (answer.code, answer.stdout) == (2, "")
    assert "nowhere is not there" in answer.stderr.replace("\n", " ")
    answer = run(out, "--out", tmp_path / "report.pdf")
    assert answer.code == 2
    assert "ends in .html" in answer.stderr.replace("\n", " ")
    assert not (tmp_path / "report.pdf").exists()
