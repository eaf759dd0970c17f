"""``hearbench leaderboard build``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from helpers_leaderboard import write_made_up_result
from typer.testing import CliRunner

from hearbench.cli.leaderboard import build
from hearbench.leaderboard.csv_file import write_table
from hearbench.leaderboard.official import official_table

ESC50, BEEHIVE = "esc50-v2.0.0-full", "beehive_states_fold0-v2-full"

app = typer.Typer()
app.command()(build)


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models; of one, a task is half of a column."""
    out = tmp_path_factory.mktemp("results")
    write_made_up_result(out, ESC50, model="mine", wrong=4)
    write_made_up_result(out, BEEHIVE, model="mine", wrong=4)
    write_made_up_result(out, ESC50, model="other", wrong=10, digest="5" * 64)
    return out


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three models, too few to compute figures from."""
    table = official_table()
    path = tmp_path / "small.csv"
    write_table(replace(table, rows=table.rows[:3]), path)
    return path


def models(site: Path) -> list[str]:
    return sorted(path.stem for path in (site / "models").iterdir())


def test_own_results_are_put_into_the_table(tmp_path: Path, small: Path, found: Path) -> None:
    site = tmp_path / "site"
    code, out, err = run("--csv", small, "--results", found, "--out", site, "--json")
    assert code == 0
    assert json.loads(out)["own"] == ["mine", "other"]
    assert json.loads(out)["models"] == 5
    assert json.loads(out)["index"] == str(site / "index.html")
    assert "mine: Beehive is the mean of 2 tasks and stays empty without" in err
    assert {"mine", "other"} < set(models(site))
    assert "number 3 of 5 models" in (site / "tasks/esc-50.html").read_text()
    again = run("--csv", small, "--out", site)
    assert again == (0, f"{site / 'index.html'}\n", "")
    assert len(models(site)) == 3


def test_the_official_table_is_the_one_without_a_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Figures take a while, and are looked at elsewhere.
    monkeypatch.setattr("hearbench.leaderboard.site.build.figures_of", lambda _: None)
    assert run("--out", tmp_path / "site")[0] == 0
    assert len(models(tmp_path / "site")) == 34


def test_results_by_another_name(tmp_path: Path, small: Path, found: Path) -> None:
    site = tmp_path / "site"
    assert run("--csv", small, "--results", f"{found}/mine:Our model", "--out", site)[0] == 0
    assert "our-model" in models(site)
    code, _, err = run("--csv", small, "--results", f"{found}:Our model", "--out", site)
    assert code == 2
    assert "has the results of 2 models, mine, other" in err


def test_a_model_of_the_table_keeps_its_row(tmp_path: Path, small: Path, found: Path) -> None:
    from hearbench.leaderboard.csv_file import read_table
    from hearbench.leaderboard.own_row import row_of

    row = row_of([found / "mine" / ESC50], "Entered", url="https://x.org/m", submitted="2026-02-03")
    csv, site = tmp_path / "with.csv", tmp_path / "site"
    write_table(read_table(small).with_row(row), csv)
    assert run("--csv", csv, "--results", f"{found}/mine:Entered", "--out", site)[0] == 0
    page = (site / "models/entered.html").read_text()
    assert "2026-02-03" in page
    assert "± 0.0000" in page
    code, _, err = run("--csv", csv, "--results", f"{found}/other:entered", "--out", site)
    assert code == 2
    assert "has a model named 'Entered', whose scores aren't those of the results" in err


def test_results_that_do_not_count_are_shown_apart(tmp_path: Path, small: Path) -> None:
    from hearbench.probe.protocol import get_protocol

    out, site = tmp_path / "results", tmp_path / "site"
    write_made_up_result(out, ESC50, model="mine", protocol=get_protocol("faster"))
    code, _, err = run("--csv", small, "--results", out, "--out", site)
    assert code == 0
    assert "not in the table: " in err
    page = (site / "models/mine.html").read_text()
    assert "Results beside the table" in page
    assert "0 of 19 tasks" in page


def test_a_folder_of_something_else_is_refused(tmp_path: Path, small: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    code, _, err = run("--csv", small, "--out", tmp_path)
    assert code == 2
    assert "isn't a site of hearbench's" in err
    assert (tmp_path / "thesis.tex").read_text() == "mine"
