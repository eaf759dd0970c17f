"""A picture of label-efficiency curves: scores by labelled training clips.

A panel per task, a colour per model; shares of the clips on a solid line with discs, clips per
label on a dashed one with squares. A band is the interval of the mean over repeats. The score
with all training clips is a dotted line, with a diamond at their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hearbench.errors import HearError, UnknownNameError
from hearbench.results.curve import Curve, CurvePoint
from hearbench.views.style import (
    BAND_OPACITY,
    INK,
    add_legend,
    draw_band,
    model_colours,
    new_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["XAxis", "draw_curves"]

XAxis = Literal["clips", "shots"]

_PANEL_IN = (6.4, 4.2)
_STYLES: Mapping[str, tuple[Any, str]] = {"fraction": ("-", "o"), "shots": ((0, (5, 2)), "s")}
_SERIES = {"fraction": "share of the training clips", "shots": "clips per label"}
# Ticks whose numbers of clips are closer than by this factor would be written over each other.
_APART = 1.35


def draw_curves(
    curves: Mapping[str, Mapping[str, Curve]], *, score: str | None = None, x: XAxis = "clips"
) -> Figure:
    """Draws the curves of one or several models, a panel per task.

    Args:
        curves: Curves by task and, in it, by the model's name in the legend.
        score: Name of the score to draw; by default each task's primary one.
        x: What the x axis counts: labelled training clips, or ``shots``, clips per label, which
            leaves out shares of the clips.

    Raises:
        UnknownNameError: A task hasn't that score.
        HearError: There is nothing to draw.
    """
    if not curves or not all(curves.values()):
        raise HearError("There are no curves to draw.")
    models = list(dict.fromkeys(model for by_model in curves.values() for model in by_model))
    colours = model_colours(models)
    columns = min(len(curves), 3 if len(curves) > 4 else 2)
    rows = -(-len(curves) // columns)
    width, height = _PANEL_IN
    legend = 0.8 + 0.2 * -(-len(models) // (3 * columns))
    figure = new_figure(width * columns, height * rows + legend)
    grid = figure.add_gridspec(rows, columns)
    series: set[str] = set()
    for i, (task, by_model) in enumerate(curves.items()):
        axes = figure.add_subplot(grid[divmod(i, columns)])
        series |= _panel(axes, task, by_model, colours, score, x)
    _legend(figure, colours, series, curves, columns)
    return figure


def _panel(
    axes: Axes,
    task: str,
    by_model: Mapping[str, Curve],
    colours: Mapping[str, str],
    score: str | None,
    x: XAxis,
) -> set[str]:
    """Draws one task, and says which series it has."""
    name = score or next(iter(by_model.values())).primary_score
    ticks: set[float] = set()
    drawn: set[str] = set()
    for model, curve in by_model.items():
        if name not in curve.maximise:
            raise UnknownNameError(
                f"{task} has no score {name!r}; it has {', '.join(curve.maximise)}."
            )
        for series, points in _by_series(curve, x).items():
            _line(axes, points, name, series, colours[model], x)
            drawn.add(series)
            ticks.update(_place(point, x) for point in points)
        whole = curve.all_clips
        if whole is None or math.isnan(whole.scores[name]):
            continue
        axes.axhline(whole.scores[name], color=colours[model], linewidth=1.0, linestyle=":")
        if x == "clips":
            axes.plot(whole.n_clips, whole.scores[name], "D", color=colours[model], markersize=6)
            ticks.add(whole.n_clips)
    if not drawn:
        raise HearError(f"{task} has no points by shots; draw them by clips.")
    axes.set_xscale("log")
    _ticks(axes, ticks)
    better = "" if next(iter(by_model.values())).maximise[name] else " (lower is better)"
    axes.set_ylabel(f"{name}{better}", parse_math=False)
    axes.set_xlabel("labelled training clips" if x == "clips" else "labelled clips per label")
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    style_axes(axes, task)
    return drawn


def _by_series(curve: Curve, x: XAxis) -> dict[str, list[CurvePoint]]:
    found: dict[str, list[CurvePoint]] = {}
    for point in curve.points:
        if x == "clips" or point.series == "shots":
            found.setdefault(point.series, []).append(point)
    return {series: sorted(points, key=lambda p: _place(p, x)) for series, points in found.items()}


def _place(point: CurvePoint, x: XAxis) -> float:
    return point.n_clips if x == "clips" else float(point.part.shots or 0)


def _line(
    axes: Axes, points: Sequence[CurvePoint], name: str, series: str, colour: str, x: XAxis
) -> None:
    style, marker = _STYLES[series]
    places = [_place(point, x) for point in points]
    scores = [point.scores[name] for point in points]
    axes.plot(
        places,
        [score.mean for score in scores],
        color=colour,
        linestyle=style,
        marker=marker,
        markersize=5,
        linewidth=1.6,
    )
    draw_band(axes, places, [(score.low, score.high) for score in scores], colour)


def _ticks(axes: Axes, ticks: Iterable[float]) -> None:
    """Numbers at the points, as far as they have room; the least and the largest always do."""
    from matplotlib.ticker import NullFormatter, NullLocator

    places = sorted(ticks)
    shown = [places[-1]]
    for place in places[:-1]:
        before = [other for other in shown if other < place]
        room = all(place / other >= _APART for other in before) and places[-1] / place >= _APART
        if room:
            shown.append(place)
    axes.set_xticks(sorted(shown), [f"{place:,.0f}" for place in sorted(shown)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(places[0] / 1.15, places[-1] * 1.15)


def _legend(
    figure: Figure,
    colours: Mapping[str, str],
    series: set[str],
    curves: Mapping[str, Mapping[str, Curve]],
    columns: int,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour, linewidth=2.5) for colour in colours.values()
    ]
    labels = list(colours)
    for name in ("fraction", "shots"):
        if name in series:
            style, marker = _STYLES[name]
            handles.append(Line2D([], [], color=INK, linestyle=style, marker=marker, markersize=5))
            labels.append(_SERIES[name])
    everything = [curve for by_model in curves.values() for curve in by_model.values()]
    levels = sorted({curve.level for curve in everything})
    if any(
        score.low is not None for c in everything for p in c.points for score in p.scores.values()
    ):
        handles.append(Patch(facecolor=INK, alpha=BAND_OPACITY))
        shown = " or ".join(f"{100 * level:g} %" for level in levels)
        labels.append(f"{shown} interval of the mean over repeats")
    if any(curve.all_clips for curve in everything):
        handles.append(Line2D([], [], color=INK, linestyle=":", marker="D", markersize=5))
        labels.append("all training clips")
    add_legend(figure, handles, labels, ncols=min(len(handles), 2 * columns), handlelength=3.2)
