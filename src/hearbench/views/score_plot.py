"""Scores of models on tasks with their intervals, as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_scores"]

# Told apart by colour-blind people as well (Okabe and Ito, "Color Universal Design", 2008).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_ROW_IN = 0.42
_MODEL_IN = 0.16

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
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
            return buffer.getvalue()

    height = 1.0 + len(rows) * (_ROW_IN + _MODEL_IN * len(models))
    figure = Shown(figsize=(8, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    step = 0.7 / max(1, len(models))
    for m, model in enumerate(models):
        colour = _COLOURS[m % len(_COLOURS)]
        marker = "osD^v"[(m // len(_COLOURS)) % 5]
        label: str | None = model
        for row, (_, points) in enumerate(rows):
            point = points[m]
            if point is None:
                continue
            mean, low, high = point
            y = row - 0.35 + step * (m + 0.5)
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=colour, linewidth=1.5)
            axes.plot([mean], [y], marker, color=colour, label=label)
            label = None  # one entry of the legend per model
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("score, with its 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    if len(models) > 1:
        figure.legend(loc="outside upper center", ncols=min(4, len(models)), frameon=False)
    elif models:
        axes.set_title(models[0])
    return figure
