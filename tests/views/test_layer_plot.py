from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_layers import THREE_LAYERS, MadeUpLayer, write_layers_result, write_weighted_result
from helpers_leaderboard import DCASE, ESC50
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hearbench.errors import HearError, UnknownNameError
from hearbench.results.layers import LayersOfModel, find_layers
from hearbench.views.layer_plot import draw_layers
from hearbench.views.style import model_colours

FOLDS = [f"fold0{i}" for i in range(5)]


def points(axes: Axes, marker: str) -> dict[str, list[tuple[float, float]]]:
    """The points of lines with a marker, by the line's colour."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in axes.lines:
        if line.get_marker() == marker:
            data = np.column_stack([np.asarray(line.get_xdata()), np.asarray(line.get_ydata())])
            colour = line.get_markeredgecolor() if marker == "D" else line.get_color()
            found[str(colour)] = [(float(x), round(float(y), 6)) for x, y in data]
    return found


def legend(figure: Figure) -> list[str]:
    return [text.get_text().strip() for text in figure.legends[0].get_texts()]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[LayersOfModel]:
    """Two models on a scene task, of one of which there are weights; one on an event task."""
    out = tmp_path_factory.mktemp("out")
    write_layers_result(out, model="$m$")
    write_layers_result(out, {0: MadeUpLayer(3, (0.5,)), 2: MadeUpLayer(2, (0.4,))}, model="_n")
    write_layers_result(out, model="$m$", task=DCASE)
    weighted = out.with_name("weighted")
    write_weighted_result(weighted, [dict.fromkeys(FOLDS, (0.25, 0.7, 0.05))], model="$m$")
    return find_layers([out, weighted])


def test_scores_stand_at_their_layers_and_the_best_is_marked(found: list[LayersOfModel]) -> None:
    figure = draw_layers(found)
    colours = model_colours(["$m$", "_n"])
    esc = next(axes for axes in figure.axes if axes.get_title(loc="left") == ESC50)
    assert points(esc, "o") == {
        colours["$m$"]: [(2, 0.95), (4, 0.8), (7, 0.5)],
        colours["_n"]: [(0, 0.85), (2, 0.9)],
    }
    # By validation, which isn't where the test score is highest.
    assert points(esc, "D") == {colours["$m$"]: [(4, 0.8)], colours["_n"]: [(0, 0.85)]}
    assert esc.get_ylabel() == "top1_acc"
    assert legend(figure) == [
        "$m$",
        "_n",
        "best by validation",
        "weighted sum of layers",
        "95 % interval",
    ]
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()


def test_bands_are_the_intervals(found: list[LayersOfModel]) -> None:
    (mine,) = (each for each in found if each.task == ESC50 and each.model == "$m$")
    axes = draw_layers([mine]).axes[0]
    (band,) = (c for c in axes.collections if type(c).__name__ != "LineCollection")
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    score = mine.points[7].scores["top1_acc"]
    assert sorted({round(float(y), 9) for x, y in corners if x == 7}) == [
        round(float(score.low or 0), 9),
        round(float(score.high or 0), 9),
    ]


def test_weights_are_bars_below(found: list[LayersOfModel]) -> None:
    (mine,) = (each for each in found if each.task == ESC50 and each.model == "$m$")
    above, below = draw_layers([mine]).axes
    # One model's bars stand in the middle of their layers.
    bars: list[Any] = list(below.patches)
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(list(THREE_LAYERS))
    assert [bar.get_height() for bar in bars] == pytest.approx([0.25, 0.7, 0.05])
    (dotted,) = (line for line in above.lines if line.get_linestyle() == ":")
    assert np.asarray(dotted.get_ydata()).tolist() == pytest.approx([0.9, 0.9])
    assert [text.get_text() for text in below.get_xticklabels()] == ["2", "4", "7"]
    assert (below.get_ylabel(), below.get_xlabel()) == ("weight", "layer")


def test_tasks_without_weights_have_one_panel(found: list[LayersOfModel]) -> None:
    figure = draw_layers([each for each in found if each.task == DCASE])
    (axes,) = figure.axes
    assert axes.get_ylabel() == "event_onset_200ms_fms"
    assert legend(figure) == ["$m$", "best by validation", "95 % interval"]
    (error,) = draw_layers(
        [each for each in found if each.task == DCASE], score="segment_1s_er"
    ).axes
    assert error.get_ylabel() == "segment_1s_er (lower is better)"


def test_many_layers_have_fewer_numbers(tmp_path: Path) -> None:
    weights = tuple(1 / 40 for _ in range(40))
    write_weighted_result(tmp_path, [dict.fromkeys(FOLDS, weights)], numbers=range(40))
    below = draw_layers(find_layers([tmp_path])).axes[1]
    assert [text.get_text() for text in below.get_xticklabels()] == [
        str(layer) for layer in range(0, 40, 3)
    ]
    assert len(below.patches) == 40


def test_what_cant_be_drawn_is_refused(found: list[LayersOfModel]) -> None:
    with pytest.raises(UnknownNameError, match=r"'nope'; it has"):
        draw_layers(found, score="nope")
    with pytest.raises(HearError, match="no results of layers"):
        draw_layers([])
