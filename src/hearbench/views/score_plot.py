"""Scores of models on tasks with their intervals, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hearbench.views.style import PALETTE, add_legend, model_colours, new_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_scores"]

_ROW_IN = 0.42
_MODEL_IN = 0.16
_MARKERS = "osD^v"

Point = tuple[float, float | None, float | None]


def draw_scores(
    models: Sequence[str], rows: Sequence[tuple[str, Sequence[Point | None]]]
) -> Figure:
    """Draws a row per task, and in it a point with an interval per model.

    Args:
        models: Names of the models, for the legend.
        rows: Per task its label, and per model a mean with the ends of its interval, which are
            None where they are unknown; None where the model has no result.

    Returns:
        A figure, which notebooks show.
    """
    from matplotlib.lines import Line2D

    figure = new_figure(8, 1.0 + len(rows) * (_ROW_IN + _MODEL_IN * len(models)))
    axes = figure.add_subplot()
    step = 0.7 / max(1, len(models))
    handles = {}
    # Colours repeat, and tell models apart together with markers.
    for rank, (model, colour) in enumerate(model_colours(models).items()):
        marker = _MARKERS[rank // len(PALETTE) % len(_MARKERS)]
        handles[model] = Line2D([], [], linestyle="", color=colour, marker=marker)
        m = models.index(model)
        for row, (_, points) in enumerate(rows):
            point = points[m]
            if point is None:
                continue
            mean, low, high = point
            y = row - 0.35 + step * (m + 0.5)
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot([mean], [y], color=colour, marker=marker)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("score, with its 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    style_axes(axes, models[0] if len(models) == 1 else "")
    if len(models) > 1:
        shown = [handles[model] for model in models]
        columns = min(4, len(models))
        add_legend(figure, shown, models, loc="outside upper center", ncols=columns)
    return figure
