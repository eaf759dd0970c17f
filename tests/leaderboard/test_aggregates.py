from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_aggregates import Scores, points_of, value_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hearbench.errors import UnknownNameError
from hearbench.leaderboard.aggregates import AGGREGATES, Aggregate, get_aggregate, ranks_of
from hearbench.leaderboard.columns import domain_of
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import normalise
from hearbench.leaderboard.score_matrix import Floats, ScoreMatrix, score_matrix
from hearbench.leaderboard.table import COLUMNS, Row, Table

every = pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda item: item.name)


@pytest.fixture(scope="module")
def official() -> ScoreMatrix:
    return score_matrix(official_table())


def table_of(scores: Scores, columns: tuple[str, ...] = ("a", "b", "c")) -> Table:
    rows = (Row(f"m{i}", "", "", tuple(row)) for i, row in enumerate(scores))
    return Table(columns, tuple(rows))


def matrix_by_hand(scores: Floats) -> ScoreMatrix:
    """Nothing is computed; what is imputed and normalised is made up."""
    n_tasks = scores.shape[1]
    return ScoreMatrix(
        models=tuple(f"m{i}" for i in range(len(scores))),
        columns=tuple(f"t{j}" for j in range(n_tasks)),
        scores=scores,
        normalised=np.clip(2 * np.where(np.isnan(scores), 0.5, scores) - 1, -1, 1),
        best=np.full(n_tasks, 0.8),
        lowest=np.full(n_tasks, 0.2),
    )


def as_lists(array: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(x) else x for x in row] for row in array.tolist()]


@every
def test_the_official_table_by_the_slow_way(official: ScoreMatrix, aggregate: Aggregate) -> None:
    scores = [row.scores for row in official_table()]
    normalised = as_lists(official.normalised)
    found = aggregate.values(official)
    for i in range(len(scores)):
        points = [
            points_of(aggregate.name, i, j, scores, normalised, scores) for j in range(len(COLUMNS))
        ]
        assert found[i] == pytest.approx(value_of(aggregate.name, points), abs=1e-9)


def test_the_papers_figures(official: ScoreMatrix, shared: Path) -> None:
    golden = json.loads((shared / "golden/leaderboard/paper_figures.json").read_text())
    values = get_aggregate("paper-mean").values(official)
    np.testing.assert_allclose(values, golden["mean_normalised_with_imputed"], atol=1e-6)
    order = np.argsort(-values, kind="stable")
    assert [official.models[i] for i in order] == golden["order"]
    of = normalise(official_table())
    np.testing.assert_allclose(values, of.mean_with_imputed, rtol=1e-12)


def test_numbers_of_the_official_table(official: ScoreMatrix) -> None:
    def value(name: str, model: str) -> float:
        return float(get_aggregate(name).values(official)[official.models.index(model)])

    # Summed in the official CSV with awk, missing scores as 0.
    assert value("sum", "RedRice ced_base") == pytest.approx(14.060998501, abs=1e-9)
    assert value("sum", "AMAAI Lab wav2vec2+DDSP") == pytest.approx(5.424387513, abs=1e-9)
    # 15 scores.
    assert value("mean", "AMAAI Lab wav2vec2+DDSP") == pytest.approx(5.424387513 / 15, abs=1e-9)
    assert official.n_scores.min() == 15
    assert (official.n_scores == 19).sum() == 13


def test_ranks_are_scipys_for_models_without_gaps() -> None:
    rows = tuple(row for row in official_table() if row.is_complete)
    matrix = score_matrix(Table(COLUMNS, rows))
    assert len(rows) == 13
    ranks = stats.rankdata(-matrix.scores, axis=0)
    mean_rank = get_aggregate("mean-rank").values(matrix)
    np.testing.assert_allclose(mean_rank, ranks.mean(axis=1), rtol=1e-12)


