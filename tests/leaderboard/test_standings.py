from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hearbench.errors import ResultError
from hearbench.leaderboard.aggregates import AGGREGATES, TREATMENTS, get_aggregate
from hearbench.leaderboard.counted import domain_of
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import normalise
from hearbench.leaderboard.robustness import robustness
from hearbench.leaderboard.sheet import sheet_of
from hearbench.leaderboard.standings import Standings, standings
from hearbench.leaderboard.table import COLUMNS, Row, Table

NAMES = [aggregate.name for aggregate in AGGREGATES]


@pytest.fixture(scope="module")
def official() -> Standings:
    return standings(official_table())


def test_ranks_are_pandas(official: Standings) -> None:
    for item in official.by_aggregate:
        expected = pd.Series(item.overall.values).rank(
            method="min", ascending=not item.aggregate.maximise
        )
        np.testing.assert_array_equal(item.overall.ranks, expected)
        order = item.overall.order()
        assert sorted(order) == list(range(34))
        assert list(item.overall.ranks[list(order)]) == sorted(item.overall.ranks)


def test_who_is_first_depends_on_the_aggregate(official: Standings) -> None:
    first = {
        item.aggregate.name: official.models[item.overall.order()[0]]
        for item in official.by_aggregate
    }
    assert first == {
        "paper-mean": "GURA Fuse Cat H+w+C",
        "mean-rank": "RedRice ced_base",
        "borda": "RedRice ced_base",
        "share-of-best": "GURA Fuse Cat H+w+C",
        "min-max": "GURA Fuse Cat H+w+C",
        "sum": "RedRice ced_base",
        "mean": "GURA Fuse Cat H+w+C",
    }
    low, high = official.rank_range()
    at = official.models.index("CP-JKU mn40_as (e1+l+all_se)")
    assert (low[at], high[at]) == (5, 13)


def test_domains_are_those_tasks_alone(official: Standings) -> None:
    table = official_table()
    of = normalise(table)
    for domain in ("speech", "environment", "music"):
        own = [i for i, column in enumerate(COLUMNS) if domain_of(column) == domain]
        paper = official.of("paper-mean").by_domain[domain].values
        np.testing.assert_allclose(paper, of.with_imputed[:, own].mean(axis=1), rtol=1e-12)
        alone = standings(table, domains=[domain])
        assert alone.sheet.columns == tuple(COLUMNS[i] for i in own)
        for name in NAMES:
            np.testing.assert_array_equal(
                alone.of(name).overall.values, official.of(name).by_domain[domain].values
            )
            assert list(alone.of(name).by_domain) == [domain]
    sums = [
        official.of("sum").by_domain[domain].values for domain in ("speech", "environment", "music")
    ]
    np.testing.assert_allclose(sum(sums), official.of("sum").overall.values)
    assert list(official.of("sum").by_domain) == ["speech", "environment", "music"]


def test_complete_models_among_themselves(official: Standings) -> None:
    complete = standings(official_table(), complete_only=True)
    assert len(complete.models) == sum(official.is_complete) == 13
    at = [official.models.index(model) for model in complete.models]
    for name in NAMES:
        own = official.of(name).complete
        np.testing.assert_allclose(own.values[at], complete.of(name).overall.values, rtol=1e-12)
        np.testing.assert_array_equal(own.ranks[at], complete.of(name).overall.ranks)
        assert np.isnan(np.delete(own.ranks, at)).all()
        low, high = complete.of(name).rank_range
        np.testing.assert_array_equal(low, high)
    # The reference is still the whole official table.
    np.testing.assert_allclose(
        complete.of("min-max").overall.values,
        official.of("min-max").overall.values[at],
        rtol=1e-12,
    )
    # Without gaps these are one order each.
    for one, other in (("mean-rank", "borda"), ("sum", "mean")):
        np.testing.assert_array_equal(
            complete.of(one).overall.ranks, complete.of(other).overall.ranks
        )


def test_what_missing_scores_do(official: Standings) -> None:
    for item in official.by_aggregate:
        ranks = np.stack([item.by_treatment[name].ranks for name in TREATMENTS])
        low, high = item.rank_range
        np.testing.assert_array_equal(low, ranks.min(axis=0))
        np.testing.assert_array_equal(high, ranks.max(axis=0))
        own = item.by_treatment[item.aggregate.missing]
        np.testing.assert_array_equal(own.values, item.overall.values)
        values = np.stack([item.by_treatment[name].values for name in TREATMENTS])
        least, most = values.min(axis=0), values.max(axis=0)
        assert (least <= item.overall.values).all()
        assert (most >= item.overall.values).all()
        if not item.aggregate.relative:
            # Nothing of a complete model changes but its rank.
            complete = np.array(official.is_complete)
            np.testing.assert_allclose(least[complete], most[complete], rtol=1e-12)
    low, high = official.of("sum").rank_range
    at = official.models.index("RedRice ced_base")
    # Two of the others would pass it if their one missing score were left out.
    assert (low[at], high[at]) == (1, 3)


def test_agreement_is_scipys(official: Standings) -> None:
    signed = {
        item.aggregate.name: item.overall.values * (1 if item.aggregate.maximise else -1)
        for item in official.by_aggregate
    }
    tau, rho = official.agreement(), official.agreement("spearman")
    for i, one in enumerate(NAMES):
        for j, other in enumerate(NAMES):
            expected = stats.kendalltau(signed[one], signed[other]).statistic
            assert tau[i, j] == pytest.approx(expected)
            correlation = stats.spearmanr(signed[one], signed[other]).statistic
            assert rho[i, j] == pytest.approx(correlation)
    complete = official.agreement(complete=True)
    i, j = NAMES.index("mean-rank"), NAMES.index("borda")
    assert complete[i, j] == pytest.approx(1)
    assert tau[i, j] < 0.97


