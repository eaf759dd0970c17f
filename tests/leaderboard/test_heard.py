"""Scores on test data that a model was trained on are marked and not ranked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hearbench.leaderboard.csv_file import format_table, parse_table
from hearbench.leaderboard.heard import HEARD_MARK, HEARD_NOTE, heard_columns, unheard
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.ranks import order_models, ranked_scores
from hearbench.leaderboard.site import build_site
from hearbench.leaderboard.standings import standings
from hearbench.leaderboard.table import COLUMNS, Row, Table
from hearbench.tasks.catalog import get_spec
from hearbench.tasks.training_sets import find_training_set, training_sets

ESC50 = COLUMNS.index("ESC-50")


def table() -> Table:
    """Three models, of which the best on ESC-50 was trained on it."""
    rows = []
    for name, score in (("A", 0.9), ("B", 0.8), ("C", 0.7)):
        scores = [0.5] * len(COLUMNS)
        scores[ESC50] = score
        rows.append(Row(name, "", "", tuple(scores), ("ESC-50",) if name == "A" else ()))
    return Table(COLUMNS, tuple(rows))


@pytest.mark.parametrize(
    ("sets", "columns"),
    [
        (["Freesound"], ["ESC-50", "FSD50K"]),
        (["ESC-50"], ["ESC-50"]),
        (["FSD50K"], ["FSD50K"]),
        (["LibriSpeech"], ["Libricount"]),
        (["LibriSpeech train", "AudioSet", "FSD50K dev", "Speech Commands train"], []),
        (["Mridangam Stroke"], ["Mridangam Stroke", "Mridangam Tonic"]),
        (["Speech Commands"], ["Speech commands 5h", "Speech commands full"]),
        (["NU-Hive"], ["Beehive"]),
        ([], []),
    ],
)
def test_columns_whose_test_is_in_a_training_set(sets: list[str], columns: list[str]) -> None:
    assert list(heard_columns(sets)) == columns


def test_what_may_be_in_it_is_told_apart() -> None:
    assert "ESC-50" in heard_columns(["FSD50K"], "perhaps")
    # Said for sure already.
    assert "ESC-50" not in heard_columns(["FSD50K", "ESC-50"], "perhaps")


def test_every_column_has_a_set_of_its_own() -> None:
    assert list(heard_columns(training_sets())) == list(COLUMNS)
    for name in ("coughvid", "spoken_digit"):
        (own,) = get_spec(name).overlaps
        assert own.how == "test"


def test_names_and_aliases_are_of_one_set() -> None:
    texts = [text for name, more in training_sets().items() for text in (name, *more)]
    keys = ["".join(c for c in text.casefold() if c.isalnum()) for text in texts]
    assert len(set(keys)) == len(keys)
    assert find_training_set("google speech-commands v2") == "Speech Commands"
    with pytest.raises(ValueError, match=r"'FSD50k devv'.*'FSD50K dev'"):
        find_training_set("FSD50k devv")


def test_the_best_of_those_that_did_not_hear_it_is_the_best() -> None:
    a, b, _ = table().rows
    ranked = ranked_scores(table(), a)[ESC50]
    assert (ranked.score, ranked.rank, ranked.of, ranked.best_model) == (0.9, None, 2, "B")
    of_b = ranked_scores(table(), b)[ESC50]
    assert (of_b.rank, of_b.of, of_b.best, of_b.best_model) == (1, 2, 0.7, "C")
    ordered, _ = order_models(table(), ["ESC-50"], None)
    assert ordered.models == ("B", "C", "A")
    # Where nobody says that it heard the test, the order is another.
    silent = Table(COLUMNS, tuple(dataclasses.replace(row, heard=()) for row in table()))
    assert order_models(silent, ["ESC-50"], None)[0].models == ("A", "B", "C")
    assert unheard(silent) == silent
    found = standings(table(), columns=["ESC-50"])
    assert found.matrix.n_scores.tolist() == [0, 1, 1]


def test_the_file_is_as_it_was() -> None:
    text = format_table(table())
    assert [row.heard for row in parse_table(text, "t")] == [(), (), ()]
    assert [row.heard for row in official_table()] == [()] * 34


def test_the_site_has_one_mark_and_one_note(tmp_path: Path) -> None:
    build_site(table(), tmp_path / "site")
    index = (tmp_path / "site/index.html").read_text()
    assert index.count(HEARD_NOTE.replace("'", "&#39;")) == 1
    assert index.count(f" {HEARD_MARK}<") == 1
    task = (tmp_path / "site/tasks/esc-50.html").read_text()
    assert task.index("models/b.html") < task.index("models/c.html") < task.index("models/a.html")
    assert f'0.9000<span aria-hidden="true"> {HEARD_MARK}' in task
    data = json.loads(
        (tmp_path / "site/compare.html").read_text().partition('id="data">')[2].partition("<")[0]
    )
    (a,) = (model for model in data["models"] if model["name"] == "A")
    assert a["scores"][ESC50] is None
    assert a["heard"] == {str(ESC50): 0.9}
    build_site(official_table(), tmp_path / "official")
    assert HEARD_MARK not in (tmp_path / "official/index.html").read_text()
