"""A picture of a comparison: scores and differences with their intervals, task by task.

Every task has axes of its own, so that what is close together can be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hearbench.comparison.record import Comparison, PairDifference, TaskComparison, TaskScore
from hearbench.views.style import (
    INK,
    PALE,
    add_legend,
    model_colours,
    name_lanes,
    new_figure,
    shorten,
    style_axes,
    title_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_comparison"]

_WIDTH_IN = 13.0
_ROW_IN = 0.26
_TITLE_IN = 0.34  # above a task's axes
_TICKS_IN = 0.36  # below them
_HEAD_IN = 0.4
_FOOT_IN = 0.4
_LETTER_IN = 0.073  # of a name of average letters
_GAP_IN = 0.25
_HIDDEN = ("top", "right", "left")  # sides of a frame
# With more pairs per task, only those with one model are drawn.
_MOST_PAIRS = 6


def draw_comparison(found: Comparison) -> Figure:
    """Draws each task's scores on the left and its differences on the right.

    A filled marker is a difference in the colour of the better model; a hollow grey one is none
    that the clips can show. With more than four models, the differences are those from the
    baseline, or from the model with the best mean rank. Where there are several protocols, scores
    have the fingerprint of theirs, and a star marks a difference between two of them.
    """
    rivals = [_rival(found, task) for task in found.tasks]
    pairs = [_shown(task, rival) for task, rival in zip(found.tasks, rivals, strict=True)]
    rows = [
        max(len(task.scores), len(shown), 2) for task, shown in zip(found.tasks, pairs, strict=True)
    ]
    heights = [n * _ROW_IN for n in rows]
    height = sum(heights) + len(rows) * (_TITLE_IN + _TICKS_IN) + _HEAD_IN + _FOOT_IN
    # By hand, as a layout engine takes seconds for dozens of axes.
    figure = new_figure(_WIDTH_IN, height, layout=None)
    colours = model_colours(found.models)
    left, middle = _margins(found, pairs, rivals)
    width = (_WIDTH_IN - left - middle - _GAP_IN) / 2
    top = height - _HEAD_IN
    for task, rival, shown, own in zip(found.tasks, rivals, pairs, heights, strict=True):
        top -= _TITLE_IN + own
        places = [
            (x / _WIDTH_IN, top / height, width / _WIDTH_IN, own / height)
            for x in (left, left + width + middle)
        ]
        _scores(figure.add_axes(places[0]), task, found, colours)
        _differences(figure.add_axes(places[1]), shown, colours, rival)
        top -= _TICKS_IN
    title_figure(figure, _title(found), y=1 - 0.1 / height, va="top")
    _legend(figure, found)
    return figure


def _margins(
    found: Comparison, pairs: Sequence[Sequence[PairDifference]], rivals: Sequence[str | None]
) -> tuple[float, float]:
    """Inches for the names to the left of the scores, and of the differences."""
    models = max(len(_scored(score, found)) for task in found.tasks for score in task.scores)
    named = zip(pairs, rivals, strict=True)
    of_pairs = max((len(_pair(pair, rival)) for shown, rival in named for pair in shown), default=0)
    return models * _LETTER_IN + _GAP_IN, of_pairs * _LETTER_IN + _GAP_IN


def _pair(pair: PairDifference, rival: str | None) -> str:
    # At the beginning, as the ends of long names are cut.
    star = "* " if pair.across_protocols else ""
    if rival is not None:
        return f"{star}{shorten(pair.model_a)}"
    return f"{star}{shorten(pair.model_a)} − {shorten(pair.model_b)}"


def _scored(score: TaskScore, found: Comparison) -> str:
    if len(found.protocols) < 2:
        return shorten(score.model)
    mark = f" ({score.fingerprint})"
    return shorten(score.model, leave=len(mark)) + mark


def _rival(found: Comparison, task: TaskComparison) -> str | None:
    """The model with which a task's drawn pairs are; None where all pairs are drawn."""
    if found.baseline is not None:
        return found.baseline
    if all(len(task.pairs) <= _MOST_PAIRS for task in found.tasks):
        return None
    groups = {standing.model: standing.group for standing in found.standings}
    rivals = [each for each in found.standings if each.group == groups[task.scores[0].model]]
    ranks = [math.inf if math.isnan(each.mean_rank) else each.mean_rank for each in rivals]
    return rivals[ranks.index(min(ranks))].model


