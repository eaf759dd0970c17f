"""A picture of test predictions: which form it has follows from the kind of task.

* Numbers: predicted against true, a panel per target, with the line on which both are equal.
* One label per clip: the confusion matrix, whose rows are shares of the clips of a label.
* Any labels per clip: precision by recall of each label; of many labels those of the lowest, the
  median and the highest average precision, and the mean over labels.

Predictions of all test splits are drawn together, clip by clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hearbench.amounts import significant
from hearbench.errors import HearError
from hearbench.metrics.tagging import average_precision
from hearbench.results.predictions import Predictions
from hearbench.results.record import Result
from hearbench.results.splits import SceneSplit
from hearbench.views.style import (
    BLUE,
    INK,
    PALE,
    PALETTE,
    check_plot_name,
    new_figure,
    save_figure,
    shorten,
    style_axes,
    title_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_predictions", "plot_predictions"]

_PANEL_IN = 4.2
_MOST_COLUMNS = 3
# So many labels have a curve each; of more, three do, and their mean.
_MOST_CURVES = len(PALETTE)
# Up to so many labels, the cells of a confusion matrix have numbers.
_MOST_NUMBERS = 12
_GRID = np.linspace(0.0, 1.0, 201)  # recall, at which curves are averaged

_Floats = npt.NDArray[np.float64]
_Drawn = tuple[_Floats, npt.NDArray[Any], Sequence[str]]


def plot_predictions(folder: Path, out: Path) -> Figure:
    """Draws the test predictions of a result into a file.

    Args:
        folder: The result's folder, or its ``result.json``.
        out: A ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        HearError: The file has another ending or can't be written, or the predictions are of
            events.
        ResultError: The result or its predictions can't be read.
    """
    check_plot_name(out)
    figure = draw_predictions(folder)
    save_figure(figure, out)
    return figure


def draw_predictions(folder: Path) -> Figure:
    """Draws the test predictions of a result.

    Args:
        folder: The result's folder, or its ``result.json``.

    Raises:
        HearError: The predictions are of events, or there is none.
        ResultError: The result or its predictions can't be read.
    """
    folder = folder.parent if folder.is_file() else folder
    result = Result.read(folder)
    predictions = Predictions.read(folder, result)
    splits = [s for s in predictions.splits.values() if isinstance(s, SceneSplit)]
    if not splits:
        raise HearError(
            f"{result.task.name} is {result.task_type.noun}, whose predictions are drawn clip by "
            f"clip: `hearbench events plot {folder} CLIP --out FILE`."
        )
    splits = [split for split in splits if not split.is_blank]
    if not splits:
        raise HearError(f"{folder} has no predictions that are finite, so there is none to draw.")
    predicted = np.concatenate([split.probabilities for split in splits]).astype(np.float64)
    targets = np.concatenate([split.targets for split in splits])
    figure = _DRAWN[result.prediction_type]((predicted, targets, predictions.labels))
    title_figure(figure, f"{result.task.name}, {result.model.name}: {len(targets)} test clips")
    return figure


def _numbers(drawn: _Drawn) -> Figure:
    predicted, targets, labels = drawn
    columns = min(len(labels), _MOST_COLUMNS)
    rows = -(-len(labels) // columns)
    figure = new_figure(_PANEL_IN * columns, _PANEL_IN * rows + 0.5)
    for i, label in enumerate(labels):
        axes = figure.add_subplot(rows, columns, i + 1)
        true, found = targets[:, i], predicted[:, i]
        ends = [min(true.min(), found.min()), max(true.max(), found.max())]
        axes.plot(ends, ends, color=PALE, linewidth=1.0, linestyle="--", zorder=1)
        opacity = float(np.clip(60 / len(true), 0.15, 0.8))
        axes.scatter(true, found, s=14, color=BLUE, alpha=opacity, linewidths=0, zorder=2)
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
        style_axes(axes, shorten(label))
    return figure


def _confusion(drawn: _Drawn) -> Figure:
    predicted, targets, labels = drawn
    n = len(labels)
    counts = np.zeros((n, n))
    np.add.at(counts, (targets.argmax(axis=1), predicted.argmax(axis=1)), 1)
    of_label = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, of_label, out=np.zeros_like(counts), where=of_label > 0)
    side_in = float(np.clip(0.24 * n, 3.0, 14.0))
    figure = new_figure(side_in + 2.6, side_in + 2.2)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    size = 9 if n <= _MOST_NUMBERS else 7
    names = [shorten(label) for label in labels]
    axes.set_xticks(range(n), names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(n), names, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if n <= _MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if counts[row, column]:
                colour = "white" if share > 0.5 else INK
                text = f"{100 * share:.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    bar = figure.colorbar(image, ax=axes, fraction=0.04)
    bar.set_label("share of a label's clips")
    bar.outline.set_visible(False)
    style_axes(axes, "", hide=("top", "right", "left", "bottom"))
    return figure


def _precision_recall(drawn: _Drawn) -> Figure:
    predicted, targets, labels = drawn
    there = np.flatnonzero(targets.sum(axis=0) > 0)
    if not len(there):
        raise HearError("No test clip has a label, so there is no precision to draw.")
    precisions = average_precision(predicted, targets)
    order = there[np.argsort(-precisions[there], kind="stable")]
    figure = new_figure(7.6, 4.8)
    axes = figure.add_subplot()
    many = len(order) > _MOST_CURVES
    shown = (
        {"": order}
        if not many
        else {
            "highest: ": order[:1],
            "median: ": order[len(order) // 2 : len(order) // 2 + 1],
            "lowest: ": order[-1:],
        }
    )
    colours = iter(PALETTE)
    for words, which in shown.items():
        for i in which.tolist():
            recall, precision = _curve(predicted[:, i], targets[:, i])
            name = f"{words}{shorten(labels[i])} ({significant(precisions[i])})"
            axes.step(recall, precision, where="pre", color=next(colours), label=name)
    if many:
        curves = [_at_grid(*_curve(predicted[:, i], targets[:, i])) for i in order]
        mean = significant(float(precisions[order].mean()))
        name = f"mean of {len(order)} labels ({mean})"
        axes.plot(_GRID, np.mean(curves, axis=0), color=INK, linestyle="--", label=name)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    style_axes(axes, "Precision by recall (average precision)")
    _legend(axes)
    return figure


def _legend(axes: Axes) -> None:
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _curve(probabilities: _Floats, targets: npt.NDArray[Any]) -> tuple[_Floats, _Floats]:
    """Recall and precision of one label, at every threshold from the highest on.

    Recall begins at 0, where the precision is that of the first threshold.
    """
    order = np.argsort(-probabilities, kind="stable")
    right = np.cumsum(targets[order] != 0)
    # Equal probabilities are one threshold.
    last = np.append(np.flatnonzero(np.diff(probabilities[order])), len(order) - 1)
    recall, precision = right[last] / right[-1], right[last] / (last + 1)
    return np.append(0.0, recall), np.append(precision[:1], precision)


def _at_grid(recall: _Floats, precision: _Floats) -> _Floats:
    """The precision at the first threshold that reaches each recall of the grid."""
    return np.asarray(precision[np.searchsorted(recall, _GRID, side="left")])


_DRAWN: dict[str, Callable[[_Drawn], Figure]] = {
    "multiclass": _confusion,
    "multilabel": _precision_recall,
    "regression": _numbers,
}