def test_by_hand() -> None:
    """Two equal models, a missing score, and a model with a third of the scores."""
    table = table_of([(0.9, 0.4, 0.2), (0.9, 0.4, 0.2), (0.5, None, 0.4), (None, None, 0.8)])
    matrix = score_matrix(table, table)

    def values(name: str) -> list[float]:
        return [round(x, 6) for x in get_aggregate(name).values(matrix).tolist()]

    nan = pytest.approx(np.nan, nan_ok=True)
    # Ranks 1.5, 1.5, 3 on the first, 1.5, 1.5 on the second, 3.5, 3.5, 2, 1 on the third.
    assert values("mean-rank") == [2.166667, 2.166667, 2.5, nan]
    assert values("sum") == [1.5, 1.5, 0.9, 0.8]
    assert values("mean") == [0.5, 0.5, 0.45, nan]
    # All are equal on the second, which then says nothing; the others are 1, 1, 0 and 0, 0, 1/3, 1.
    assert values("min-max") == [0.5, 0.5, round(1 / 6, 6), nan]


def test_a_model_without_scores_has_no_value_and_changes_none() -> None:
    scores = [(0.9, 0.4, 0.2), (0.1, 0.3, 0.3), (0.5, 0.2, 0.4), (None, None, None)]
    without, with_it = (score_matrix(table_of(rows)) for rows in (scores[:3], scores))
    for aggregate in AGGREGATES:
        values = aggregate.values(with_it)
        assert np.isnan(values[3])
        np.testing.assert_array_equal(values[:3], aggregate.values(without))


def test_an_own_row_does_not_change_others_by_the_official_reference() -> None:
    table = official_table()
    own = Row("own", "", "", tuple(1.0 if i % 2 else 0.5 for i in range(19)))
    before, after = score_matrix(table), score_matrix(table.with_row(own))
    for aggregate in AGGREGATES:
        same = np.allclose(aggregate.values(before), aggregate.values(after)[:-1], rtol=1e-12)
        assert same != aggregate.relative, aggregate.name
    min_max = get_aggregate("min-max")
    assert min_max.points(after)[-1, 1::2].min() > 1
    own_reference = score_matrix(table.with_row(own), table.with_row(own))
    assert np.nanmax(min_max.points(own_reference)) == 1


def test_a_sparse_own_row_imputes_nothing_into_others() -> None:
    table = official_table()
    sparse = Row("own", "", "", (0.6, *(None,) * 18))
    before, after = score_matrix(table), score_matrix(table.with_row(sparse))
    np.testing.assert_array_equal(after.normalised[:-1], before.normalised)
    for aggregate in AGGREGATES:
        assert np.isnan(aggregate.values(after)[-1]) == (aggregate.name != "sum")
    # On its one task it has a place on the others' scale.
    alone = after.select(["Beehive"])
    point = get_aggregate("paper-mean").values(alone)[-1]
    between = get_aggregate("mean").values(alone)[:-1]
    assert -1 < point < 1
    higher = get_aggregate("paper-mean").values(alone)[:-1] > point
    np.testing.assert_array_equal(higher[~np.isnan(between)], between[~np.isnan(between)] > 0.6)


def test_columns_of_other_tables() -> None:
    matrix = score_matrix(table_of([(0.9, 0.4, 0.2), (0.1, 0.3, 0.3)]))
    # The official table has no best score for these, and two models aren't imputed.
    for name in ("min-max", "paper-mean"):
        assert np.isnan(get_aggregate(name).values(matrix)).all()
    np.testing.assert_allclose(get_aggregate("mean").values(matrix), [0.5, 0.7 / 3])
    assert domain_of("a") == "other"
    assert domain_of("GTZAN Genre") == "music"


def test_names() -> None:
    assert get_aggregate("Min-Max").name == "min-max"
    with pytest.raises(
        UnknownNameError, match=r"no aggregate 'mean rank'\. Did you mean 'mean-rank'"
    ):
        get_aggregate("mean rank")
    names = [aggregate.name for aggregate in AGGREGATES]
    assert len(set(names)) == len(names)


