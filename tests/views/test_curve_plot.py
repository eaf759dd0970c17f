from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_curves import clip_counts, fraction, shots, write_point
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hearbench.errors import HearError, UnknownNameError
from hearbench.results.curve import Curve, build_curve
from hearbench.views.curve_plot import draw_curves


def made_up(folder: Path, *, height: float = 0.5, whole: bool = True, repeats: int = 3) -> Curve:
    for repeat in range(repeats):
        for i, part in enumerate((shots(1), shots(5), fraction(0.1), fraction(0.3))):
            write_point(folder, part.with_repeat(repeat), height + 0.05 * i + 0.01 * repeat)
    if whole:
        write_point(folder, None, height + 0.3)
    return build_curve(folder, clip_counts)


def lines(figure: Figure, panel: int = 0) -> list[tuple[list[float], list[float], str, str]]:
    """Of every line with more than one point: x, y, colour and marker."""
    return [
        (
            np.asarray(line.get_xdata()).tolist(),
            np.asarray(line.get_ydata()).tolist(),
            str(line.get_color()),
            str(line.get_marker()),
        )
        for line in figure.axes[panel].lines
        if np.size(line.get_xdata()) > 1 and line.get_marker() != "None"
    ]


def tick_texts(figure: Figure, panel: int = 0) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].get_xticklabels()]


def test_points_are_where_their_clips_and_scores_are(tmp_path: Path) -> None:
    curve = made_up(tmp_path)
    figure = draw_curves({"a task": {"m": curve}})
    (shares, clips) = lines(figure)
    assert shares[0] == [100, 300]
    assert shares[1] == pytest.approx([0.61, 0.66])
    assert clips[0] == [50, 250]
    assert clips[1] == pytest.approx([0.51, 0.56])
    assert (shares[3], clips[3]) == ("o", "s")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("labelled training clips", "top1_acc")
    assert axes.get_title(loc="left") == "a task"
    # 250 and 300 would be written over each other.
    assert tick_texts(figure) == ["50", "100", "250", "1,000"]


def test_bands_are_the_intervals(tmp_path: Path) -> None:
    curve = made_up(tmp_path)
    figure = draw_curves({"a task": {"m": curve}})
    fills = [c for c in figure.axes[0].collections if type(c).__name__ != "LineCollection"]
    assert len(fills) == 2
    corners = np.concatenate([path.vertices for path in fills[0].get_paths()])
    score = curve.points[0].scores["top1_acc"]
    at_first = sorted({round(float(y), 9) for x, y in corners if x == 100})
    assert score.low is not None
    assert score.high is not None
    assert at_first == [round(score.low, 9), round(score.high, 9)]


def test_one_repeat_has_no_band(tmp_path: Path) -> None:
    figure = draw_curves({"a task": {"m": made_up(tmp_path, repeats=1, whole=False)}})
    assert not figure.axes[0].collections
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["m", "share of the training clips", "clips per label"]


def test_the_score_with_all_clips_is_a_line(tmp_path: Path) -> None:
    figure = draw_curves({"a task": {"m": made_up(tmp_path)}})
    flat = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [float(np.asarray(line.get_ydata())[0]) for line in flat] == pytest.approx([0.8])
    (diamond,) = (line for line in figure.axes[0].lines if line.get_marker() == "D")
    assert np.asarray(diamond.get_xdata()).tolist() == [1000]


def test_models_have_colours_and_tasks_panels(tmp_path: Path) -> None:
    first, second = made_up(tmp_path / "a"), made_up(tmp_path / "b", height=0.3)
    both = {"$m$": first, "_n": second}
    figure = draw_curves({"t1": both, "t2": both, "t3": {"_n": second}})
    assert len(figure.axes) == 3
    colours = [{colour for _, _, colour, _ in lines(figure, panel)} for panel in range(3)]
    assert len(colours[0]) == 2
    assert colours[2] == {lines(figure)[2][2]}
    (legend,) = figure.legends
    # As it is: no formula, and not left out.
    assert [text.get_text().strip() for text in legend.get_texts()][:2] == ["$m$", "_n"]
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()


def test_over_shots_there_are_no_shares(tmp_path: Path) -> None:
    figure = draw_curves({"a task": {"m": made_up(tmp_path)}}, x="shots")
    (clips,) = lines(figure)
    assert clips[0] == [1, 5]
    assert tick_texts(figure) == ["1", "5"]
    assert figure.axes[0].get_xlabel() == "labelled clips per label"
    only = tmp_path / "only"
    write_point(only, fraction(0.1), 0.5)
    with pytest.raises(HearError, match="no points by shots"):
        draw_curves({"a task": {"m": build_curve(only, clip_counts)}}, x="shots")


def test_undefined_scores_leave_a_gap(tmp_path: Path) -> None:
    for number, value in ((1, math.nan), (3, 0.5), (5, 0.6)):
        write_point(tmp_path, shots(number), value)
        write_point(tmp_path, shots(number, 1), value)
    write_point(tmp_path, None, math.nan)
    figure = draw_curves({"a task": {"m": build_curve(tmp_path, clip_counts)}})
    ((_, scores, _, _),) = lines(figure)
    assert np.isnan(scores[0])
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()


def test_what_cant_be_drawn_is_refused(tmp_path: Path) -> None:
    curve = made_up(tmp_path)
    with pytest.raises(UnknownNameError, match=r"'nope'.*top1_acc"):
        draw_curves({"a task": {"m": curve}}, score="nope")
    with pytest.raises(HearError, match="no curves"):
        draw_curves({})
