"""A page of its own for a clip's events: figure, summary and table, nothing to load."""

from __future__ import annotations

import re
from html import escape

from hearbench.views.event_plot import EventPlot
from hearbench.views.event_status import ComparedEvent

__all__ = ["event_page"]

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
.matched th { border-left-color: #0072B2; }
.missed th { border-left-color: #E69F00; border-left-style: dashed; }
.spurious th { border-left-color: #CC79A7; border-left-style: dotted; }
"""
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


def event_page(plot: EventPlot, svg: str) -> str:
    """An HTML page that needs no other file and no network.

    Args:
        plot: What is drawn.
        svg: The figure, as `hearbench.views.event_figure.write_svg` gives it.
    """
    clip = escape(plot.clip)
    counts = plot.counts
    summary = (
        f"{_counted(counts['matched'], 'event')} matched, {counts['missed']} missed (in the "
        f"reference only), {counts['spurious']} spurious (in the prediction only)."
    )
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
{_inline(svg, f"Events of {plot.clip} from {plot.start_s:g} to {plot.end_s:g} s. {summary}")}
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


_EMPTY = '<td><span aria-label="none">–</span></td>'


def _inline(svg: str, description: str) -> str:
    """The ``<svg>`` element alone, named for those who don't see it.

    Declarations of namespaces are dropped, as HTML knows them, and with them the last addresses
    in the page.
    """
    start = svg.index("<svg")
    opening, rest = svg[start:].split(">", 1)
    opening = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(description)}">{rest.rstrip()}'
