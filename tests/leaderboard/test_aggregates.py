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
from hearbench.leaderboard.aggregates import (
    AGGREGATES,
    TREATMENTS,
    Aggregate,
    Treatment,
    combine,
    get_aggregate,
    ranks_of,
)
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import normalise
from hearbench.leaderboard.sheet import Floats, Sheet, domain_or_other, sheet_of
from hearbench.leaderboard.table import COLUMNS, Row, Table

BY_RANKS = ("mean-rank", "borda")
WITH_REFERENCE = ("share-of-best", "min-max")
every = pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda item: item.name)
every_treatment = pytest.mark.parametrize("treatment", TREATMENTS)


@pytest.fixture(scope="module")
def official() -> Sheet:
    return sheet_of(official_table())


def table_of(scores: Scores, columns: tuple[str, ...] = ("a", "b", "c")) -> Table:
    rows = (Row(f"m{i}", "", "", tuple(row)) for i, row in enumerate(scores))
    return Table(columns, tuple(rows))


def sheet_by_hand(scores: Floats, imputed: Floats | None = None) -> Sheet:
    """Nothing is computed; what is imputed and normalised is made up where it isn't given."""
    n_tasks = scores.shape[1]
    imputed = np.where(np.isnan(scores), 0.5, scores) if imputed is None else imputed
    return Sheet(
        models=tuple(f"m{i}" for i in range(len(scores))),
        columns=tuple(f"t{j}" for j in range(n_tasks)),
        scores=scores,
        imputed=imputed,
        normalised=np.clip(2 * imputed - 1, -1, 1),
        best=np.full(n_tasks, 0.8),
        lowest=np.full(n_tasks, 0.2),
    )


def as_lists(array: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(x) else x for x in row] for row in array.tolist()]


@every
@every_treatment
def test_the_official_table_by_the_slow_way(
    official: Sheet, aggregate: Aggregate, treatment: Treatment
) -> None:
    scores = [row.scores for row in official_table()]
    imputed, normalised = as_lists(official.imputed), as_lists(official.normalised)
    found = aggregate.values(official, treatment)
    for i in range(len(scores)):
        points = [
            points_of(aggregate.name, i, j, treatment, scores, imputed, normalised, scores)
            for j in range(len(COLUMNS))
        ]
        assert found[i] == pytest.approx(value_of(aggregate.name, points, 19), abs=1e-9)


def test_the_papers_figures(official: Sheet, shared: Path) -> None:
    golden = json.loads((shared / "golden/leaderboard/paper_figures.json").read_text())
    values = get_aggregate("paper-mean").values(official)
    np.testing.assert_allclose(values, golden["mean_normalised_with_imputed"], atol=1e-6)
    order = np.argsort(-values, kind="stable")
    assert [official.models[i] for i in order] == golden["order"]
    of = normalise(official_table())
    np.testing.assert_allclose(values, of.mean_with_imputed, rtol=1e-12)
    kept = get_aggregate("paper-mean").points(official, "left-out")
    np.testing.assert_array_equal(kept, of.normalised)


