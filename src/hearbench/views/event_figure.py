"""A picture of a clip's events over time: reference, prediction, and frame probabilities."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hearbench.views.events import ClipComparison, ComparedEvent, Status
from hearbench.views.style import (
    BLUE,
    ORANGE,
    PURPLE,
    add_legend,
    name_lanes,
    new_figure,
    style_axes,
    title_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "EventPlot", "draw_events"]

COLOURS: dict[Status, str] = {"matched": BLUE, "missed": ORANGE, "spurious": PURPLE}
"""Colour of each status."""

# Fill, hatch and marker of each status: what tells them apart without colour.
_FILLS: dict[Status, str] = {
    "matched": COLOURS["matched"],
    "missed": "white",
    "spurious": COLOURS["spurious"],
}
_HATCHES: dict[Status, str] = {"matched": "", "missed": "////", "spurious": "xxxx"}
_EDGES: dict[Status, str] = {"matched": "#003B5C", "missed": ORANGE, "spurious": "#5E2146"}
_MARKS: dict[Status, str] = {"matched": "#003B5C", "missed": "#8F5D00", "spurious": "#5E2146"}
_MARKERS: dict[Status, str] = {"matched": "", "missed": "v", "spurious": "X"}
_MEANINGS: dict[Status, str] = {
    "matched": "matched",
    "missed": "missed (reference only)",
    "spurious": "spurious (prediction only)",
}

_WIDTH_IN = 12.0
# Above the lanes and below them: title, axis and legend.
_FURNITURE_IN = 2.1
_MOST_COLUMNS = 1600
# Halves of a lane, from its middle: where boxes begin and end.
_BOX = (0.05, 0.38)
# The least that a box is wide, as a share of the axis; shorter events would not be seen.
_LEAST_WIDTH = 0.0015


@dataclass(frozen=True)
class EventPlot:
    """The drawn part of a clip: labels, events and frame probabilities.

    Attributes:
        clip: Name of the clip.
        task: Name of the task.
        model: Name of the model.
        labels: The vocabulary.
        comparison: All of the clip's events and its scores.
        start_s: Begin of the time axis.
        end_s: End of the time axis.
        lanes: Positions of the drawn labels in the vocabulary, from the top.
        events: The events that are drawn, in the order of their starts.
        timestamps_ms: (n_frames,) of the frames that are drawn.
        probabilities: (n_frames, n_lanes) of the drawn frames and labels.
        notes: Sentences on what isn't drawn, and why.
    """

    clip: str
    task: str
    model: str
    labels: tuple[str, ...]
    comparison: ClipComparison
    start_s: float
    end_s: float
    lanes: tuple[int, ...]
    events: tuple[ComparedEvent, ...]
    timestamps_ms: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float32]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[Status, int]:
        """Numbers of pairs, missed and spurious events that are drawn."""
        found = Counter(event.status for event in self.events)
        return {status: found[status] for status in COLOURS}

    def score_line(self) -> str:
        """Says the scores of the whole clip, as a line."""
        parts, comparison = self.comparison.parts, self.comparison
        text = ", ".join(
            f"{name} {_number(parts[part])}"
            for name, part in (
                ("F-measure", "f_measure"),
                ("precision", "precision"),
                ("recall", "recall"),
            )
        )
        rule = comparison.rule_in_words()
        if comparison.score.endswith("_fms"):
            return f"{comparison.score} of this clip ({rule}): {text}"
        return f"{comparison.score} of this clip: {_number(comparison.value)}; by {rule}: {text}"


def draw_events(plot: EventPlot) -> Figure:
    """Draws the events of a clip, a lane per label: the reference above, the prediction below."""
    n_lanes = len(plot.lanes)
    lane_in = min(0.62, max(0.28, 6.0 / max(n_lanes, 1)))
    figure = new_figure(_WIDTH_IN, _FURNITURE_IN + max(n_lanes, 1) * lane_in)
    axes = figure.add_subplot()
    _shade(figure, axes, plot)
    _events(axes, plot)
    _frame(axes, plot)
    title_figure(figure, plot.clip)
    style_axes(axes, plot.score_line())
    _legend(figure, plot)
    return figure


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
    name_lanes(axes, range(n_lanes), [plot.labels[label] for label in plot.lanes])
    for lane in range(n_lanes):
        if lane:
            axes.axhline(lane - 0.5, color="#666666", linewidth=0.8, zorder=1)
        axes.axhline(lane, color="#BBBBBB", linewidth=0.5, linestyle=(0, (1, 2)), zorder=1)


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
    add_legend(
        figure,
        handles,
        texts,
        ncols=len(handles),
        fontsize=10,
        handlelength=3.2,
        handleheight=1.2,
        title=_caption(plot.notes),
        title_fontsize=9,
    )


def _caption(notes: Sequence[str]) -> str:
    halves = "In each lane: reference above, prediction below; shades are probabilities."
    return "\n".join([halves, *notes])


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.3f}"
