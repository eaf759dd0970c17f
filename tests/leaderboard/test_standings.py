from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hearbench.errors import ResultError
from hearbench.leaderboard.aggregates import AGGREGATES, get_aggregate
from hearbench.leaderboard.columns import domain_of, find_columns
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import normalise
from hearbench.leaderboard.score_matrix import score_matrix
from hearbench.leaderboard.standings import Standings, rank_interval, standings
from hearbench.leaderboard.table import COLUMNS, Row, Table

NAMES = [aggregate.name for aggregate in AGGREGATES]


@pytest.fixture(scope="module")
def official() -> Standings:
    return standings(official_table())


def test_ranks_are_pandas(official: Standings) -> None:
    for item in official.by_aggregate:
        expected = pd.Series(item.values).rank(method="min", ascending=not item.aggregate.maximise)
        np.testing.assert_array_equal(item.ranks, expected)
        order = item.order()
        assert sorted(order) == list(range(34))
        assert list(item.ranks[list(order)]) == sorted(item.ranks)


def test_who_is_first_depends_on_the_aggregate(official: Standings) -> None:
    first = {
        item.aggregate.name: official.models[item.order()[0]] for item in official.by_aggregate
    }
    assert first == {
        "paper-mean": "GURA Fuse Cat H+w+C",
        "mean-rank": "RedRice ced_base",
        "min-max": "GURA Fuse Cat H+w+C",
        "mean": "GURA Fuse Cat H+w+C",
        "sum": "RedRice ced_base",
    }
    low, high = official.rank_range()
    at = official.models.index("CP-JKU mn40_as (e1+l+all_se)")
    assert (low[at], high[at]) == (6, 13)


def test_domains_are_those_tasks_alone(official: Standings) -> None:
    table = official_table()
    of = normalise(table)
    for domain in ("speech", "environment", "music"):
        own = [i for i, column in enumerate(COLUMNS) if domain_of(column) == domain]
        paper = official.of("paper-mean").by_domain[domain]
        np.testing.assert_allclose(paper, of.with_imputed[:, own].mean(axis=1), rtol=1e-12)
        alone = standings(table, domains=[domain])
        assert alone.matrix.columns == tuple(COLUMNS[i] for i in own)
        for name in NAMES:
            by_domain = official.of(name).by_domain
            np.testing.assert_array_equal(alone.of(name).values, by_domain[domain])
            assert list(alone.of(name).by_domain) == [domain]
    by_domain = official.of("sum").by_domain
    np.testing.assert_allclose(sum(by_domain.values()), official.of("sum").values)
    assert list(by_domain) == ["speech", "environment", "music"]


def test_complete_models_among_themselves(official: Standings) -> None:
    complete = standings(official_table(), complete_only=True)
    assert len(complete.models) == sum(official.is_complete) == 13
    # The reference is still the whole official table.
    at = [official.models.index(model) for model in complete.models]
    for name in ("min-max", "mean", "sum"):
        np.testing.assert_allclose(
            complete.of(name).values, official.of(name).values[at], rtol=1e-12
        )
    # Without gaps these are one order.
    np.testing.assert_array_equal(complete.of("sum").ranks, complete.of("mean").ranks)


def test_lines_say_what_the_arrays_do(official: Standings) -> None:
    rows = [*official_table().rows[:4], Row("sparse", "", "", (0.5, *(None,) * 18))]
    found = standings(Table(COLUMNS, tuple(rows)))
    lines = list(found.lines())
    assert [line["aggregate"] for line in lines] == [name for name in NAMES for _ in rows]
    for line in lines:
        item, i = found.of(line["aggregate"]), found.models.index(line["model"])
        if line["model"] == "sparse" and line["aggregate"] != "sum":
            assert (line["value"], line["rank"], line["rank_tasks_drawn_low"]) == (None,) * 3
            continue
        assert line["value"] == item.values[i]
        assert line["rank"] == item.ranks[i]
        assert line["rank_tasks_drawn_high"] == item.interval[1][i]
        assert line["music"] == pytest.approx(item.by_domain["music"][i], nan_ok=True) or (
            line["music"] is None and line["model"] == "sparse"
        )


def test_nothing_is_told_apart_where_all_are_equal() -> None:
    table = Table(("a",), (Row("x", "", "", (0.5,)), Row("y", "", "", (0.5,))))
    assert standings(table).of("mean").ranks.tolist() == [1, 1]


def test_what_is_left_of_a_table() -> None:
    rows = tuple(row for row in official_table() if not row.is_complete)
    table = Table(COLUMNS, rows)
    with pytest.raises(ResultError, match="no model that has all of these scores"):
        standings(table, complete_only=True)
    with pytest.raises(ResultError, match="no model, so"):
        standings(replace(table, rows=()))
    with pytest.raises(ResultError, match="no task of cooking"):
        standings(table, domains=["cooking"])
    # Over music alone, some of these are complete.
    assert len(standings(table, domains=["music"], complete_only=True).models) == 16
    assert not any(standings(table).is_complete)


