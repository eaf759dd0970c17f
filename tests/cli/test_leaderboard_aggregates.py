from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from helpers_cli import Answer, hearbench
from helpers_leaderboard import write_made_up_result
from rich.console import Console

from hearbench.leaderboard.aggregates import AGGREGATES
from hearbench.leaderboard.columns import domain_of, leaderboard_tasks
from hearbench.leaderboard.csv_file import write_table
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.own_row import row_of
from hearbench.leaderboard.table import Row, Table
from hearbench.probe.protocol import FASTER

NAMES = [aggregate.name for aggregate in AGGREGATES]
ESC50 = "esc50-v2.0.0-full"


def aggregates(*arguments: object) -> Answer:
    """``hearbench leaderboard aggregates ARGUMENTS`` in this process."""
    return hearbench("leaderboard", "aggregates", *arguments)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setattr("hearbench.cli.render.output_console", lambda: Console(width=80))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with 19 of 20 clips right on all of speech, and nothing else."""
    folder = tmp_path_factory.mktemp("results")
    for name, task in leaderboard_tasks().items():
        if domain_of(task.column) == "speech":
            write_made_up_result(folder, name, model="speaker", wrong=1)
    return folder


def test_ranks_side_by_side_at_80_columns(narrow: None) -> None:
    answer = aggregates()
    assert answer.code == 0
    lines = answer.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if line.lstrip().startswith("1 "))
    assert first.split() == [
        "1", "GURA", "Fuse", "Cat", "H+w+C", "18", "1", "2", "1", "1", "2", "1-2",
    ]  # fmt: skip
    assert "ordered by paper-mean" in lines[0]
    assert sum(bool(re.match(r" *\d+ ", line)) for line in lines) == 12
    assert "The first 12 of 34 models" in answer.stdout
    assert "no overall score" in answer.stdout
    # No head and no number is cut; names may be.
    assert not re.search(r"…\s+…|\d…", answer.stdout)
    every = aggregates("--all").stdout.splitlines()
    assert sum(bool(re.match(r" *\d+ ", line)) for line in every) == 34


@pytest.mark.parametrize("name", NAMES)
def test_one_of_them_closely_at_80_columns(narrow: None, name: str) -> None:
    answer = aggregates("--by", name, "--top", 3)
    lines = answer.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if re.match(r" *\d+ ", line)]
    assert len(rows) == 3
    assert all(len(line.split()) >= 1 + 1 + 1 + 4 + 1 for line in rows)
    assert not re.search(r"\d…", answer.stdout)
    (aggregate,) = (item for item in AGGREGATES if item.name == name)
    assert aggregate.if_missing in " ".join(answer.stdout.split())


def test_values_of_one_of_them() -> None:
    rows = [line.split() for line in aggregates("--by", "sum", "--top", 1).stdout.splitlines()]
    first = next(row for row in rows if row[:1] == ["1"])
    assert first[1:4] == ["RedRice", "ced_base", "19"]
    total, speech, environment, music = map(float, first[4:8])
    assert total == pytest.approx(14.061, abs=1e-3)
    assert speech + environment + music == pytest.approx(total, abs=2e-3)
    assert first[8] == "1-5"


def test_definitions() -> None:
    answer = aggregates("--explain")
    for aggregate in AGGREGATES:
        assert f"{aggregate.name}: {aggregate.title}" in answer.stdout
        assert aggregate.explanation in " ".join(answer.stdout.split())
    one = aggregates("--explain", "--by", "sum", "--json").json["aggregates"]
    assert [entry["name"] for entry in one] == ["sum"]
    assert one[0]["missing"] == "worst"


def test_json_and_csv_say_the_same() -> None:
    read = aggregates("--json").json
    rows = list(csv.DictReader(io.StringIO(aggregates("--as-csv").stdout)))
    assert len(rows) == len(read["standings"]) == 34 * len(NAMES)
    for row, line in zip(rows, read["standings"], strict=True):
        assert row["model"] == line["model"]
        assert row["aggregate"] == line["aggregate"]
        for key, value in line.items():
            if isinstance(value, float):
                assert float(row[key]) == value
            elif value is None:
                assert row[key] == ""
    assert [item["name"] for item in read["aggregates"]] == NAMES
    assert sum(model["complete"] for model in read["models"]) == 13
    best = read["standings"][0]
    assert (best["model"], best["rank"]) == ("GURA Fuse Cat H+w+C", 1)
    assert best["rank_tasks_drawn_low"] <= 1 <= best["rank_tasks_drawn_high"]


def test_own_model_over_its_domain(speaker: Path) -> None:
    answer = aggregates("--add", f"{speaker / 'speaker'}:mine", "--domain", "speech", "--top", 2)
    assert answer.code == 0
    (own,) = (line.split() for line in answer.stdout.splitlines() if "> mine" in line)
    # Better than all others on most of the six.
    assert own[:9] == ["1", ">", "mine", "6", "1", "1", "1", "1", "1"]
    read = aggregates("--with", speaker, "--by", "mean", "--json").json
    (model,) = (model for model in read["models"] if model["own"])
    assert (model["model"], model["n_scores"], model["complete"]) == ("speaker", 6, False)
    (line,) = (line for line in read["standings"] if line["model"] == "speaker")
    # 6 of 19 tasks are too few for a mean over those that were run.
    assert (line["value"], line["rank"]) == (None, None)
    row = row_of(sorted(speaker.glob("speaker/*/result.json")))
    scores = [score for score in row.scores if score is not None]
    assert line["speech"] == pytest.approx(np.mean(scores))
    assert line["music"] is None
    (line,) = (
        line
        for line in aggregates("--with", speaker, "--by", "sum", "--json").json["standings"]
        if line["model"] == "speaker"
    )
    assert line["value"] == pytest.approx(sum(scores))


def test_own_model_that_is_left_out(speaker: Path) -> None:
    answer = aggregates("--add", speaker, "--complete-only")
    assert answer.code == 0
    assert "speaker lacks some of the scores" in answer.stderr
    assert "The first 12 of 13 models" in answer.stdout
    assert "speaker" not in answer.stdout


def test_refused_results_are_said(speaker: Path, tmp_path: Path) -> None:
    write_made_up_result(tmp_path, ESC50, protocol=FASTER)
    answer = aggregates("--add", tmp_path)
    assert answer.code == 2
    assert "every result of the leaderboard's tasks is refused" in answer.stderr
    write_made_up_result(tmp_path, "tfds_gtzan-1.0.0-full")
    answer = aggregates("--add", tmp_path, "--json")
    assert answer.code == 2
    assert "refused:" in answer.stderr
    assert [m["model"] for m in answer.json["models"] if m["own"]] == ["my_model"]


def test_another_table(tmp_path: Path) -> None:
    table = official_table()
    path = tmp_path / "board.csv"
    write_table(Table(table.columns, table.rows[:5]), path)
    read = aggregates("--csv", path, "--json", "--by", "min-max").json
    assert [model["model"] for model in read["models"]] == list(table.models[:5])
    # The best official scores are still the measure.
    assert max(line["value"] for line in read["standings"]) < 0.85
    none = Row("none", "", "", (None,) * 19)
    write_table(Table(table.columns, (*table.rows[:2], none)), path)
    answer = aggregates("--csv", path)
    assert answer.code == 0
    assert "none" in answer.stdout
    assert "nothing to rank" in aggregates("--csv", path, "--complete-only").stderr


def test_the_examples_of_the_docs_are_true(narrow: None) -> None:
    page = (Path(__file__).parents[2] / "docs/aggregates.md").read_text()
    examples = re.findall(
        r"^```\n\$ hearbench leaderboard aggregates (.*?)\n(.*?)^```$",
        page,
        re.MULTILINE | re.DOTALL,
    )
    assert len(examples) == 2
    for arguments, shown in examples:
        lines = [line.rstrip() for line in aggregates(*arguments.split()).stdout.splitlines()]
        assert lines == shown.splitlines()
    rows = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert rows == NAMES


def test_what_there_is_not() -> None:
    answer = aggregates("--by", "mean-ranks")
    assert answer.code == 2
    assert "Did you mean 'mean-rank' or 'mean'?" in answer.stderr
    answer = aggregates("--domain", "cooking")
    assert answer.code == 2
    assert "no domain 'cooking'" in answer.stderr
    answer = aggregates("--json", "--as-csv")
    assert answer.code == 2
    assert "choose one" in answer.stderr


def test_a_named_subset_with_the_ends_of_its_own_models(narrow: None) -> None:
    read = aggregates("--task", "hear-10", "--by", "min-max", "--ends-from", "rows", "--json").json
    assert read["ends_from"] == "rows"
    assert len(read["columns"]) == 10
    assert read["aggregates"][0]["relative"] is True
    best = read["standings"][0]
    # The slow way, over the rows of the official file.
    table = official_table()
    row = next(row for row in table if row.model == best["model"])
    points = []
    for column in read["columns"]:
        known = [score for score in table.column(column) if score is not None]
        score = row.scores[table.columns.index(column)]
        assert score is not None
        points.append((score - min(known)) / (max(known) - min(known)))
    assert best["value"] == pytest.approx(sum(points) / len(points))
    shown = " ".join(aggregates("--task", "hear-10", "--ends-from", "rows").stdout.split())
    assert "lowest and highest scores of the models ranked here" in shown
    assert "ranked here" not in aggregates("--task", "hear-10").stdout
    assert aggregates("--json").json["ends_from"] == "table"


def test_own_models_move_the_ends_of_rows_only(speaker: Path) -> None:
    def values(*arguments: object) -> dict[str, float]:
        read = aggregates("--task", "hear-11", "--by", "min-max", "--json", *arguments).json
        return {line["model"]: line["value"] for line in read["standings"]}

    own = ("--add", speaker / "speaker")
    assert values(*own) == {**values(), "speaker": values(*own)["speaker"]}
    official, moved = values("--ends-from", "rows"), values("--ends-from", "rows", *own)
    assert official == values()
    assert any(moved[model] != value for model, value in official.items())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--ends-from", "all"), "--ends-from all"), (("--task", "hear-12"), "'hear-12'")],
)
def test_what_does_not_exist_is_refused(arguments: tuple[str, str], named: str) -> None:
    answer = aggregates(*arguments)
    assert answer.code == 2
    assert named in answer.stderr
