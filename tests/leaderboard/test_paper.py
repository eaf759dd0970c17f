from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hearbench.errors import ResultError
from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.paper import (
    MODEL_PERCENTILES,
    TASK_PERCENTILES,
    Normalised,
    correlation_order,
    extremes,
    impute,
    imputed,
    model_correlations,
    normalise,
    paper_figures,
    projection,
    task_correlations,
    tour_length,
)
from hearbench.leaderboard.table import COLUMNS, Row, Table


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return paper_figures(official_table())


@pytest.fixture(scope="module")
def measured() -> Normalised:
    return normalise(official_table())


def test_the_papers_numbers(figures: dict[str, Any], shared: Path) -> None:
    golden = json.loads((shared / "golden/leaderboard/paper_figures.json").read_text())
    for key in ("models", "tasks", "order"):
        assert figures[key] == golden[key]
    for key in (
        "normalised", "mean_normalised_with_imputed", "task_correlation", "model_correlation",
    ):  # fmt: skip
        np.testing.assert_allclose(
            np.array(figures[key], dtype=float), np.array(golden[key], dtype=float),
            rtol=0, atol=1e-6,
        )  # fmt: skip


def test_some_of_the_papers_numbers(measured: Normalised) -> None:
    """A few of them, for where the golden file isn't."""
    model, task = measured.models.index, measured.tasks.index
    assert measured.ordered_models[:3] == (
        "GURA Fuse Cat H+w+C", "RedRice ced_base", "GURA Fuse Cat H+w+C (time)",
    )  # fmt: skip
    assert measured.ordered_models[-1] == "AMAAI Lab wav2vec2+DDSP"
    for name, column, value in (
        ("CREPE", "Beehive", 0.01095467),
        ("AMAAI wav2vec2 music+speech", "ESC-50", -0.633390514),
        ("Sony UDONS ViT", "NSynth Pitch 50h", 0.822161639),
    ):
        assert measured.normalised[model(name), task(column)] == pytest.approx(value, abs=1e-6)
    assert measured.mean_with_imputed[model("CREPE")] == pytest.approx(-0.362229991, abs=1e-6)
    tasks, models = task_correlations(measured), model_correlations(measured)
    assert tasks[task("Beehive"), task("Gunshot")] == pytest.approx(0.248826458, abs=1e-6)
    assert models[0, model("CREPE")] == pytest.approx(0.122756873, abs=1e-6)


def test_missing_scores_stay_missing(measured: Normalised) -> None:
    missing = [[score is None for score in row.scores] for row in official_table()]
    np.testing.assert_array_equal(np.isnan(measured.normalised), missing)
    assert not np.isnan(measured.with_imputed).any()
    assert np.abs(measured.with_imputed).max() == 1


def test_correlations_are_those_of_pandas(measured: Normalised) -> None:
    frame = pd.DataFrame(measured.normalised)
    np.testing.assert_allclose(task_correlations(measured), frame.corr(), atol=1e-12)
    np.testing.assert_allclose(model_correlations(measured), frame.T.corr(), atol=1e-12)


def test_the_extremes_are_the_papers_shares(measured: Normalised) -> None:
    for matrix, percentiles, share in (
        (task_correlations(measured), TASK_PERCENTILES, 0.4),
        (model_correlations(measured), MODEL_PERCENTILES, 0.3),
    ):
        shown = extremes(matrix, percentiles)
        n = len(matrix)
        pairs = [shown[i, j] for i, j in itertools.combinations(range(n), 2)]
        assert sum(pairs) == pytest.approx(share * len(pairs), abs=2)
        np.testing.assert_array_equal(shown, shown.T)
        assert not shown.diagonal().any()
        # None that is shown lies between two that aren't.
        off = ~np.eye(n, dtype=bool)
        hidden = matrix[off & ~shown]
        assert not ((matrix[shown] >= hidden.min()) & (matrix[shown] <= hidden.max())).any()


def test_nothing_is_extreme_without_correlations() -> None:
    assert not extremes(np.full((3, 3), np.nan), (20, 80)).any()


def test_the_order_is_a_shorter_tour_than_any_exchange(measured: Normalised) -> None:
    for matrix in (task_correlations(measured), model_correlations(measured)):
        order = correlation_order(matrix)
        distances = (1 - matrix) / 2
        length = tour_length(distances, order)
        assert sorted(order) == list(range(len(matrix)))
        for i, j in itertools.combinations(range(len(order)), 2):
            other = [*order[:i], *order[i : j + 1][::-1], *order[j + 1 :]]
            assert tour_length(distances, other) >= length - 1e-6


def test_the_maps_are_the_same_every_time(measured: Normalised) -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    tasks, models = projection(measured, "tasks"), projection(measured, "models")
    assert tasks.shape == (19, 2)
    assert models.shape == (34, 2)
    np.testing.assert_array_equal(projection(measured, "models"), models)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002
    # Models with the same scores but for one lie nearer together than to nearly all others.
    at = measured.models.index
    near = np.linalg.norm(models - models[at("CP-JKU PaSST 2lvl")], axis=1)
    assert near[at("CP-JKU PaSST 2lvl+mel")] <= np.sort(near)[3]


def test_the_figures_have_all(figures: dict[str, Any]) -> None:
    assert sorted(figures["task_tour"]) == sorted(COLUMNS)
    assert sorted(figures["model_tour"]) == sorted(official_table().models)
    assert np.shape(figures["model_correlation_shown"]) == (34, 34)
    assert np.shape(figures["task_tsne"]) == (19, 2)


def small(n: int, *values: float | None) -> Table:
    rows = []
    for i in range(n):
        own = tuple(None if v is None else (v + i) / (n + 2) for v in values)
        rows.append(Row(f"m{i}", "", "", own))
    return Table(tuple(f"t{i}" for i in range(len(values))), tuple(rows))


def test_odd_tables() -> None:
    # Nobody ran the second task.
    found = normalise(small(4, 0.0, None, 1.0))
    assert np.isnan(found.normalised[:, 1]).all()
    np.testing.assert_array_equal(found.with_imputed[:, 1], 0)
    # Four equal steps: their standard deviation is sqrt(5) / 2 of a step.
    np.testing.assert_allclose(found.with_imputed[1:3, 0], [-1 / 5**0.5, 1 / 5**0.5], atol=1e-9)
    assert np.isnan(task_correlations(found)[0, 1])
    assert task_correlations(found)[0, 2] == pytest.approx(1)
    # All are equal.
    same = Table(("t",), tuple(Row(f"m{i}", "", "", (0.5,)) for i in range(5)))
    np.testing.assert_array_equal(normalise(same).with_imputed, 0)
    assert normalise(same).order == (0, 1, 2, 3, 4)


def test_what_comes_with_the_package_is_what_scikit_learn_imputes() -> None:
    scores = [[np.nan if x is None else x for x in row.scores] for row in official_table()]
    raw = np.array(scores, dtype=np.float64)
    assert np.isnan(raw).any()
    assert imputed(raw) == pytest.approx(impute(raw), abs=1e-9)
    # Another table isn't mistaken for it.
    raw[0, 0] += 0.01
    assert imputed(raw) == pytest.approx(impute(raw), abs=1e-12)


def test_too_few_models() -> None:
    with pytest.raises(ResultError, match="2 models"):
        normalise(small(2, 0.0, 1.0))
    with pytest.raises(ResultError, match="A map of 3 models"):
        projection(normalise(small(3, 0.0, 1.0, 0.5)), "models")