def test_agreement_by_counting_pairs() -> None:
    rows = [(0.9, 0.1, 0.5), (0.5, 0.5, 0.5), (0.4, 0.9, 0.1), (0.2, 0.2, 0.2)]
    table = Table(("a", "b", "c"), tuple(Row(f"m{i}", "", "", row) for i, row in enumerate(rows)))
    found = standings(table, reference=table)
    one, other = (found.of(name).overall.ranks for name in ("mean-rank", "mean"))
    pairs = [(i, j) for i in range(4) for j in range(i)]
    signs = [np.sign(one[i] - one[j]) * np.sign(other[i] - other[j]) for i, j in pairs]
    free = [sum(ranks[i] != ranks[j] for i, j in pairs) for ranks in (one, other)]
    tau = sum(signs) / np.sqrt(free[0] * free[1])
    matrix = found.agreement()
    assert matrix[NAMES.index("mean-rank"), NAMES.index("mean")] == pytest.approx(tau)


def test_nothing_agrees_where_there_is_nothing_to_order() -> None:
    table = Table(("a",), (Row("x", "", "", (0.5,)), Row("y", "", "", (0.5,))))
    found = standings(table)
    assert np.isnan(found.agreement()).all()
    assert found.of("mean").overall.ranks.tolist() == [1, 1]


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
    only_gaps = standings(table)
    assert np.isnan(only_gaps.of("sum").complete.ranks).all()


def test_ranks_less_one_task_by_the_slow_way(official: Standings) -> None:
    """With each task taken away in turn, from the points or from the table."""
    table = official_table()
    for name in ("sum", "mean-rank", "min-max", "share-of-best", "mean", "borda"):
        aggregate = get_aggregate(name)
        ranks = []
        for j, column in enumerate(COLUMNS):
            rows = tuple(
                replace(row, scores=tuple(s for i, s in enumerate(row.scores) if i != j))
                for row in table
            )
            columns = tuple(other for other in COLUMNS if other != column)
            # The reference makes it unnecessary to impute.
            sheet = replace(
                official.sheet.select(columns),
                scores=np.array([[np.nan if s is None else s for s in row.scores] for row in rows]),
            )
            values = pd.Series(aggregate.values(sheet)).round(10)
            ranks.append(values.rank(method="min", ascending=not aggregate.maximise))
        low, high = robustness(aggregate, official.sheet, n_resamples=2).leave_one_out
        np.testing.assert_array_equal(low, np.min(ranks, axis=0))
        np.testing.assert_array_equal(high, np.max(ranks, axis=0))


def test_tasks_drawn_by_the_slow_way(official: Standings) -> None:
    n, seed = 200, 3
    aggregate = get_aggregate("mean-rank")
    found = robustness(aggregate, official.sheet, n_resamples=n, seed=seed)
    points = aggregate.points(official.sheet)
    rng = np.random.default_rng(seed)
    values, ranks = [], []
    for _ in range(n):
        counts = rng.multinomial(19, np.full(19, 1 / 19))
        drawn = np.repeat(points, counts, axis=1)
        means = np.nanmean(drawn, axis=1)
        values.append(means)
        ranks.append(stats.rankdata(means.round(10), method="min"))
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(found.values[0], low, rtol=1e-12)
    np.testing.assert_allclose(found.values[1], high, rtol=1e-12)
    ends = np.quantile(ranks, [0.025, 0.975], axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(found.ranks, ends)
    again = robustness(aggregate, official.sheet, n_resamples=n, seed=seed)
    np.testing.assert_array_equal(again.ranks, found.ranks)
    wider = robustness(aggregate, official.sheet, n_resamples=n, seed=seed, level=0.99)
    assert (wider.values[0] <= found.values[0]).all()


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    """Of many tasks, the interval of a mean is that of a normal variable."""
    rng = np.random.default_rng(0)
    scores = rng.random((2, 300))
    rows = tuple(Row(f"m{i}", "", "", tuple(row)) for i, row in enumerate(scores.tolist()))
    table = Table(tuple(f"t{j}" for j in range(300)), rows)
    sheet = sheet_of(table, table)
    low, high = robustness(get_aggregate("mean"), sheet, n_resamples=4000).values
    half = 1.96 * scores.std(axis=1) / np.sqrt(300)
    np.testing.assert_allclose(low, scores.mean(axis=1) - half, atol=0.005)
    np.testing.assert_allclose(high, scores.mean(axis=1) + half, atol=0.005)


def test_a_model_without_a_value_has_no_ranges() -> None:
    rows = ((0.5, 0.2, 0.3), (0.1, None, None), (0.2, 0.9, None))
    table = Table(("a", "b", "c"), tuple(Row(f"m{i}", "", "", r) for i, r in enumerate(rows)))
    found = robustness(get_aggregate("mean"), sheet_of(table, table))
    assert np.isnan([ends[1] for ends in (*found.ranks, *found.values, *found.leave_one_out)]).all()
    assert (found.ranks[0][2], found.ranks[1][2]) == (1, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_model_that_is_best_everywhere_is_first_whatever_the_tasks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.random((4, 5)) * 0.8, 2)
    scores[2] = 0.9
    rows = tuple(Row(f"m{i}", "", "", tuple(r)) for i, r in enumerate(scores.tolist()))
    table = Table(tuple("abcde"), rows)
    sheet = sheet_of(table, table)
    for aggregate in AGGREGATES:
        found = robustness(aggregate, sheet, n_resamples=20, seed=seed)
        for low, high in (found.ranks, found.leave_one_out):
            assert (low[2], high[2]) == (1, 1), aggregate.name
