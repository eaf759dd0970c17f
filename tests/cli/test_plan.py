"""``hearbench plan`` as a user calls it."""

from __future__ import annotations

from pathlib import Path

import typer
from helpers_cli import Answer, runner

from hearbench.cli.plan import plan

app = typer.Typer(rich_markup_mode=None)
app.command("plan")(plan)
app.callback()(lambda: None)

QUICK = ("--measure-s", "0.05", "--protocol", "faster", "--grid-points", "1")


def hearbench(*arguments: object) -> Answer:
    result = runner().invoke(app, [str(item) for item in arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def test_a_table_for_people(task: Path, model: Path) -> None:
    answer = hearbench("plan", model, "--task", task, *QUICK, "--details")
    assert answer.code == 0
    for word in ("check", "embed", "probe", "result", "of noise", "faster[first=1]", "free"):
        assert word in answer.stdout
    assert "Nothing stands in the way." in answer.stdout


def test_numbers_for_programs(task: Path, model: Path) -> None:
    answer = hearbench("plan", model, "--task", task, "--task", "esc50", *QUICK, "--json")
    assert answer.code == 0
    found = answer.json
    assert found["format_version"] == 1
    assert [row["task"] for row in found["tasks"]][1] == "esc50-v2.0.0-full"
    stages = {stage["stage"]: stage for stage in found["tasks"][1]["stages"]}
    assert stages["resample"]["disk_bytes"] == 2000 * (5 * 16000 * 2 + 44)
    assert stages["fetch"]["disk_bytes"] == 2000 * (5 * 48000 * 2 + 44)
    for stage in stages.values():
        seconds = stage["seconds"]
        assert 0 <= seconds["low"] <= seconds["expected"] <= seconds["high"]
        assert stage["made_from"]
    total = sum(stage["disk_bytes"] for row in found["tasks"] for stage in row["stages"])
    assert found["total"]["disk_bytes"] == total


def test_nothing_is_written_but_the_cache_folder(task: Path, model: Path, cache: Path) -> None:
    hearbench("plan", model, "--task", task, *QUICK, "--json")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_what_is_wrong_is_said_and_the_rest_is_planned(task: Path, model: Path) -> None:
    answer = hearbench("plan", model, "--task", "nonsense", "--task", task, *QUICK)
    assert answer.code == 2
    assert "error: nonsense: There is no task 'nonsense'" in answer.stderr
    assert "embed" in answer.stdout


def test_what_cannot_be_had_does_not_fit(model: Path) -> None:
    answer = hearbench("plan", model, "--task", "esc50-small", *QUICK)
    assert answer.code == 1
    assert "hearbench prepare" in answer.stdout
    assert "not known" in answer.stdout


def test_of_many_tasks_a_row_each(model: Path) -> None:
    names = ("esc50", "gunshot_triangulation", "beijing_opera", "libricount", "esc50-small")
    answer = hearbench("plan", model, *(f"--task={name}" for name in names), *QUICK)
    assert answer.code == 1
    rows = [line for line in answer.stdout.splitlines() if "libricount-v1.0.0" in line]
    assert len(rows) == 1
    # What isn't known is marked where it is added up.
    assert "?" in next(line for line in answer.stdout.splitlines() if "v2.0.0-small" in line)
    assert "?" not in rows[0]
