"""Pictures and pages of a clip's events: what of it is drawn, and the file that shows it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError, UnknownNameError
from hearbench.files import write_text
from hearbench.registry import did_you_mean
from hearbench.views.events import (
    ClipComparison,
    ClipPredictions,
    ComparedEvent,
    EventPredictions,
    Status,
    compare_clip,
)
from hearbench.views.style import (
    BLUE,
    ORANGE,
    PURPLE,
    add_legend,
    check_plot_name,
    name_lanes,
    new_figure,
    save_figure,
    style_axes,
    svg_element,
    title_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "EventPlot", "draw_events", "plot_events"]

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

_MOST_LANES = 40
# Lanes of a clip without any event, so that there is something to see.
_LIKELIEST = 5
_STYLE = """\
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
  padding: 0 1rem; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { width: 100%; min-width: 40rem; height: auto; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #d0d0d0; text-align: right; }
th:nth-child(-n+2), td:nth-child(2) { text-align: left; }
tbody th { font-weight: 600; border-left: .5rem solid; }
.missed th { border-left-style: dashed; }
.spurious th { border-left-style: dotted; }
""" + "".join(f".{status} th {{ border-left-color: {COLOURS[status]}; }}\n" for status in COLOURS)
_COLUMNS = (
    "status",
    "label",
    "reference start (s)",
    "reference end (s)",
    "predicted start (s)",
    "predicted end (s)",
    "onset difference (ms)",
    "offset difference (ms)",
)
_EMPTY = '<td><span aria-label="none">–</span></td>'


@dataclass(frozen=True)
class EventPlot:
    """The drawn part of a clip: labels, events and frame probabilities.

    Attributes:
        clip: Name of the clip.
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
        if comparison.is_in_parts:
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


def plot_events(
    result: Path,
    clip: str,
    out: Path,
    *,
    labels: Sequence[str] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> EventPlot:
    """Draws the reference and the predicted events of a clip.

    Which events match is decided on the whole clip by the rule of the result's primary score,
    so parts of a clip show the same as the whole of it.

    Args:
        result: An event task's result folder or its ``result.json``.
        clip: Name of a test clip.
        out: The file to write: ``.png``, or ``.html`` for a page with the figure, a summary and
            a table of the events.
        labels: Labels to draw; by default those with an event, 40 of them at most.
        start_s: Begin of the drawn part in s; by default the clip's.
        end_s: End of the drawn part in s; by default the clip's.

    Raises:
        HearError: The file's ending or the times make no sense, or the file can't be written.
        UnknownNameError: There is no such clip or label.
        ResultError: The result can't be read or isn't that of an event task.
    """
    check_plot_name(out, (".png", ".html"))
    predictions = EventPredictions.read(result)
    plot = _arrange(predictions, predictions.clip(clip), labels, start_s, end_s)
    if out.suffix.lower() == ".png":
        save_figure(draw_events(plot), out)
        return plot
    page = _page(plot)
    try:
        write_text(out, page)
    except OSError as error:
        raise HearError(f"{out} can't be written: {error.strerror}.", code="io") from error
    return plot


def _arrange(
    predictions: EventPredictions,
    clip: ClipPredictions,
    labels: Sequence[str] | None,
    start_s: float | None,
    end_s: float | None,
) -> EventPlot:
    begin, end = _window(clip, start_s, end_s)
    notes: list[str] = []
    comparison = compare_clip(clip, predictions.labels, predictions.result.primary_score)
    within = [
        event
        for event in comparison.events
        if event.end_ms >= begin * 1000.0 and event.start_ms <= end * 1000.0
    ]
    if labels:
        wanted = _positions(labels, predictions)
        within = [event for event in within if event.label in wanted]
        notes.append("Only the labels that were asked for are drawn.")
    else:
        wanted = list({event.label: None for event in within})
    if not wanted:
        wanted = _likeliest(clip.probabilities)
        notes.append("No event here; the likeliest labels are shown.")
    if len(wanted) > _MOST_LANES:
        frequent = Counter(dict.fromkeys(wanted, 0))
        frequent.update(event.label for event in within)
        notes.append(
            f"{_MOST_LANES} of {len(wanted)} labels are drawn, those with the most events; "
            "name others to see them."
        )
        wanted = [label for label, _ in frequent.most_common(_MOST_LANES)]
        within = [event for event in within if event.label in wanted]
    if start_s is not None or end_s is not None:
        notes.append(f"Only {begin:g} to {end:g} s of {clip.length_ms / 1000.0:.3f} s are drawn.")
    lanes = _ordered(wanted, predictions.labels)
    shown = (clip.timestamps_ms >= begin * 1000.0) & (clip.timestamps_ms <= end * 1000.0)
    probabilities = clip.probabilities[shown][:, list(lanes)]
    if len(probabilities) and not np.isfinite(probabilities).any():
        notes.append("Probabilities are undefined: no probe could be chosen.")
    return EventPlot(
        clip=clip.name,
        task=predictions.result.task.name,
        model=predictions.result.model.name,
        labels=predictions.labels,
        comparison=comparison,
        start_s=begin,
        end_s=end,
        lanes=lanes,
        events=tuple(within),
        timestamps_ms=clip.timestamps_ms[shown],
        probabilities=probabilities,
        notes=tuple(notes),
    )


def _window(
    clip: ClipPredictions, start_s: float | None, end_s: float | None
) -> tuple[float, float]:
    length_s = clip.length_ms / 1000.0
    begin = 0.0 if start_s is None else start_s
    # A clip without frames or events still has an axis.
    end = (length_s or 1.0) if end_s is None else end_s
    finite = math.isfinite(begin) and math.isfinite(end)
    if not finite or not 0 <= begin < end or begin > length_s:
        raise HearError(
            f"From {begin:g} to {end:g} s is no stretch of the clip {clip.name!r}, which is "
            f"{length_s:.3f} s long."
        )
    return begin, end


def _positions(labels: Sequence[str], predictions: EventPredictions) -> list[int]:
    task = predictions.result.task.name
    index = {label: i for i, label in enumerate(predictions.labels)}
    for label in labels:
        if label not in index:
            raise UnknownNameError(
                f"{task} has no label {label!r}. {did_you_mean(label, list(index))}"
            )
    return list(dict.fromkeys(index[label] for label in labels))


def _likeliest(probabilities: npt.NDArray[np.float32]) -> list[int]:
    highest = np.nan_to_num(probabilities).max(axis=0, initial=0.0)
    return [int(i) for i in np.argsort(-highest, kind="stable")[:_LIKELIEST]]


def _ordered(wanted: Sequence[int], labels: Sequence[str]) -> tuple[int, ...]:
    """In the order of the vocabulary; numbers, as of notes, with the highest on top."""
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(wanted, key=lambda label: -int(labels[label])))
    return tuple(sorted(wanted))


def _page(plot: EventPlot) -> str:
    """Makes an HTML page with figure, summary and table; it needs no other file and no network."""
    clip = escape(plot.clip)
    counts = plot.counts
    summary = (
        f"{_counted(counts['matched'], 'event')} matched, {counts['missed']} missed (in the "
        f"reference only), {counts['spurious']} spurious (in the prediction only)."
    )
    description = f"Events of {plot.clip} from {plot.start_s:g} to {plot.end_s:g} s. {summary}"
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in plot.notes)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in _COLUMNS)
    rows = "\n".join(_row(event, plot) for event in plot.events)
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Events of {clip}</title>
<style>
{_STYLE}</style>
</head>
<body>
<main>
<h1>{clip}</h1>
<p>Task {escape(plot.task)}, model {escape(plot.model)}</p>
<p>{escape(plot.score_line())}</p>
<p>{summary}</p>
{notes}<figure>
{_inline(svg_element(draw_events(plot)), description)}
<figcaption>One lane per label: reference events in its upper half, predicted ones in its lower
half, probabilities as shades behind them. Matched pairs are filled and tied at their onsets;
missed events are hatched, with a triangle; spurious ones are cross-hatched, with a cross. The
table below has the same events.</figcaption>
</figure>
<div class="table" role="region" aria-label="Table of events" tabindex="0">
<table>
<caption>Events by their start; differences are prediction less reference</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</main>
</body>
</html>
"""


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _row(event: ComparedEvent, plot: EventPlot) -> str:
    times = [
        _EMPTY if value is None else f"<td>{value / 1000.0:.3f}</td>"
        for pair in (event.reference_ms, event.estimate_ms)
        for value in (pair or (None, None))
    ]
    differences = [
        _EMPTY if value is None else f"<td>{value:+.1f}</td>"
        for value in (event.difference_ms(0), event.difference_ms(1))
    ]
    cells = "".join(times + differences)
    label = escape(plot.labels[event.label])
    return (
        f'<tr class="{event.status}"><th scope="row">{event.status}</th><td>{label}</td>'
        f"{cells}</tr>"
    )


def _inline(svg: str, description: str) -> str:
    """The ``<svg>`` element alone, named for those who don't see it.

    Declarations of namespaces are dropped, as HTML knows them, and with them the last addresses
    in the page.
    """
    start = svg.index("<svg")
    opening, rest = svg[start:].split(">", 1)
    opening = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(description)}">{rest.rstrip()}'