def _shown(task: TaskComparison, rival: str | None) -> list[PairDifference]:
    if rival is None:
        return list(task.pairs)
    return [
        _turned(pair) if pair.model_a == rival else pair
        for pair in task.pairs
        if rival in (pair.model_a, pair.model_b)
    ]


def _turned(pair: PairDifference) -> PairDifference:
    return pair.model_copy(
        update={
            "model_a": pair.model_b,
            "model_b": pair.model_a,
            "difference": -pair.difference,
            "low": -pair.high,
            "high": -pair.low,
        }
    )


def _scores(axes: Axes, task: TaskComparison, found: Comparison, colours: dict[str, str]) -> None:
    for lane, score in enumerate(task.scores):
        _mark(axes, lane, (score.low, score.mean, score.high), colours[score.model])
    _lanes(axes, [_scored(score, found) for score in task.scores])
    folds = f" in {task.n_folds} folds" if task.n_folds > 1 else ""
    better = "" if task.maximise else " (lower is better)"
    title = f"{task.task}: {task.score}{better}, {task.n_clips:,} clips{folds}"
    style_axes(axes, title, hide=_HIDDEN)


def _differences(
    axes: Axes,
    pairs: Sequence[PairDifference],
    colours: dict[str, str],
    rival: str | None,
) -> None:
    axes.axvline(0.0, color=INK, linewidth=0.8)
    for lane, pair in enumerate(pairs):
        colour = PALE if pair.better is None else colours[pair.better]
        _mark(axes, lane, (pair.low, pair.difference, pair.high), colour)
    _lanes(axes, [_pair(pair, rival) for pair in pairs])
    if not pairs:
        place = axes.transAxes
        axes.text(0.5, 0.5, "none to show", transform=place, ha="center", color=PALE, fontsize=8)
    what = "differences" if rival is None else f"differences from {shorten(rival)}"
    style_axes(axes, what, hide=_HIDDEN)


def _mark(axes: Axes, lane: int, values: tuple[float, float, float], colour: str) -> None:
    """Marks a value between the ends of its interval; what is pale is hollow as well."""
    low, value, high = values
    if not math.isfinite(value):
        axes.text(
            0.5,
            lane,
            "undefined" if math.isnan(value) else "infinite",
            transform=axes.get_yaxis_transform(),
            ha="center",
            va="center",
            fontsize=8,
            style="italic",
            color=PALE,
        )
        return
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([low, high], [lane, lane], color=colour, linewidth=2.0, solid_capstyle="butt")
    axes.plot(
        [value],
        [lane],
        "o",
        color=colour,
        markerfacecolor="white" if colour == PALE else colour,
        markersize=6,
        markeredgewidth=1.5,
    )


def _lanes(axes: Axes, names: Sequence[str]) -> None:
    name_lanes(axes, range(len(names)), names)
    axes.set_ylim(max(len(names), 2) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)


def _title(found: Comparison) -> str:
    n_models = len({score.model for task in found.tasks for score in task.scores})
    n_tasks = len({task.task for task in found.tasks})
    return (
        f"{n_models} models on {n_tasks} task{'' if n_tasks == 1 else 's'}, "
        f"with intervals of level {found.level:.4g}"
    )


def _legend(figure: Figure, found: Comparison) -> None:
    from matplotlib.lines import Line2D

    def marker(face: str, edge: str) -> Line2D:
        return Line2D(
            [], [], color=edge, marker="o", markerfacecolor=face, markersize=6, linewidth=2
        )

    corrected = "one comparison"
    if found.n_tests > 1:
        corrected = f"p corrected for {found.n_tests} comparisons"
    handles = [marker(INK, INK), marker("white", PALE)]
    names = [
        f"a difference, in the colour of the better model ({found.test}, {corrected})",
        "no difference shown",
    ]
    if any(pair.across_protocols for task in found.tasks for pair in task.pairs):
        handles.append(Line2D([], [], color=INK, marker="$*$", linewidth=0))
        names.append("by different protocols")
    add_legend(figure, handles, names, loc="lower left", borderaxespad=0.3, ncols=len(names))
