from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from helpers_cli import Answer, runner
from helpers_leaderboard import write_made_up_result

from hearbench.cli.compare import compare
from hearbench.probe.protocol import HEAR2021
from hearbench.results import Conditions

ESC50 = "esc50-v2.0.0-full"
DCASE = "dcase2016_task2-hear2021-full"


def run(*arguments: object) -> Answer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command("compare")(compare)
    result = runner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    for model, wrong in {"good": 1, "close": 2, "bad": 10}.items():
        for task in (ESC50, DCASE):
            write_made_up_result(folder, task, model=model, wrong=wrong)
    return folder


def test_tables_say_who_is_better(out: Path) -> None:
    answer = run(out, "--resamples", 200)
    assert answer.code == 0
    lines = answer.stdout.splitlines()
    assert f"{ESC50}: top1_acc, 100 test clips in 5 folds" in lines
    assert "no difference shown" in answer.stdout
    assert "good is better" in answer.stdout
    assert "over 2 tasks" in answer.stdout
    assert "corrected for 6 comparisons (Holm); a difference at p <= 0.05." in answer.stdout
    assert answer.stderr == ""


def test_tables_fit_a_terminal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from hearbench.cli import compare
    from hearbench.comparison.compare import compare as compare_results

    console = Console(width=80, highlight=False, record=True)
    monkeypatch.setattr("hearbench.cli.render.output_console", lambda: console)
    compare.show_comparison(compare_results([out], n_resamples=100))
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "no difference shown" in " ".join(text.split())
    assert " (1.5 to 2)" in text
    assert "…" not in text


def test_json(out: Path, tmp_path: Path) -> None:
    answer = run(out / "good", out / "bad", "--json", "--csv", tmp_path / "a.csv", "--level", 0.9)
    found = answer.json
    assert (found["format_version"], found["level"], found["models"]) == (1, 0.9, ["good", "bad"])
    (pair,) = found["tasks"][1]["pairs"]
    assert (pair["better"], pair["verdict"]) == ("good", "good is better")
    assert pair["low"] < pair["difference"] < pair["high"]
    assert (tmp_path / "a.csv").read_text().startswith("task,score,")
    assert run(out / "good", out / "bad", "--json", "--level", 0.9).json == found


def test_other_protocols_are_apart_or_marked(out: Path, tmp_path: Path) -> None:
    part = HEAR2021.restricted(first=2)
    for model, wrong in {"quick": 3, "slow": 12}.items():
        write_made_up_result(tmp_path, ESC50, model=model, wrong=wrong, protocol=part)
    words = f"hear2021 with 2 of 8 grid points ({Conditions(part).fingerprint})."
    apart = run(out / "good", out / "bad", tmp_path, "--resamples", 100)
    assert apart.code == 0
    assert "By hear2021 (4d0612ca1b)." in apart.stdout
    assert f"By {words}" in apart.stdout
    assert apart.stdout.count("mean rank") == 2
    assert "by different protocols" not in apart.stdout
    together = run(
        *(out / "good", tmp_path / "slow", "--resamples", 100, "--across-protocols"),
        *("--csv", tmp_path / "a.csv"),
    )
    assert together.stdout.count("mean rank") == 1
    shown = " ".join(together.stdout.split())
    assert "good is better, by different protocols" in shown
    assert "4d0612ca1b" in shown
    assert f"By {words}" in shown
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert row["across_protocols"] == "True"
    refused = run(out / "good", tmp_path / "slow")
    assert refused.code == 2
    assert "--across-protocols" in refused.stderr
    assert f"slow by {words.split(' (')[0]}, seed 42, float32" in refused.stderr


def test_a_plot(out: Path, tmp_path: Path) -> None:
    answer = run(out, "--resamples", 50, "--plot", tmp_path / "plot.png")
    assert answer.code == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert f"wrote {tmp_path / 'plot.png'}" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["good"], "There is only one model"),
        (["good", "nothing"], "is not there"),
        ([f"good/{ESC50}", f"bad/{DCASE}"], "No two of the models"),
        (["good", "bad", "--score", "x"], "no task has it"),
        (
            ["good", "bad", "--baseline", "x"],
            "there is no such model. Known: good, bad.",
        ),
        (["good", "bad", "--test", "x"], "bootstrap or permutation"),
        (["good", "bad", "--level", "1"], "from 0.001 to 0.999"),
        (["good", "bad", "--plot", "plot.gif"], "plots are written as"),
        (["good", "broken"], "can't be read"),
    ],
)
def test_bad_input_is_one_message(
    arguments: list[str], says: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    broken = out / "broken" / ESC50
    broken.mkdir(parents=True, exist_ok=True)
    (broken / "result.json").write_text((out / "good" / ESC50 / "result.json").read_text())
    (broken / "predictions").mkdir(exist_ok=True)
    answer = run(*arguments)
    assert answer.code == 2
    assert says in answer.stderr
    assert answer.stderr.startswith("error: ")
    assert answer.stdout == ""
    (broken / "result.json").unlink()


def test_undefined_numbers_are_null_and_words(tmp_path: Path) -> None:
    for model in ("a", "b"):
        write_made_up_result(tmp_path, "fsd50k-v1.0-full", model=model)
    answer = run(tmp_path, "--score", "d_prime", "--resamples", 20, "--json")
    task = answer.json["tasks"][0]
    assert [score["mean"] for score in task["scores"]] == ["Infinity", "Infinity"]
    assert task["pairs"][0]["p"] is None
    assert json.loads(answer.stdout) == answer.json
    shown = run(tmp_path, "--score", "d_prime", "--resamples", 20)
    assert "infinite" in shown.stdout
    assert "can't be judged" in shown.stdout
