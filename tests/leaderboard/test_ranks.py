from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.ranks import (
    order_models,
    other_models,
    ranked_mean,
    ranked_scores,
    with_own,
)
from hearbench.leaderboard.table import COLUMNS, Row, Table

TABLE = Table(
    ("a", "b", "c"),
    (
        Row("one", "", "", (0.9, None, 0.1)),
        Row("two", "", "", (0.5, None, 0.3)),
        Row("three", "", "", (0.9, None, None)),
        Row("Mine", "", "", (1.0, 1.0, 1.0)),
    ),
)


def test_ranks_among_others() -> None:
    first, second, third = ranked_scores(TABLE, Row("mine", "", "", (0.5, 0.2, None)))
    # The row of the same name doesn't count; equal scores share the better rank.
    assert (first.rank, first.of, first.best, first.best_model) == (3, 4, 0.9, "one")
    assert first.gap == 0.5 - 0.9
    assert (second.rank, second.of, second.best, second.gap) == (1, 1, None, None)
    assert (third.rank, third.of, third.best, third.best_model) == (None, 2, 0.3, "two")


def test_the_best_is_ahead() -> None:
    ranked = ranked_scores(TABLE, Row("mine", "", "", (0.95, None, None)))[0]
    assert ranked.rank == 1
    assert ranked.gap == 0.95 - 0.9


def test_others_are_those_of_other_names() -> None:
    assert other_models(TABLE, Row("m i n e", "", "", ())).models == ("one", "two", "three")


def names(order: str | None, *columns: str) -> tuple[str, ...]:
    table, _ = order_models(with_own(TABLE, [OLD]), columns or TABLE.columns, order)
    return table.models


OLD = Row("Öld", "", "2022-05-01", (0.2, 0.9, None))


def test_orders_of_models() -> None:
    # Sums 1.0, 0.8, 0.9, 3.0 and 1.1; of the last column alone 0.1, 0.3, 0, 1.0 and 0.
    assert names(None) == ("Mine", "Öld", "one", "three", "two")
    assert names(None, "c") == ("Mine", "two", "one", "three", "Öld")
    assert names("sum", "a", "c") == ("Mine", "one", "three", "two", "Öld")
    assert names("a") == ("Mine", "one", "three", "two", "Öld")
    assert names("model") == ("Mine", "one", "three", "two", "Öld")
    assert names("date")[-1] == "Öld"
    assert order_models(TABLE, ("a",), None)[1] == "a"
    # Of two models nothing can be imputed.
    two = Table(TABLE.columns, TABLE.rows[:2])
    assert order_models(two, two.columns, "mean")[1] == "their sum, missing ones as 0"


def test_the_order_by_the_mean_is_the_papers(shared: Path) -> None:
    golden = json.loads((shared / "golden/leaderboard/paper_figures.json").read_text())
    table, by = order_models(official_table(), COLUMNS, "mean")
    assert list(table.models) == golden["order"]
    assert by == "the mean normalised score"
    best = table.rows[0]
    means = dict(zip(golden["models"], golden["mean_normalised_with_imputed"], strict=True))
    found = ranked_mean(official_table(), best)
    assert found is not None
    assert found.value == pytest.approx(means[best.model], abs=1e-6)
    assert (found.rank, found.of) == (1, 34)


def test_a_mean_of_few_scores_is_not_given() -> None:
    nine = Row("nine", "", "", (*(0.5,) * 9, *(None,) * 10))
    assert ranked_mean(official_table(), nine) is None
    ten = Row("ten", "", "", (*(0.5,) * 10, *(None,) * 9))
    assert ranked_mean(official_table(), ten) is not None
    assert ranked_mean(Table(COLUMNS, official_table().rows[:1]), ten) is None


def test_own_models_take_the_place_of_their_namesakes() -> None:
    table = with_own(TABLE, [Row("m i n e", "", "", (0.1, 0.1, 0.1)), OLD])
    assert table.models == ("one", "two", "three", "m i n e", "Öld")
