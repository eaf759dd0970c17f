"""The figure of a clip's events, drawn with matplotlib's objects and no state of pyplot."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError
from hearbench.views.event_plot import EventPlot
from hearbench.views.event_status import ComparedEvent, Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "draw", "write_png", "write_svg"]

COLOURS: dict[Status, str] = {"matched": "#0072B2", "missed": "#E69F00", "spurious": "#CC79A7"}
"""Told apart by colour-blind people as well (Okabe and Ito, "Color Universal Design", 2008)."""

# Fill, hatch and marker of each status: what tells them apart without colour.
_FILLS: dict[Status, str] = {
    "matched": COLOURS["matched"],
    "missed": "white",
    "spurious": COLOURS["spurious"],
}
_HATCHES: dict[Status, str] = {"matched": "", "missed": "////", "spurious": "xxxx"}
_EDGES: dict[Status, str] = {"matched": "#003B5C", "missed": "#E69F00", "spurious": "#5E2146"}
_MARKS: dict[Status, str] = {"matched": "#003B5C", "missed": "#8F5D00", "spurious": "#5E2146"}
_MARKERS: dict[Status, str] = {"matched": "", "missed": "v", "spurious": "X"}
_MEANINGS: dict[Status, str] = {
    "matched": "matched",
    "missed": "missed (reference only)",
    "spurious": "spurious (prediction only)",
}

_WIDTH_IN = 12.0
_DPI = 120
# Above the lanes and below them: title, axis and legend.
_FURNITURE_IN = 2.1
_MOST_COLUMNS = 1600
# Halves of a lane, from its middle: where boxes begin and end.
_BOX = (0.05, 0.38)
# The least that a box is wide, as a share of the axis; shorter events would not be seen.
_LEAST_WIDTH = 0.0015


def draw(plot: EventPlot) -> Figure:
    """Draws the events of a clip.

    Raises:
        HearError: matplotlib isn't installed.
    """
    figure_class = _figure_class()
    n_lanes = len(plot.lanes)
    lane_in = min(0.62, max(0.28, 6.0 / max(n_lanes, 1)))
    figure = figure_class(
        figsize=(_WIDTH_IN, _FURNITURE_IN + max(n_lanes, 1) * lane_in),
        dpi=_DPI,
        layout="constrained",
        facecolor="white",
    )
    axes = figure.add_subplot()
    _shade(figure, axes, plot)
    _events(axes, plot)
    _frame(axes, plot)
    # Names are the user's: a dollar sign in them begins no formula.
    figure.suptitle(plot.clip, fontsize=13, fontweight="bold", x=0.01, ha="left", parse_math=False)
    axes.set_title(plot.score_line(), fontsize=10, loc="left", color="#333333", parse_math=False)
    _legend(figure, plot)
    return figure


def write_png(figure: Figure, file: BinaryIO) -> None:
    """Writes a figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(file, format="png", dpi=_DPI)


