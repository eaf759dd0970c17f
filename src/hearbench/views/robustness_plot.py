"""A picture of robustness: scores over the strength of what disturbs the audio.

A row per task and a panel per kind of perturbation, a colour per model. A band is the interval of
what the score loses; the dashed line is the score of clean audio. Perturbations without a strength
share a panel of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hearbench.errors import HearError
from hearbench.results.robustness import (
    FoundRobustness,
    PerturbedPoint,
    Robustness,
    robustness_by_task,
)
from hearbench.views.style import (
    BAND_OPACITY,
    INK,
    add_legend,
    draw_band,
    model_colours,
    new_figure,
    shorten,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_robustness"]

_PANEL_IN = (3.4, 2.9)
_MOST_COLUMNS = 4
_SINGLE = "one strength each"


def draw_robustness(found: Sequence[FoundRobustness], *, score: str | None = None) -> Figure:
    """Draws scores over the strength of perturbations, a panel per task and kind.

    Args:
        score: Name of the score to draw; by default each task's first.

    Raises:
        UnknownNameError: A task hasn't that score.
        HearError: There is nothing to draw.
    """
    if not found:
        raise HearError("There are no records of robustness to draw.")
    colours = model_colours(each.model for each in found)
    panels = [
        (task, name, series, models)
        for task, (name, models) in robustness_by_task(found, score).items()
        for series in _series([each.content for each in models])
    ]
    columns = min(len(panels), _MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    width, height = _PANEL_IN
    legend = 0.6 + 0.2 * -(-(len(colours) + 2) // columns)
    figure = new_figure(max(6.4, width * columns), height * rows + legend)
    grid = figure.add_gridspec(rows, columns)
    for i, (task, name, series, models) in enumerate(panels):
        axes = figure.add_subplot(grid[divmod(i, columns)])
        _panel(axes, series, name, models, colours)
        style_axes(axes, f"{shorten(task)}\n{series}")
    _legend(figure, colours, found, columns)
    return figure


def _series(records: Sequence[Robustness]) -> list[str]:
    """The kinds that have several strengths, and one name for all others together."""
    strengths: dict[str, set[float | None]] = {}
    for point in (point for each in records for point in each.points):
        strengths.setdefault(_called(point), set()).add(point.severity)
    curves = [series for series, own in strengths.items() if len(own - {None}) > 1]
    return curves if len(curves) == len(strengths) else [*curves, _SINGLE]


def _called(point: PerturbedPoint) -> str:
    return f"{point.series}, in training, too" if point.training else point.series


def _panel(
    axes: Axes,
    series: str,
    name: str,
    models: Sequence[FoundRobustness],
    colours: Mapping[str, str],
) -> None:
    records = [each.content for each in models]
    curves = set(_series(records)) - {_SINGLE}
    labels: list[str] = []
    if series == _SINGLE:
        singles = [p for each in records for p in each.points if _called(p) not in curves]
        labels = list(dict.fromkeys(_label(point) for point in singles))
    for number, each in enumerate(models):
        colour, clean = colours[each.model], each.content.clean[name]
        axes.axhline(clean, color=colour, linewidth=1.0, linestyle="--", alpha=0.8)
        if series == _SINGLE:
            points = [p for p in each.content.points if _called(p) not in curves]
            # Side by side, so that none hides another.
            offset = 0.6 * ((number + 0.5) / len(models) - 0.5)
            places = [labels.index(_label(point)) + offset for point in points]
            axes.plot(places, [p.scores[name] for p in points], "o", color=colour, markersize=5)
            axes.vlines(places, *zip(*_ends(points, name, each.content), strict=True), color=colour)
            continue
        points = sorted(
            (p for p in each.content.points if _called(p) == series),
            key=lambda point: point.severity or 0.0,
        )
        if not points:
            continue
        places = [point.severity or 0.0 for point in points]
        scores = [point.scores[name] for point in points]
        axes.plot(places, scores, color=colour, marker="o", markersize=4, linewidth=1.6)
        draw_band(axes, places, _ends(points, name, each.content), colour)
        axes.set_xlabel(points[0].unit or points[0].series, parse_math=False)
    if series == _SINGLE:
        axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", parse_math=False)
        axes.set_xlim(-0.6, len(labels) - 0.4)
    better = "" if records[0].maximise[name] else " (lower is better)"
    axes.set_ylabel(f"{name}{better}", parse_math=False)
    drawn = [score for each in records for score in _scores(each, name)]
    if all(0 <= score <= 1 for score in drawn):
        # An interval of a loss may reach further than any score does.
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(-0.02, bottom), min(1.02, top))
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def _scores(record: Robustness, name: str) -> list[float]:
    return [record.clean[name], *(point.scores[name] for point in record.points)]


def _label(point: PerturbedPoint) -> str:
    return shorten(point.title)


def _ends(
    points: Sequence[PerturbedPoint], name: str, record: Robustness
) -> list[tuple[float, float]]:
    """The interval of each loss, as scores below or above the clean one."""
    sign = -1.0 if record.maximise[name] else 1.0
    clean = record.clean[name]
    return [
        tuple(sorted((clean + sign * loss.low, clean + sign * loss.high)))  # type: ignore[misc]
        for loss in (point.losses[name] for point in points)
    ]


def _legend(
    figure: Figure,
    colours: Mapping[str, str],
    found: Sequence[FoundRobustness],
    columns: int,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour, linewidth=2.5) for colour in colours.values()
    ]
    levels = sorted({each.content.level for each in found})
    shown = " or ".join(f"{100 * level:g} %" for level in levels)
    handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.0))
    handles.append(Patch(facecolor=INK, alpha=BAND_OPACITY))
    labels = [*colours, "clean", f"{shown} interval of the loss"]
    add_legend(figure, handles, labels, ncols=min(len(handles), max(2, columns)))
