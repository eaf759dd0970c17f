"""The figures: the paper's numbers, in plotly's own terms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_layers import write_layers_result, write_weighted_result

from hearbench.leaderboard.official import official_table
from hearbench.leaderboard.site import PaperFigures, figures_of
from hearbench.leaderboard.site.plots import (
    correlation_plot,
    heat_map,
    layer_plot,
    scatter,
    text_for_plotly,
)
from hearbench.leaderboard.table import Row, Table
from hearbench.results.layers import find_layers

graph_objects = pytest.importorskip("plotly.graph_objects")


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    text = (shared / "golden/leaderboard/paper_figures.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def array(values: list[list[float | None]]) -> Any:
    return np.array([[np.nan if v is None else v for v in row] for row in values])


def test_heat_map(figures: PaperFigures, golden: dict[str, Any]) -> None:
    plot = heat_map(figures)
    trace, layout = plot["data"][0], plot["layout"]
    assert layout["yaxis"]["ticktext"] == golden["order"]
    assert layout["xaxis"]["ticktext"] == golden["tasks"]
    rows = [golden["models"].index(name) for name in golden["order"]]
    expected = array(golden["normalised"])[rows]
    np.testing.assert_allclose(array(trace["z"]), expected, atol=2e-6, equal_nan=True)
    # Numbers are raw, and gaps blank.
    best = official_table().rows[rows[0]]
    assert trace["text"][0][4] == f"{best.scores[4]:.2f}" == "0.73"
    assert trace["text"][0][0] == ""
    assert trace["z"][0][0] is None


@pytest.mark.parametrize(
    ("which", "names", "share"), [("task", "tasks", 0.4), ("model", "models", 0.3)]
)
def test_correlations(
    figures: PaperFigures, golden: dict[str, Any], which: str, names: str, share: float
) -> None:
    correlations = figures.by_task if which == "task" else figures.by_model
    plot = correlation_plot(correlations)
    order = [golden[names].index(name) for name in plot["layout"]["xaxis"]["ticktext"]]
    assert sorted(order) == list(range(len(golden[names])))
    expected = array(golden[f"{which}_correlation"])[np.ix_(order, order)]
    drawn = array(plot["data"][0]["z"])
    there = ~np.isnan(drawn)
    np.testing.assert_allclose(drawn[there], expected[there], atol=2e-6)
    assert not there.diagonal().any()
    n = len(order)
    assert there.sum() / (n * (n - 1)) == pytest.approx(share, abs=0.01)
    # What isn't drawn lies between what is.
    off = ~np.eye(n, dtype=bool)
    assert (
        expected[there & (expected < np.median(expected[off]))].max() < expected[off & ~there].min()
    )


def test_plotly_takes_the_figures(figures: PaperFigures) -> None:
    for plot in (
        heat_map(figures),
        correlation_plot(figures.by_task),
        correlation_plot(figures.by_model),
        scatter(figures.columns, figures.task_map, ["speech"] * 9 + ["music"] * 10),
    ):
        graph_objects.Figure(plot)  # raises on anything that it doesn't know
        json.dumps(plot, allow_nan=False)


def test_a_map_has_every_point_once(figures: PaperFigures) -> None:
    groups = ["a", "b"] * 17
    plot = scatter(figures.models, figures.model_map, groups)
    points = {
        (name, x, y)
        for trace in plot["data"]
        for name, x, y in zip(trace["text"], trace["x"], trace["y"], strict=True)
    }
    assert [trace["name"] for trace in plot["data"]] == ["a", "b"]
    expected = {
        (name, float(f"{x:.6g}"), float(f"{y:.6g}"))
        for name, (x, y) in zip(figures.models, figures.model_map, strict=True)
    }
    assert points == expected


def test_names_are_no_markup() -> None:
    assert text_for_plotly("<b>&amp;$x$</b>") == "&lt;b&gt;&amp;amp;&#36;x&#36;&lt;/b&gt;"


def test_models_with_few_scores_are_left_out(figures: PaperFigures) -> None:
    table = official_table()
    few = Row("few", "", "", (0.5, 0.5, 0.5, 0.5, *[None] * 15))
    found = figures_of(table.with_row(few))
    assert found is not None
    assert found.left_out == ("few",)
    assert found.models == figures.models
    np.testing.assert_array_equal(found.normalised, figures.normalised)


def test_too_small_a_table_has_no_figures() -> None:
    table = official_table()
    assert figures_of(replace(table, rows=table.rows[:3])) is None
    assert figures_of(Table(("a",), (Row("m", "", "", (0.1,)),))) is None


def test_layers(tmp_path: Path) -> None:
    write_layers_result(tmp_path / "a", seeds=(42, 43))
    weights = {f"fold0{i}": (0.2, 0.7, 0.1) for i in range(5)}
    write_weighted_result(tmp_path / "b", [weights])
    (own,) = find_layers([tmp_path])
    plot = layer_plot(own)
    low, high, line, best, across, bars = graph_objects.Figure(plot).data
    # Of 20 clips 1, 4 and 10 are wrong, and one more with the second seed.
    assert line.x == (2, 4, 7)
    assert line.y == pytest.approx((0.925, 0.775, 0.475))
    assert (best.x, best.y) == ((4, 7), line.y[1:])
    ends = [own.points[layer].scores["top1_acc"] for layer in line.x]
    assert low.y == tuple(score.low for score in ends)
    assert high.y == tuple(score.high for score in ends)
    assert (high.fill, high.name) == ("tonexty", "95 % interval")
    assert across.y == pytest.approx((0.9, 0.9))
    assert (bars.x, bars.y, bars.yaxis) == ((2, 4, 7), (0.2, 0.7, 0.1), "y2")
    (alone,) = layer_plot(find_layers([tmp_path / "b"])[0])["data"]
    assert (alone["type"], alone["y"]) == ("bar", [0.2, 0.7, 0.1])


def test_layers_without_a_score_leave_a_gap(tmp_path: Path) -> None:
    folder = write_layers_result(tmp_path)
    (folder / "layers/04/uncertainty.json").unlink()
    file = folder / "layers/04/result.json"
    content = json.loads(file.read_text())
    content["scores"]["top1_acc"]["mean"] = None
    file.write_text(json.dumps(content))
    plot = layer_plot(find_layers([tmp_path])[0])
    low, _, line, *_ = plot["data"]
    assert (low["x"], line["x"]) == ([2, 7], [2, 4, 7])
    assert line["y"][1] is None
    json.dumps(plot, allow_nan=False)