def test_ranks_share_the_better_one_and_ignore_rounding() -> None:
    values = np.array([0.3, 0.1 + 0.2, np.nan, 0.5])
    np.testing.assert_array_equal(ranks_of(values, maximise=True), [2, 2, np.nan, 1])
    np.testing.assert_array_equal(ranks_of(values, maximise=False), [1, 1, np.nan, 3])


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((4, 5))
    scores[[0, 1, 1], [2, 0, 4]] = np.nan
    matrix = matrix_by_hand(scores)
    weights = np.array([[2, 0, 1, 1, 3], [0, 0, 0, 0, 2]])
    for name, function in (("mean", np.nanmean), ("sum", np.nansum)):
        found = get_aggregate(name).weighted_values(matrix, weights.astype(float))
        for k, row in enumerate(weights):
            for i, own in enumerate(np.repeat(scores, row, axis=1)):
                if name == "mean" and np.isnan(own).all():
                    assert np.isnan(found[k, i])
                else:
                    assert found[k, i] == pytest.approx(function(own))


# Few different scores, so that ties are common, and gaps.
cells = st.one_of(st.none(), st.integers(0, 6).map(lambda n: n / 8))


@st.composite
def scores_of_models(draw: st.DrawFn) -> Floats:
    n_models, n_tasks = draw(st.integers(2, 6)), draw(st.integers(1, 5))
    rows = draw(
        st.lists(
            st.lists(cells, min_size=n_tasks, max_size=n_tasks),
            min_size=n_models, max_size=n_models,
        )
    )  # fmt: skip
    return np.array(rows, dtype=np.float64)


@settings(max_examples=60, deadline=None)
@given(scores_of_models(), st.randoms(use_true_random=False))
def test_permuting_models_and_tasks_permutes_values(scores: Floats, random: object) -> None:
    shuffle = random.shuffle  # type: ignore[attr-defined]
    models, tasks = list(range(len(scores))), list(range(scores.shape[1]))
    shuffle(models), shuffle(tasks)
    matrix, other = matrix_by_hand(scores), matrix_by_hand(scores[np.ix_(models, tasks)])
    for aggregate in AGGREGATES:
        np.testing.assert_allclose(
            aggregate.values(other), aggregate.values(matrix)[models], atol=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(scores_of_models(), st.integers(0, 4))
def test_only_the_order_on_a_task_counts_for_ranks(scores: Floats, task: int) -> None:
    task = task % scores.shape[1]
    moved, bent = scores.copy(), scores.copy()
    moved[:, task] += 0.25
    bent[:, task] = bent[:, task] ** 3
    mean_rank = get_aggregate("mean-rank")
    values = mean_rank.values(matrix_by_hand(scores))
    for other in (moved, bent):
        np.testing.assert_array_equal(mean_rank.values(matrix_by_hand(other)), values)


@settings(max_examples=60, deadline=None)
@given(scores_of_models())
def test_small_tables_by_the_slow_way(scores: Floats) -> None:
    # The slow way knows no models without a score.
    scores = scores[~np.isnan(scores).all(axis=1)]
    matrix, rows = matrix_by_hand(scores), as_lists(scores)
    normalised, n_tasks = as_lists(matrix.normalised), scores.shape[1]
    ends = [[0.8] * n_tasks, [0.2] * n_tasks]
    for aggregate in AGGREGATES:
        found = aggregate.values(matrix)
        for i, row in enumerate(rows):
            enough = 2 * sum(score is not None for score in row) >= n_tasks
            if not enough and aggregate.name != "sum":
                assert np.isnan(found[i])
                continue
            points = [
                points_of(aggregate.name, i, j, rows, normalised, ends) for j in range(n_tasks)
            ]
            value = value_of(aggregate.name, points)
            assert found[i] == pytest.approx(value, abs=1e-9), aggregate.name


@settings(max_examples=40, deadline=None)
@given(scores_of_models())
def test_values_over_a_part_are_those_of_the_part(scores: Floats) -> None:
    matrix = matrix_by_hand(scores)
    first = matrix.select(matrix.columns[:1])
    assert first.scores.shape == (len(scores), 1)
    np.testing.assert_array_equal(
        get_aggregate("mean").values(first), np.where(first.ran, scores[:, 0], np.nan)
    )
