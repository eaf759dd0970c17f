"""Pictures and pages of a clip's events: what of it is drawn, and the file that shows it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError, UnknownNameError
from hearbench.files import write_text
from hearbench.registry import did_you_mean
from hearbench.views.event_figure import COLOURS, EventPlot, draw_events
from hearbench.views.events import ClipPredictions, ComparedEvent, EventPredictions, compare_clip
from hearbench.views.style import check_plot_name, save_figure, svg_element

__all__ = ["EventPlot", "plot_events"]

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
