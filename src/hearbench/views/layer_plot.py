"""A picture of scores by layer: which layers of a network a probe can learn from.

A panel per task, a colour per model. A band is the interval of a score; a diamond marks the layer
that validation chose. Where a weighted sum of the layers was probed as well, its score is a dotted
line, and the learned weights are bars below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hearbench.errors import HearError
from hearbench.results.layers import LayerCurve, LayersOfModel, layers_by_task
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
    from matplotlib.gridspec import SubplotSpec

__all__ = ["draw_layers"]

_PANEL_IN = (6.4, 4.0)
_WEIGHTS_IN = 1.0
_MOST_TICKS = 14
_BARS = 0.5  # width of all models' bars at a layer


def draw_layers(found: Sequence[LayersOfModel], *, score: str | None = None) -> Figure:
    """Draws the scores by layer of one or several models, a panel per task.

    Args:
        score: Name of the score to draw; by default each task's first.

    Raises:
        UnknownNameError: A task hasn't that score.
        HearError: There is nothing to draw.
    """
    if not found:
        raise HearError("There are no results of layers to draw.")
    tasks = layers_by_task(found, score)
    models = list(dict.fromkeys(each.model for each in found))
    colours = model_colours(models)
    columns = min(len(tasks), 3 if len(tasks) > 4 else 2)
    rows = -(-len(tasks) // columns)
    width, height = _PANEL_IN
    height += _WEIGHTS_IN * any(each.weights for each in found)
    legend = 0.6 + 0.2 * -(-len(models) // (2 * columns))
    figure = new_figure(width * columns, height * rows + legend)
    grid = figure.add_gridspec(rows, columns)
    for i, (task, (name, own)) in enumerate(tasks.items()):
        _panel(figure, grid[divmod(i, columns)], (task, name), own, colours)
    _legend(figure, colours, found, columns)
    return figure


def _panel(
    figure: Figure,
    place: SubplotSpec,
    title: tuple[str, str],
    models: Sequence[LayersOfModel],
    colours: Mapping[str, str],
) -> None:
    """Draws one task: scores, and below them weights if there are any.

    Args:
        title: The task and the score.
    """
    task, name = title
    weighted = [each for each in models if each.weights]
    parts = place.subgridspec(2, 1, height_ratios=(4, 1)) if weighted else None
    axes = figure.add_subplot(parts[0] if parts else place)
    for each in models:
        colour = colours[each.model]
        if each.curve:
            _line(axes, each.curve, name, colour)
        if each.weights:
            mean = each.weights.scores[name].mean
            axes.axhline(mean, color=colour, linewidth=1.2, linestyle=":")
    better = "" if models[0].results[0].maximise[name] else " (lower is better)"
    axes.set_ylabel(f"{name}{better}", parse_math=False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    style_axes(axes, task)
    lowest = axes
    if parts:
        lowest = figure.add_subplot(parts[1], sharex=axes)
        _bars(lowest, weighted, colours)
        axes.tick_params(axis="x", labelbottom=False)
    _ticks(lowest, {layer for each in models for layer in each.layers})
    lowest.set_xlabel("layer")


def _line(axes: Axes, curve: LayerCurve, name: str, colour: str) -> None:
    layers = [point.layer for point in curve.points]
    scores = [point.scores[name] for point in curve.points]
    means = [score.mean for score in scores]
    axes.plot(layers, means, color=colour, marker="o", markersize=4, linewidth=1.6)
    best = [(point.layer, point.scores[name].mean) for point in curve.points if point.chosen_by]
    if best:
        axes.plot(
            *zip(*best, strict=True),
            linestyle="",
            marker="D",
            markersize=8,
            markerfacecolor="white",
            markeredgecolor=colour,
            markeredgewidth=1.8,
        )
    draw_band(axes, layers, [(score.low, score.high) for score in scores], colour)


def _bars(axes: Axes, models: Sequence[LayersOfModel], colours: Mapping[str, str]) -> None:
    width = _BARS / len(models)
    for i, each in enumerate(models):
        weights = each.weights.mean if each.weights else {}
        at = [layer - _BARS / 2 + width * (i + 0.5) for layer in weights]
        axes.bar(at, list(weights.values()), 0.9 * width, color=colours[each.model])
    axes.set_ylabel("weight")
    axes.set_ylim(bottom=0)
    style_axes(axes, "")


def _ticks(axes: Axes, layers: Iterable[int]) -> None:
    """Numbers at the layers; with many layers at every second, third and so on."""
    there = sorted(layers)
    step = -(-len(there) // _MOST_TICKS)
    shown = there[::step]
    axes.set_xticks(shown, [str(layer) for layer in shown])
    axes.set_xlim(there[0] - 0.6, there[-1] + 0.6)


def _legend(
    figure: Figure, colours: Mapping[str, str], found: Sequence[LayersOfModel], columns: int
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour, linewidth=2.5) for colour in colours.values()
    ]
    labels = list(colours)
    if any(each.curve for each in found):
        handles.append(
            Line2D([], [], linestyle="", marker="D", markersize=7, color=INK, fillstyle="none")
        )
        labels.append("best by validation")
    if any(each.weights for each in found):
        handles.append(Line2D([], [], color=INK, linestyle=":"))
        labels.append("weighted sum of layers")
    levels = sorted({each.curve.level for each in found if each.curve and each.curve.level})
    if levels:
        handles.append(Patch(facecolor=INK, alpha=BAND_OPACITY))
        labels.append(f"{' or '.join(f'{100 * level:g} %' for level in levels)} interval")
    add_legend(figure, handles, labels, ncols=min(len(handles), 2 * columns))