def write_svg(figure: Figure) -> str:
    """A figure as an ``<svg>`` element for an HTML page: no prologue, no metadata, no links."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    without = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(figure)
    figure.savefig(text, format="svg", metadata=without)
    return text.getvalue()


def _figure_class() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HearError(
            "Drawing events needs matplotlib, which isn't installed. Install it with "
            "`pip install 'hearbench[plot]'`."
        ) from error
    return Figure


def _shade(figure: Figure, axes: Axes, plot: EventPlot) -> None:
    """Probabilities as shades of grey, dark enough to see and light enough to draw on."""
    from matplotlib.colors import LinearSegmentedColormap

    times_s = plot.timestamps_ms / 1000.0
    # A single frame is of no width.
    if len(times_s) < 2 or not plot.lanes or not np.isfinite(plot.probabilities).any():
        return
    half_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1) / 2
    # The lanes' image has its first row at the top.
    greys = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#8F8F8F"])
    image = axes.imshow(
        _columns(plot.probabilities).T,
        cmap=greys,
        vmin=0.0,
        vmax=1.0,
        aspect="auto",
        interpolation="nearest",
        extent=(times_s[0] - half_s, times_s[-1] + half_s, len(plot.lanes) - 0.5, -0.5),
        zorder=0,
    )
    bar = figure.colorbar(image, ax=axes, pad=0.01, fraction=0.025, aspect=25)
    bar.set_label("probability", fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _columns(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """No more columns than can be seen, each with the highest probability of its frames."""
    if len(probabilities) <= _MOST_COLUMNS:
        return probabilities
    starts = np.linspace(0, len(probabilities), _MOST_COLUMNS, endpoint=False).astype(np.intp)
    highest: npt.NDArray[np.float32] = np.maximum.reduceat(probabilities, starts, axis=0)
    return highest


def _events(axes: Axes, plot: EventPlot) -> None:
    from matplotlib.collections import LineCollection, PolyCollection

    lane_of = {label: lane for lane, label in enumerate(plot.lanes)}
    least_s = _LEAST_WIDTH * (plot.end_s - plot.start_s)
    # Marks must neither hide short boxes of a long clip nor get lost beside few.
    size = 60 if len(plot.events) <= 30 and len(plot.lanes) <= 12 else 22
    for status in COLOURS:
        events = [event for event in plot.events if event.status == status]
        if not events:
            continue
        boxes = [
            _box(times, lane_of[event.label], side, least_s)
            for event in events
            for times, side in ((event.reference_ms, -1), (event.estimate_ms, 1))
            if times is not None
        ]
        axes.add_collection(
            PolyCollection(
                boxes,
                facecolors=_FILLS[status],
                edgecolors=_EDGES[status],
                linewidths=0.8,
                hatch=_HATCHES[status] or None,
                zorder=2,
            ),
            autolim=False,
        )
        if status == "matched":
            ties = [_tie(event, lane_of[event.label]) for event in events]
            axes.add_collection(
                LineCollection(ties, colors=_EDGES[status], linewidths=1.2, zorder=3),
                autolim=False,
            )
        else:
            side = -1 if status == "missed" else 1
            axes.scatter(
                [event.start_ms / 1000.0 for event in events],
                [lane_of[event.label] + side * sum(_BOX) / 2 for event in events],
                marker=_MARKERS[status],
                s=size,
                color=_MARKS[status],
                edgecolors="white",
                linewidths=0.7,
                zorder=4,
            )


def _box(
    times: tuple[float, float], lane: int, side: int, least_s: float
) -> list[tuple[float, float]]:
    start, end = times[0] / 1000.0, max(times[1] / 1000.0, times[0] / 1000.0 + least_s)
    near, far = lane + side * _BOX[0], lane + side * _BOX[1]
    return [(start, near), (start, far), (end, far), (end, near)]


def _tie(event: ComparedEvent, lane: int) -> list[tuple[float, float]]:
    """From the reference's onset to the prediction's, across the lane's middle."""
    onsets = [times[0] / 1000.0 for times in (event.reference_ms, event.estimate_ms) if times]
    return [(onsets[0], lane - _BOX[0]), (onsets[-1], lane + _BOX[0])]


def _frame(axes: Axes, plot: EventPlot) -> None:
    n_lanes = len(plot.lanes)
    axes.set_xlim(plot.start_s, plot.end_s)
    axes.set_ylim(max(n_lanes, 1) - 0.5, -0.5)
    axes.set_xlabel("time (s)")
    axes.set_yticks(
        list(range(n_lanes)),
        [_short(plot.labels[label]) for label in plot.lanes],
        parse_math=False,
    )
    axes.tick_params(axis="y", length=0, labelsize=9 if n_lanes <= 24 else 8)
    for lane in range(n_lanes):
        if lane:
            axes.axhline(lane - 0.5, color="#666666", linewidth=0.8, zorder=1)
        axes.axhline(lane, color="#BBBBBB", linewidth=0.5, linestyle=(0, (1, 2)), zorder=1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(label: str, most: int = 28) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _legend(figure: Figure, plot: EventPlot) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    texts: list[str] = []
    for status, count in plot.counts.items():
        patch = Patch(
            facecolor=_FILLS[status],
            edgecolor=_EDGES[status],
            hatch=_HATCHES[status] or None,
        )
        if _MARKERS[status]:
            mark = Line2D(
                [],
                [],
                linestyle="",
                marker=_MARKERS[status],
                markersize=8,
                color=_MARKS[status],
                markeredgecolor="white",
            )
            handles.append((patch, mark))
        else:
            handles.append(patch)
        texts.append(f"{_MEANINGS[status]}: {count}")
    figure.legend(
        handles,
        texts,
        loc="outside lower left",
        ncols=len(handles),
        frameon=False,
        fontsize=10,
        handlelength=3.2,
        handleheight=1.2,
        title=_caption(plot.notes),
        title_fontsize=9,
        alignment="left",
    )


def _caption(notes: Sequence[str]) -> str:
    halves = "In each lane: reference above, prediction below; shades are probabilities."
    return "\n".join([halves, *notes])
