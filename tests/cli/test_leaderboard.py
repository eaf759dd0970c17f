from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers_cli import Answer, hearbench
from helpers_leaderboard import write_made_up_result

from hearbench.leaderboard.csv_file import read_table
from hearbench.leaderboard.official import official_table, official_text
from hearbench.leaderboard.table import COLUMNS
from hearbench.probe.protocol import FASTER
from hearbench.results import find_conditions

ESC50 = "esc50-v2.0.0-full"
LIBRICOUNT = "libricount-v1.0.0-hear2021-full"


def leaderboard(*arguments: object) -> Answer:
    """``hearbench leaderboard ARGUMENTS`` in this process."""
    return hearbench("leaderboard", *arguments)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: one with 0.95 on ESC-50 and 0.6 on Libricount, one with 0.5 on ESC-50."""
    folder = tmp_path_factory.mktemp("results")
    write_made_up_result(folder, ESC50, model="first", wrong=1)
    write_made_up_result(folder, LIBRICOUNT, model="first", wrong=8)
    write_made_up_result(folder, ESC50, model="second", wrong=10, digest="6" * 64)
    return folder


def test_ones_own_place_is_shown(out: Path) -> None:
    answer = leaderboard("show", "--with", f"{out / 'first'}:mine")
    assert answer.code == 0
    assert answer.stderr == ""
    lines = {line[:13].strip(): line.split() for line in answer.stdout.splitlines()}
    # 0.9665, 0.9615, 0.9595, 0.9535 and the next 0.9475.
    assert lines["ESC-50"] == [
        "ESC-50",
        "0.9500",
        "5",
        "of",
        "35",
        "0.9665",
        "-0.0165",
        "RedRice",
        "ced_base",
    ]
    assert "mine: 2 of 19 tasks, among 34 models" in answer.stdout
    assert "No score for Beehive, Beijing Opera" in answer.stdout
    # Of 17 tasks imputed, a mean would say nothing.
    assert "Mean normalised" not in answer.stdout


def test_what_is_shown_agrees_with_the_json(out: Path) -> None:
    answer = leaderboard("show", "--with", out, "--json", "--sort", "gap").json
    first, second = answer["own"]
    assert [task["column"] for task in first["tasks"]] == ["ESC-50", "Libricount"]
    official = official_table().column("Libricount")
    known = [score for score in official if score is not None]
    assert first["tasks"][1] == {
        "column": "Libricount",
        "score": 0.6,
        "rank": 1 + sum(score > 0.6 for score in known),
        "of": len(known) + 1,
        "best": max(known),
        "best_model": "Logitech AI SERAB BYOL-S",
        "gap": 0.6 - max(known),
        "results": [str(out / "first" / LIBRICOUNT / "result.json")],
    }
    assert second["model"] == "second"
    assert len(first["missing"]) == 17
    assert len(answer["models"]) == 36
    assert sum(model["own"] for model in answer["models"]) == 2
    assert answer["refused"] == []


def test_all_models_on_a_task(out: Path) -> None:
    answer = leaderboard("show", "--task", "esc50", "--with", out / "first")
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert ["5", ">", "first", "0.9500"] in lines
    assert ["4", "RedRice", "ced_mini", "0.9535"] in lines
    rows = [line for line in lines if line and line[0].isdigit()]
    assert len(rows) == 35
    by_name = leaderboard("show", "--task", "ESC-50", "--sort", "model", "--json").json
    names = [model["model"] for model in by_name["models"]]
    assert names == sorted(names, key=str.casefold)
    assert by_name["columns"] == ["ESC-50"]


def test_the_overview_is_in_the_papers_order(shared: Path) -> None:
    golden = json.loads((shared / "golden/leaderboard/paper_figures.json").read_text())
    answer = leaderboard("show")
    found = re.findall(r"^ *\d+  (.*?)  +\d+  [-+]", answer.stdout, flags=re.MULTILINE)
    assert found == golden["order"]
    assert "no overall score" in " ".join(answer.stdout.split())
    by_mean = leaderboard("show", "--json", "--sort", "mean").json["models"]
    assert [model["model"] for model in by_mean] == golden["order"]
    means = dict(zip(golden["models"], golden["mean_normalised_with_imputed"], strict=True))
    assert {model["model"]: model["mean_normalised"] for model in by_mean} == pytest.approx(
        means, abs=1e-6
    )


def test_all_tasks_in_parts_that_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    for module in ("leaderboard_tables", "render"):
        monkeypatch.setattr(f"hearbench.cli.{module}.output_console", lambda: Console(width=80))
    for arguments in (["--all"], ["--domain", "music"], []):
        answer = leaderboard("show", *arguments)
        lines = answer.stdout.splitlines()
        assert max(len(line) for line in lines) <= 80
        models = [line for line in lines if line[:3].strip() == "1"]
        assert len(models) == {"--all": 5, "--domain": 2, "": 1}["".join(arguments[:1])]
        # No name and no number is cut.
        assert "…" not in answer.stdout


def test_the_literature_stands_below_the_table_and_is_never_ranked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.console import Console

    for module in ("leaderboard_tables", "leaderboard_literature", "render"):
        monkeypatch.setattr(f"hearbench.cli.{module}.output_console", lambda: Console(width=80))
    plain = leaderboard("show", "--task", "hear-11")
    answer = leaderboard("show", "--task", "hear-11", "--literature")
    assert answer.code == 0
    # What is ranked stays as it is.
    assert answer.stdout.startswith(plain.stdout)
    below = answer.stdout.removeprefix(plain.stdout)
    lines = below.splitlines()
    assert all(len(line) <= 80 for line in lines if "github.com" not in line)
    assert "from the literature, not ranked" in lines[0]
    first = next(line.split() for line in lines if line.startswith(" MW-MAE-B-4x16-4l (paper)"))
    assert first[2:] == ["[2]", "mwmae", "0.960", "0.731"]
    assert "[8] Table 6: https://arxiv.org/abs/2602.03307" in below
    assert "…" not in below
    # On one task there is room for what follows ±.
    one = leaderboard("show", "--task", "ESC-50", "--literature").stdout
    (wavjepa,) = (line.split() for line in one.splitlines() if line.startswith(" WavJEPA Base  "))
    assert wavjepa == ["WavJEPA", "Base", "[4]", "wavjepa", "0.865", "0.033"]
    overview = leaderboard("show", "--literature").stdout
    (ced,) = (line.split() for line in overview.splitlines() if line.startswith(" ced-tiny"))
    assert ced == ["ced-tiny", "[1]", "hear2021", "2023", "19", "all"]


def test_the_literature_beside_an_own_model_is_of_its_tasks(out: Path) -> None:
    answer = leaderboard("show", "--with", out / "first", "--literature").stdout
    head = next(line for line in answer.splitlines() if "from  code" in line)
    assert head.split() == ["model", "from", "code", "ESC-50", "Libricount"]


def test_the_literature_for_programs() -> None:
    read = leaderboard("show", "--task", "ESC-50", "--literature", "--json").json
    assert "literature" not in leaderboard("show", "--task", "ESC-50", "--json").json
    assert len(read["models"]) == 34
    (one,) = [cell for cell in read["literature"] if cell["model"] == "WavJEPA Base"]
    assert (one["column"], one["score"], one["plus_minus"]) == ("ESC-50", 0.865, 0.033)
    assert (one["code"], one["subset"], one["seeds"], one["year"]) == (
        "wavjepa", "hear-11", None, 2025,
    )  # fmt: skip
    assert one["source"].startswith("https://github.com/labhamlet/wavjepa/blob/")
    assert {cell["column"] for cell in read["literature"]} == {"ESC-50"}
    assert len(read["literature"]) == 52


def test_the_order_of_the_official_site_is_the_sum() -> None:
    models = leaderboard("show", "--all", "--json").json["models"]
    sums = [sum(score or 0 for score in model["scores"].values()) for model in models]
    assert sums == sorted(sums, reverse=True)
    assert models[0]["model"] == "RedRice ced_base"
    dated = leaderboard("show", "--all", "--json", "--sort", "date").json["models"]
    assert [model["submitted"] for model in dated][-4:] == ["2023-01-05"] + ["2023-09-26"] * 3


def test_refused_results_are_said_and_left_out(out: Path, tmp_path: Path) -> None:
    write_made_up_result(tmp_path, ESC50, wrong=2)
    write_made_up_result(tmp_path, LIBRICOUNT, protocol=FASTER)
    write_made_up_result(tmp_path, "esc50-v2.0.0-small")
    answer = leaderboard("show", "--with", tmp_path, "--json")
    assert answer.code == 2
    assert f"refused: {tmp_path / 'my_model' / LIBRICOUNT / 'result.json'}: it is of" in (
        answer.stderr
    )
    assert "not on the leaderboard: esc50-v2.0.0-small" in answer.stderr
    (own,) = answer.json["own"]
    assert [task["column"] for task in own["tasks"]] == ["ESC-50"]
    assert "'faster'" in answer.json["refused"][0]["reason"]
    assert answer.json["by_other_protocols"] == [
        {
            "model": "my_model",
            "ranked": False,
            "task": LIBRICOUNT,
            "score": 1.0,
            "fingerprint": find_conditions("faster").fingerprint,
            "protocol": "faster, seed 42, float32",
            "where": str(tmp_path / "my_model" / LIBRICOUNT / "result.json"),
        }
    ]
    # Nothing is entered.
    csv = tmp_path / "board.csv"
    answer = leaderboard("add", "--csv", csv, "--with", tmp_path)
    assert answer.code == 2
    assert "results that can't be entered" in answer.stderr
    assert not csv.exists()


def test_other_protocols_are_shown_apart_or_marked(tmp_path: Path) -> None:
    write_made_up_result(tmp_path, LIBRICOUNT, protocol=FASTER)
    mark = find_conditions("faster").fingerprint
    apart = leaderboard("show", "--with", tmp_path)
    assert apart.code == 2
    assert f"by another protocol ({mark}), not ranked with the table" in apart.stdout
    assert " of 35" not in apart.stdout
    beside = leaderboard("show", "--task", "LibriCount", "--with", tmp_path)
    assert "> my_model" not in beside.stdout
    assert mark in beside.stdout
    asked = leaderboard("show", "--with", tmp_path, "--across-protocols")
    assert asked.code == 0
    assert re.search(r"Libricount \*  1\.0000  1 of 35", asked.stdout)
    assert "my_model: Libricount: by another protocol than the table's, faster" in asked.stderr
    assert mark not in asked.stdout
    beside = leaderboard(
        *("show", "--task", "LibriCount", "--with", tmp_path, "--across-protocols")
    )
    assert re.search(r"1  > my_model \* +1\.0000", beside.stdout)
    (own,) = leaderboard("show", "--with", tmp_path, "--across-protocols", "--json").json["own"]
    assert own["marked"] == {"Libricount": "faster, seed 42, float32"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "ESC51"], "no column 'ESC51'. Did you mean 'ESC-50'"),
        (["--sort", "beeh"], "Did you mean 'Beehive'"),
        (["--domain", "musik"], "Did you mean 'music'"),
        (["--csv", "nowhere.csv"], "nowhere.csv can't be read"),
        (["--with", "nowhere"], "nowhere is not there"),
    ],
)
def test_slips_are_explained(arguments: list[str], says: str) -> None:
    answer = leaderboard("show", *arguments)
    assert answer.code == 2
    assert says in answer.stderr
    assert answer.stdout == ""


def test_names_of_ones_own_models(out: Path) -> None:
    many = leaderboard("show", "--with", f"{out}:mine")
    assert "2 models, first, second, and one name can't be that of all" in many.stderr
    same = leaderboard("show", "--with", out / "first", "--with", f"{out / 'second'}:first")
    assert "Two of the models are called first" in same.stderr
    wrong_order = leaderboard("show", "--with", out / "first", "--sort", "ESC-50")
    assert "--sort ESC-50" in wrong_order.stderr


def test_only_tasks_that_are_not_on_it(tmp_path: Path) -> None:
    write_made_up_result(tmp_path, "esc50-v2.0.0-small")
    answer = leaderboard("show", "--with", tmp_path)
    assert answer.code == 2
    assert "hearbench evaluate MODEL --task esc50" in answer.stderr


def add(csv: Path, results: Path, *more: object) -> Answer:
    return leaderboard("add", "--csv", csv, "--with", results, *more)


def test_a_model_is_added_and_replaced(out: Path, tmp_path: Path) -> None:
    csv = tmp_path / "board.csv"
    answer = add(
        csv, out / "first", "--name", "Mine", "--url", "https://a.org", "--date", "2024-02-29"
    )
    assert answer.code == 0
    assert f"{csv}: added Mine, 2 of 19 tasks" in answer.stdout
    text = csv.read_text()
    assert text.startswith(official_text() + "\nMine,https://a.org,2024-02-29,,,,,0.95,")
    assert not text.endswith("\n")
    assert list(tmp_path.iterdir()) == [csv]

    same = add(
        csv, out / "first", "--name", "Mine", "--url", "https://a.org", "--date", "2024-02-29"
    )
    assert "unchanged Mine" in same.stdout

    refused = add(csv, out / "second", "--name", "Mine")
    assert refused.code == 2
    assert "--overwrite" in refused.stderr
    assert csv.read_text() == text

    replaced = add(csv, out / "second", "--name", "Mine", "--overwrite", "--json")
    assert replaced.json["done"] == "replaced"
    table = read_table(csv)
    assert len(table) == 35
    assert table.rows[:-1] == official_table().rows
    assert table.rows[-1].scores[COLUMNS.index("ESC-50")] == 0.5
    assert table.rows[-1].scores[COLUMNS.index("Libricount")] is None
    # It isn't compared with itself.
    shown = leaderboard("show", "--csv", csv, "--with", f"{out / 'first'}:mine", "--json").json
    assert shown["own"][0]["tasks"][0]["of"] == 35


def test_what_cannot_be_added_leaves_the_file_as_it_was(out: Path, tmp_path: Path) -> None:
    csv = tmp_path / "board.csv"
    csv.write_text(official_text())
    first = out / "first"
    wrong: list[tuple[list[Any], str]] = [
        ([first, "--url", "javascript:alert(1)"], "doesn't begin with http"),
        ([first, "--name", "a,b"], "comma"),
        ([first, "--name", "openl3"], "differs in case or spaces alone"),
        ([first, "--date", "yesterday"], "nor a date"),
        ([out], "has the results of 2 models, first, second"),
    ]
    for (results, *more), says in wrong:
        answer = add(csv, results, *more)
        assert answer.code == 2
        assert says in " ".join(answer.stderr.split())
    assert csv.read_text() == official_text()
    csv.write_text("Model\n")
    assert "columns can't be used" in add(csv, first).stderr


def test_the_papers_figures(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    assert leaderboard("figures", "--out", path).code == 0
    figures = json.loads(path.read_text())
    assert figures["normalised"][0][0] is None
    assert figures["order"][0] == "GURA Fuse Cat H+w+C"


def test_scores_on_the_test_of_the_training_are_marked(tmp_path: Path) -> None:
    write_made_up_result(tmp_path, ESC50, model="first", wrong=1)
    write_made_up_result(tmp_path, LIBRICOUNT, model="first", wrong=8)
    (tmp_path / "first/card.toml").write_text(
        'model = "F"\nteam = "T"\nauthors = ["A"]\nurl = "https://example.org/f"\n'
        'description = "D"\npretraining = "broad"\ntraining_sets = ["ESC-10"]\n'
        'api = "f"\nlicence = "MIT"\n'
    )
    answer = leaderboard("show", "--with", tmp_path)
    (line,) = (line for line in answer.stdout.splitlines() if "ESC-50" in line)
    assert line.split()[:4] == ["ESC-50", "†", "0.9500", "0.9665"]
    assert answer.stdout.count("the test data was in the model's training") == 1
    assert "first: ESC-50: the test data was in the training." in answer.stderr
    told = leaderboard("show", "--with", tmp_path, "--json").json
    by_column = {task["column"]: task["rank"] for task in told["own"][0]["tasks"]}
    assert by_column["ESC-50"] is None
    assert by_column["Libricount"] is not None
    (own,) = (model for model in told["models"] if model["own"])
    assert own["trained_on_test"] == ["ESC-50"]
    beside = leaderboard("show", "--with", tmp_path, "--task", "esc50").stdout
    assert "0.9500 †" in beside
    assert beside.count("†") == 2
