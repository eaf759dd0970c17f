"""A picture of a task's data: labels, splits, durations and events."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hearbench.amounts import significant
from hearbench.tasks.stats import TaskStats
from hearbench.views.style import (
    INK,
    PALETTE,
    SKY,
    add_legend,
    name_lanes,
    new_figure,
    shorten,
    style_axes,
    title_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["draw_task_stats"]

_WIDTH_IN = 13.0
# The most labels that each get a bar with a name; of more, these many of both ends do.
_MOST_NAMED = 60
_MOST_FREQUENT, _LEAST_FREQUENT = 25, 15
# So few labels need no column of their own.
_FEW = 8
_FEWEST_LANES = 4  # so that the bars of two labels aren't beams
_BINS = 40
# Where the greatest is this many times the least, an axis is logarithmic.
_WIDE = 50.0
_LINE = 150  # characters across the figure
# More splits than these are folds, which have an order, and get colours with an order.
_MOST_DISTINCT = 5


def draw_task_stats(stats: TaskStats) -> Figure:
    """Draws the labels, splits and durations of a task, and an event task's events.

    Every label has a bar, the most frequent on top; of more than 60 labels the most and the
    least frequent do, beside a curve of all.
    """
    shown, hidden = _shown(stats)
    events = any(split.events is not None for split in stats.splits)
    few = len(shown) <= _FEW
    panels = 2 if few else 2 + bool(hidden) + events
    height_in = 1.7 + max(0 if few else (len(shown) + bool(hidden)) * 0.2, panels * 2.1)
    figure = new_figure(_WIDTH_IN, height_in)
    colours = _colours(len(stats.splits))
    grid = figure.add_gridspec(panels, 2, width_ratios=(1.0 if few else 1.15, 1.0))
    labels = figure.add_subplot(grid[0, 0] if few else grid[:, 0])
    if few:
        below = [grid[1, 0], grid[1, 1]] if events else [grid[1, :]]
        places = iter([grid[0, 1], *below])
    else:
        places = iter([grid[i, 1] for i in range(panels)])
    _label_bars(labels, stats, shown, hidden, colours)
    if hidden:
        _rank_curve(figure.add_subplot(next(places)), stats, colours)
    _clips_per_split(figure.add_subplot(next(places)), stats, colours)
    _durations(figure.add_subplot(next(places)), stats.durations_s, colours, "clips")
    if events:
        _durations(figure.add_subplot(next(places)), stats.event_durations_s, colours, "events")
    title_figure(
        figure,
        f"{stats.name}: {_count(stats.clips, 'clip')}, {_hours(stats.hours)}, "
        f"{_count(len(stats.labels), 'label')}, {stats.noun}",
    )
    _legend(figure, stats, colours)
    return figure


def _colours(n_splits: int) -> list[Any]:
    if n_splits <= _MOST_DISTINCT:
        return list(PALETTE[:n_splits])
    from matplotlib import colormaps

    return [colormaps["viridis"](x) for x in np.linspace(0.0, 0.95, n_splits)]


def _shown(stats: TaskStats) -> tuple[list[int], int]:
    """The labels that get a bar, and how many don't."""
    order = stats.by_frequency()
    if len(order) <= _MOST_NAMED:
        return order, 0
    shown = order[:_MOST_FREQUENT] + order[-_LEAST_FREQUENT:]
    return shown, len(order) - len(shown)


def _label_bars(
    axes: Axes, stats: TaskStats, shown: Sequence[int], hidden: int, colours: Sequence[Any]
) -> None:
    # A lane is left empty where labels are left out.
    lanes = np.arange(len(shown)) + np.where(
        np.arange(len(shown)) < _MOST_FREQUENT, 0, bool(hidden)
    )
    counts = stats.counts[:, list(shown)]
    lefts = np.zeros(len(shown))
    for row, colour in zip(counts, colours, strict=True):
        axes.barh(lanes, row, left=lefts, height=0.8, color=colour, linewidth=0)
        lefts += row
    most = max(float(lefts.max()), 1.0)
    for lane, total in zip(lanes, lefts, strict=True):
        axes.text(
            _beside(total, most),
            float(lane),
            f"{int(total):,}",
            va="center",
            fontsize=7,
            color=INK,
        )
    name_lanes(axes, lanes.tolist(), [stats.labels[label] for label in shown])
    n_lanes = len(shown) + bool(hidden)
    axes.set_ylim(max(n_lanes, _FEWEST_LANES) - 0.4, -0.6)
    axes.set_xlim(0.0, most * 1.1)
    axes.set_xlabel(stats.task_type.counted_with_label)
    _whole(axes.xaxis)
    title = f"{stats.counted.capitalize()} per label"
    if hidden:
        title += f": the {_MOST_FREQUENT} most and the {_LEAST_FREQUENT} least frequent"
        axes.text(
            most * 0.01,
            _MOST_FREQUENT,
            f"… {hidden} more labels between",
            va="center",
            fontsize=8,
            style="italic",
            color=INK,
        )
    style_axes(axes, title)