def test_tasks_drawn_by_the_slow_way(official: Standings) -> None:
    n, seed = 200, 3
    aggregate = get_aggregate("mean-rank")
    found = rank_interval(aggregate, official.matrix, n_resamples=n, seed=seed)
    points = aggregate.points(official.matrix)
    rng = np.random.default_rng(seed)
    ranks = []
    for _ in range(n):
        counts = rng.multinomial(19, np.full(19, 1 / 19))
        means = np.nanmean(np.repeat(points, counts, axis=1), axis=1)
        ranks.append(stats.rankdata(means.round(10), method="min"))
    ends = np.quantile(ranks, [0.025, 0.975], axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(found, ends)
    again = rank_interval(aggregate, official.matrix, n_resamples=n, seed=seed)
    np.testing.assert_array_equal(again, found)
    wider = rank_interval(aggregate, official.matrix, n_resamples=n, seed=seed, level=0.99)
    assert (wider[0] <= found[0]).all()
    assert (wider[1] >= found[1]).all()


@pytest.mark.parametrize(("gap", "ends"), [(4, (1, 1)), (1, (1, 2))])
def test_two_models_are_told_apart_where_theory_says_so(gap: int, ends: tuple[int, int]) -> None:
    """One is ahead by so many standard errors; 1.96 are needed."""
    rng = np.random.default_rng(0)
    difference = rng.random(300)
    difference += gap * difference.std() / np.sqrt(300) - difference.mean()
    rows = (Row("a", "", "", tuple(difference.tolist())), Row("b", "", "", (0.0,) * 300))
    table = Table(tuple(f"t{j}" for j in range(300)), rows)
    low, high = rank_interval(get_aggregate("mean"), score_matrix(table, table))
    assert (low[0], high[0]) == ends


def test_a_model_without_a_value_has_no_interval() -> None:
    rows = ((0.5, 0.2, 0.3), (0.1, None, None), (0.2, 0.9, None))
    table = Table(("a", "b", "c"), tuple(Row(f"m{i}", "", "", r) for i, r in enumerate(rows)))
    low, high = rank_interval(get_aggregate("mean"), score_matrix(table, table))
    assert np.isnan([low[1], high[1]]).all()
    assert (low[2], high[2]) == (1, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_model_that_is_best_everywhere_is_first_whatever_the_tasks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random((4, 5)) * 0.8, 2)
    scores[2] = 0.9
    rows = tuple(Row(f"m{i}", "", "", tuple(r)) for i, r in enumerate(scores.tolist()))
    table = Table(tuple("abcde"), rows)
    matrix = score_matrix(table, table)
    for aggregate in AGGREGATES:
        low, high = rank_interval(aggregate, matrix, n_resamples=20, seed=seed)
        assert (low[2], high[2]) == (1, 1), aggregate.name


def test_ends_of_the_models_that_are_ranked() -> None:
    """s(m) as papers have it: over their own models and tasks."""
    names = ["RedRice ced_mini", "RedRice ced_small", "RedRice ced_base", "OpenL3", "CREPE"]
    counted = find_columns(["hear-10"])
    table = official_table()
    rows = tuple(row for row in table if row.model in names)
    found = standings(Table(COLUMNS, rows), reference="rows", columns=counted)
    assert found.matrix.columns == counted
    for i, row in enumerate(rows):
        points = []
        for column in counted:
            at = COLUMNS.index(column)
            others = [other.scores[at] for other in rows]
            lowest, highest = min(others), max(others)  # type: ignore[type-var]
            points.append((row.scores[at] - lowest) / (highest - lowest))  # type: ignore[operator]
        assert found.of("min-max").values[i] == pytest.approx(sum(points) / 10)
    assert found.of("min-max").aggregate.relative
    assert not standings(table).of("min-max").aggregate.relative
    # One model of these few is the best of a task, and another the worst, which no official
    # lowest score changes.
    of_table = standings(Table(COLUMNS, rows), columns=counted).of("min-max").values
    assert of_table.max() < 1
    assert not np.allclose(of_table, found.of("min-max").values)


def test_models_that_are_left_out_are_no_ends() -> None:
    table = official_table()
    lowest = Row("incomplete", "", "", (None, *(0.0,) * 18))
    whole = standings(table, reference="rows", complete_only=True).of("min-max").values
    worse = Table(COLUMNS, (*table.rows, lowest))
    with_it = standings(worse, reference="rows", complete_only=True).of("min-max").values
    np.testing.assert_array_equal(whole, with_it)


def test_tasks_and_domains_narrow_each_other() -> None:
    counted = find_columns(["hear-open"])
    found = standings(official_table(), columns=counted, domains=["music"])
    assert found.matrix.columns == ("NSynth Pitch 50h", "NSynth Pitch 5h")
    with pytest.raises(ResultError, match="no task of ESC-50 and music"):
        standings(official_table(), columns=["ESC-50"], domains=["music"])