def test_numbers_of_the_official_table(official: Sheet) -> None:
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
    sheet = sheet_of(Table(COLUMNS, rows))
    assert len(rows) == 13
    ranks = stats.rankdata(-sheet.scores, axis=0)
    mean_rank, borda = (get_aggregate(name).values(sheet) for name in BY_RANKS)
    np.testing.assert_allclose(mean_rank, ranks.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(borda, (13 - ranks).sum(axis=1), rtol=1e-12)
    # Nothing is missing, so nothing depends on its treatment.
    for aggregate in AGGREGATES:
        for treatment in TREATMENTS:
            np.testing.assert_allclose(
                aggregate.values(sheet, treatment), aggregate.values(sheet), rtol=1e-12
            )


def test_by_hand() -> None:
    """Two equal models, a missing score, and a model with a third of the scores."""
    table = table_of([(0.9, 0.4, 0.2), (0.9, 0.4, 0.2), (0.5, None, 0.4), (None, None, 0.8)])
    sheet = sheet_of(table, table)

    def values(name: str, treatment: Treatment | None = None) -> list[float]:
        return [round(x, 6) for x in get_aggregate(name).values(sheet, treatment).tolist()]

    nan = pytest.approx(np.nan, nan_ok=True)
    # Ranks 1.5, 1.5, 3 on the first, 1.5, 1.5 on the second, 3.5, 3.5, 2, 1 on the third.
    assert values("mean-rank") == [2.166667, 2.166667, 2.5, nan]
    assert values("mean-rank", "worst") == [2.166667, 2.166667, 2.833333, 2.833333]
    # 2.5 + 2.5 + 0.5; 1 + 0 + 2; 0 + 0 + 3.
    assert values("borda") == [5.5, 5.5, 3.0, 3.0]
    # Among those that ran: 1.5 + 0.5 + 0.5; (0 + 2) * 3 / 2.
    assert values("borda", "left-out") == [2.5, 2.5, 3.0, nan]
    assert values("sum") == [1.5, 1.5, 0.9, 0.8]
    assert values("sum", "left-out") == [1.5, 1.5, 1.35, nan]
    assert values("mean") == [0.5, 0.5, 0.45, nan]
    assert values("share-of-best") == [0.75, 0.75, round((0.5 / 0.9 + 0.5) / 2, 6), nan]
    # All are equal on the second, which then says nothing; the others are 1, 1, 0 and 0, 0, 1/3, 1.
    assert values("min-max") == [0.5, 0.5, round(1 / 6, 6), nan]
    assert values("min-max", "worst") == [0.5, 0.5, round(1 / 6, 6), 0.5]


def test_a_model_without_scores_has_no_value_and_beats_nobody() -> None:
    scores = [(0.9, 0.4, 0.2), (0.1, 0.3, 0.3), (0.5, 0.2, 0.4), (None, None, None)]
    without, with_it = (sheet_of(table_of(rows)) for rows in (scores[:3], scores))
    for aggregate in AGGREGATES:
        for treatment in TREATMENTS:
            values = aggregate.values(with_it, treatment)
            assert np.isnan(values[3])
            np.testing.assert_array_equal(values[:3], aggregate.values(without, treatment))


def test_an_own_row_does_not_change_others_by_the_official_reference() -> None:
    table = official_table()
    own = Row("own", "", "", tuple(1.0 if i % 2 else 0.5 for i in range(19)))
    before, after = sheet_of(table), sheet_of(table.with_row(own))
    for aggregate in AGGREGATES:
        same = np.allclose(aggregate.values(before), aggregate.values(after)[:-1], rtol=1e-12)
        assert same != aggregate.relative, aggregate.name
    shares = get_aggregate("share-of-best").points(after)[-1]
    assert shares[1::2].min() > 1
    own_reference = sheet_of(table.with_row(own), table.with_row(own))
    assert np.nanmax(get_aggregate("share-of-best").points(own_reference)) == 1


def test_a_sparse_own_row_imputes_nothing_into_others() -> None:
    table = official_table()
    sparse = Row("own", "", "", (0.6, *(None,) * 18))
    before, after = sheet_of(table), sheet_of(table.with_row(sparse))
    np.testing.assert_array_equal(after.imputed[:-1], before.imputed)
    for aggregate in AGGREGATES:
        given = aggregate.name in ("borda", "sum")
        assert np.isnan(aggregate.values(after)[-1]) == (not given)
    # Counted as the worst everywhere else, on the scale of the others.
    beehive = before.imputed[:, 0]
    point = (0.6 - beehive.mean()) / beehive.std()
    assert -1 < point < 1
    worst = get_aggregate("paper-mean").values(after, "worst")[-1]
    assert worst == pytest.approx((point - 18) / 19)
    assert get_aggregate("mean").values(after, "worst")[-1] == pytest.approx(0.6 / 19)


def test_columns_of_other_tables() -> None:
    sheet = sheet_of(table_of([(0.9, 0.4, 0.2), (0.1, 0.3, 0.3)]))
    # The official table has no best score for these, and two models aren't imputed.
    for name in (*WITH_REFERENCE, "paper-mean"):
        assert np.isnan(get_aggregate(name).values(sheet)).all()
    np.testing.assert_allclose(get_aggregate("mean").values(sheet), [0.5, 0.7 / 3])
    assert domain_or_other("a") == "other"
    assert domain_or_other("GTZAN Genre") == "music"


def test_names() -> None:
    assert get_aggregate("Borda").name == "borda"
    with pytest.raises(
        UnknownNameError, match=r"no aggregate 'mean rank'\. Did you mean 'mean-rank'"
    ):
        get_aggregate("mean rank")
    for aggregate in AGGREGATES:
        assert aggregate.missing in TREATMENTS
        assert aggregate.explanation.endswith(".")
    names = [aggregate.name for aggregate in AGGREGATES]
    assert len(set(names)) == len(names)


def test_ranks_share_the_better_one_and_ignore_rounding() -> None:
    values = np.array([0.3, 0.1 + 0.2, np.nan, 0.5])
    np.testing.assert_array_equal(ranks_of(values, maximise=True), [2, 2, np.nan, 1])
    np.testing.assert_array_equal(ranks_of(values, maximise=False), [1, 1, np.nan, 3])


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((4, 5))
    points[[0, 1, 1], [2, 0, 4]] = np.nan
    weights = np.array([[2, 0, 1, 1, 3], [0, 0, 0, 0, 2]])
    for total in (False, True):
        found = combine(points, weights.astype(float), total=total)
        for k, row in enumerate(weights):
            repeated = np.repeat(points, row, axis=1)
            for i, own in enumerate(repeated):
                if np.isnan(own).all():
                    assert np.isnan(found[k, i])
                    continue
                expected = np.nanmean(own) * (len(own) if total else 1)
                assert found[k, i] == pytest.approx(expected)


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
    sheet, other = sheet_by_hand(scores), sheet_by_hand(scores[np.ix_(models, tasks)])
    for aggregate in AGGREGATES:
        for treatment in TREATMENTS:
            np.testing.assert_allclose(
                aggregate.values(other, treatment),
                aggregate.values(sheet, treatment)[models],
                atol=1e-12,
            )


@settings(max_examples=60, deadline=None)
@given(scores_of_models(), st.integers(0, 4))
def test_only_the_order_on_a_task_counts_for_ranks(scores: Floats, task: int) -> None:
    task = task % scores.shape[1]
    moved, bent = scores.copy(), scores.copy()
    moved[:, task] += 0.25
    bent[:, task] = bent[:, task] ** 3
    # What is imputed must move along.
    full = np.where(np.isnan(scores), 0.5, scores)
    full_moved, full_bent = full.copy(), full.copy()
    full_moved[:, task] += 0.25
    full_bent[:, task] **= 3
    sheet = sheet_by_hand(scores, full)
    for name in BY_RANKS:
        for treatment in TREATMENTS:
            values = get_aggregate(name).values(sheet, treatment)
            for other in (sheet_by_hand(moved, full_moved), sheet_by_hand(bent, full_bent)):
                np.testing.assert_array_equal(get_aggregate(name).values(other, treatment), values)


@settings(max_examples=60, deadline=None)
@given(scores_of_models())
def test_small_tables_by_the_slow_way(scores: Floats) -> None:
    sheet = sheet_by_hand(scores)
    present = ~np.isnan(scores).all(axis=1)
    rows = as_lists(scores[present])
    imputed, normalised = as_lists(sheet.imputed[present]), as_lists(sheet.normalised[present])
    n_tasks = scores.shape[1]
    ends = [[0.8] * n_tasks, [0.2] * n_tasks]
    if not present.all():
        # The slow way knows no models that have nothing imputed.
        sheet = sheet_by_hand(scores[present])
    for aggregate in AGGREGATES:
        for treatment in TREATMENTS:
            found = aggregate.values(sheet, treatment)
            for i, row in enumerate(rows):
                points = [
                    points_of(aggregate.name, i, j, treatment, rows, imputed, normalised, ends)
                    for j in range(n_tasks)
                ]
                enough = 2 * sum(score is not None for score in row) >= n_tasks
                if not enough and treatment != "worst":
                    assert np.isnan(found[i])
                    continue
                own = aggregate.points(sheet, treatment)
                counted = int((~np.isnan(own).all(axis=0)).sum())
                value = value_of(aggregate.name, points, counted)
                assert found[i] == pytest.approx(value, abs=1e-9), (aggregate.name, treatment)


@settings(max_examples=60, deadline=None)
@given(scores_of_models())
def test_all_points_of_borda_are_given(scores: Floats) -> None:
    """On every task, each pair of models that take part shares one point."""
    sheet = sheet_by_hand(scores)
    present = int((~np.isnan(scores).all(axis=1)).sum())
    for j, column in enumerate(scores.T):
        ran = int((~np.isnan(column)).sum())
        points = get_aggregate("borda").function(sheet, "worst")[:, j]
        pairs = ran * (ran - 1) / 2 + ran * (present - ran)
        assert points.sum() == pytest.approx(pairs)


@settings(max_examples=40, deadline=None)
@given(scores_of_models())
def test_values_over_a_part_are_those_of_the_part(scores: Floats) -> None:
    sheet = sheet_by_hand(scores)
    first = sheet.select(sheet.columns[:1])
    assert first.scores.shape == (len(scores), 1)
    np.testing.assert_array_equal(
        get_aggregate("mean").values(first), np.where(first.ran, scores[:, 0], np.nan)
    )