def _beside(total: float, most: float) -> float:
    """Where the number beside a bar begins."""
    return total + most * 0.008


def _rank_curve(axes: Axes, stats: TaskStats, colours: Sequence[Any]) -> None:
    order = stats.by_frequency()
    ranks = np.arange(1, len(order) + 1)
    counts = stats.counts[:, order]
    totals = counts.sum(axis=0)
    axes.plot(ranks, totals, color=INK, linewidth=1.2, label="all splits")
    if len(counts) <= _MOST_DISTINCT:
        for row, colour in zip(counts, colours, strict=True):
            axes.plot(ranks, np.where(row > 0, row, np.nan), ".", color=colour, markersize=3.5)
    else:
        low, high = counts.min(axis=0), counts.max(axis=0)
        axes.fill_between(ranks, low, high, color=SKY, alpha=0.5, label="range of the splits")
    if totals.max() > _WIDE * max(int(totals.min()), 1):
        axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, len(order) + 1)
    axes.set_xlabel("label, by rank of frequency")
    axes.set_ylabel(stats.counted)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    style_axes(axes, f"All {len(order)} labels by frequency")


def _clips_per_split(axes: Axes, stats: TaskStats, colours: Sequence[Any]) -> None:
    lanes = np.arange(len(stats.splits))
    clips = [split.clips for split in stats.splits]
    axes.barh(lanes, clips, height=0.7, color=list(colours), linewidth=0)
    for lane, split in zip(lanes, stats.splits, strict=True):
        text = f"{split.clips:,} ({_hours(split.hours)})"
        if split.unlabelled:
            text += f", {split.unlabelled:,} unlabelled"
        axes.text(
            _beside(split.clips, max(clips)), float(lane), text, va="center", fontsize=8, color=INK
        )
    name_lanes(axes, lanes.tolist(), [split.name for split in stats.splits])
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_xlim(0.0, max(clips) * 1.45)
    axes.set_xlabel("clips")
    _whole(axes.xaxis)
    style_axes(axes, "Clips per split")


def _durations(
    axes: Axes, durations_s: Sequence[npt.NDArray[np.float64]], colours: Sequence[Any], what: str
) -> None:
    everything = np.concatenate(list(durations_s)) if durations_s else np.empty(0)
    title = f"Durations of {what}"
    axes.set_xlabel("duration (s)")
    axes.set_ylabel(what)
    if len(everything) == 0:
        style_axes(axes, title)
        axes.text(0.5, 0.5, f"no {what}", transform=axes.transAxes, ha="center", color=INK)
        return
    shortest, longest = float(everything.min()), float(everything.max())
    if longest - shortest < 0.001:
        title += f": all {significant(shortest, 4)} s"
        half = max(shortest * 0.01, 0.001)
        edges = np.array([shortest - half, shortest + half])
        axes.set_xlim(0.0, max(shortest * 1.5, 4 * half))
    elif shortest > 0 and longest > _WIDE * shortest:
        edges = np.geomspace(shortest, longest, _BINS + 1)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    else:
        edges = np.linspace(shortest, longest, _BINS + 1)
    _whole(axes.yaxis)
    axes.hist(list(durations_s), bins=list(edges), stacked=True, color=list(colours), linewidth=0)
    if longest - shortest >= 0.001:
        median = float(np.median(everything))
        axes.axvline(median, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        title += f": {significant(shortest)} to {significant(longest)} s, "
        title += f"median (dashed) {significant(median)} s"
    style_axes(axes, title)


def _whole(axis: Axis) -> None:
    """Ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=True))
    axis.set_major_formatter(lambda value, _position: f"{value:,.0f}")


def _legend(figure: Figure, stats: TaskStats, colours: Sequence[Any]) -> None:
    from matplotlib.patches import Patch

    add_legend(
        figure,
        [Patch(facecolor=colour) for colour in colours],
        [shorten(split.name) for split in stats.splits],
        ncols=min(len(colours), 10),
        title=_missing(stats),
        title_fontsize=9,
    )


def _missing(stats: TaskStats) -> str:
    missing = stats.missing
    if not missing:
        return "Every split holds every label."
    parts = [f"{split} lacks {len(labels)}" for split, labels in missing.items()]
    return textwrap.fill(f"Labels that a split doesn't hold: {', '.join(parts)}.", _LINE)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{significant(hours * 3600)} s"
    if hours < 1:
        return f"{significant(hours * 60)} min"
    return f"{significant(hours)} h" if hours < 100 else f"{hours:,.0f} h"
