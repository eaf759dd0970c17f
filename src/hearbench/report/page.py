"""A report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from hearbench.amounts import duration
from hearbench.report.format import mebibytes, moment, percent, rate
from hearbench.report.summary import STAGES, ResultReport, RunReport
from hearbench.results.record import StageRecord

__all__ = ["report_page"]

_STYLE = """\
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5d6673; --line: #d9dde3;
  --paper: #ffffff; --field: #f1f3f6; --embedding: #0072b2; --probe: #e69f00;
  --scoring: #009e73; --other: #8a8f98; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaef; --soft: #a3abb8; --line: #363c46; --paper: #15181d; --field: #22272f;
    --embedding: #4ba3dd; --probe: #f0b429; --scoring: #2fc49a; }
}
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 8px 0 16px; }
h2 { font-size: 18px; margin: 32px 0 8px; }
.figures { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 0 0 20px; }
.figures dt { color: var(--soft); font-size: 13px; }
.figures dd { margin: 0; font-size: 20px; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: 14px; border-radius: 3px; overflow: hidden;
  background: var(--field); }
main > .bar { height: 26px; }
.bar span { display: block; height: 100%; }
.embedding { background: var(--embedding); } .probe { background: var(--probe); }
.scoring { background: var(--scoring); } .other { background: var(--other); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 24px; padding: 0;
  margin: 8px 0 24px; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: middle;
  overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
td:not(.n) { min-width: 140px; }
td small { display: block; color: var(--soft); }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.wide { width: 24%; min-width: 110px; }
details { border-bottom: 1px solid var(--line); padding: 6px 0; }
details tbody tr:last-child td { border-bottom: 0; }
/* The tables of all results have their columns at the same places. */
details table { table-layout: fixed; min-width: 640px; }
details th:first-child { width: 24%; } details th:nth-child(2) { width: 14%; }
details th:nth-child(3) { width: 26%; }
summary { cursor: pointer; overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; }
"""


def report_page(report: RunReport, *, title: str = "Where the time went") -> str:
    """Makes the HTML of the page.

    Args:
        report: A report of at least one result.
    """
    body = "\n".join(
        (
            f"<h1>{_text(title)}</h1>",
            _figures(report),
            _overall(report),
            _table(report),
            "<h2>Result by result</h2>",
            *(_details(each) for each in report.results),
            _versions(report.results),
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _figures(report: RunReport) -> str:
    results = report.results
    pairs = [
        ("time", duration(report.seconds)),
        ("results", str(len(results))),
        ("models", str(len({each.model for each in results}))),
        ("tasks", str(len({each.task for each in results}))),
        ("peak memory", mebibytes(report.peak_memory_mb) or "unknown"),
        ("device", ", ".join(sorted({each.device for each in results}))),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="figures">{items}</dl>'


def _overall(report: RunReport) -> str:
    legend = "".join(
        f'<li><span class="key {total.stage}"></span>{total.stage}: {duration(total.seconds)} '
        f"({percent(total.share)})</li>"
        for total in report.totals
        if total.seconds
    )
    parts = [(total.stage, total.share) for total in report.totals]
    return f'{_bar(parts, "all results")}\n<ul class="legend">{legend}</ul>'


def _bar(parts: Sequence[tuple[str, float]], what: str) -> str:
    """Parts side by side, each a share of the whole width."""
    shown = [(stage, share) for stage, share in parts if share > 0]
    label = ", ".join(f"{stage} {100 * share:.1f} %" for stage, share in shown)
    inner = "".join(
        f'<span class="{stage}" style="width:{100 * share:.3f}%"></span>' for stage, share in shown
    )
    return f'<div class="bar" role="img" aria-label="{_text(what)}: {label}">{inner}</div>'


def _table(report: RunReport) -> str:
    longest = max((each.seconds for each in report.results), default=0.0)
    rows = "".join(_row(each, longest) for each in report.results)
    heads = ("model", "task", "time", "by stage", "embedding rate", "probe rate", "peak memory")
    return _table_of(heads, rows, numeric={2, 4, 5, 6})


def _row(result: ResultReport, longest: float) -> str:
    parts = [(s, result.seconds_of(s) / longest if longest else 0.0) for s in STAGES]
    embed_rate = rate(result.of_stage("embedding"), short=True)
    if result.shares_embeddings:
        embed_rate = "found"
    probe_rate = rate(result.of_stage("probe"), short=True)
    return (
        f"<tr><td>{_text(result.model)}</td>"
        f"<td>{_text(result.task)}<small>seed {result.seed}, {_text(result.protocol)}</small></td>"
        f'<td class="n">{duration(result.seconds)}</td>'
        f'<td class="wide">{_bar(parts, result.task)}</td>'
        f'<td class="n">{_text(embed_rate)}</td><td class="n">{_text(probe_rate)}</td>'
        f'<td class="n">{mebibytes(result.peak_memory_mb)}</td></tr>'
    )


def _details(result: ResultReport) -> str:
    longest = max((stage.seconds for stage in result.stages), default=0.0)
    on_gpu = any(
        stage.peak_device_memory_mb is not None or stage.device_utilisation is not None
        for stage in result.stages
    )
    heads = ["stage", "time", "", "throughput", "peak memory"]
    heads += ["GPU memory", "GPU busy"] if on_gpu else []
    rows = "".join(_stage_row(stage, longest, on_gpu) for stage in result.stages)
    notes = "".join(f"<li>{_text(note)}</li>" for note in result.notes)
    shared = "<p>The embeddings were there already; they count with an earlier result.</p>"
    return (
        f"<details><summary>{_text(result.model)} on {_text(result.task)}, seed {result.seed}: "
        f"{duration(result.seconds)}</summary>\n"
        f"<p>Protocol {_text(result.protocol)}, trained on {_text(result.device)} in "
        f"{_text(result.precision)}, written {_text(moment(result.created))} into "
        f"<code>{_text(result.folder)}</code>.</p>\n"
        + (shared if result.shares_embeddings else "")
        + _table_of(heads, rows, numeric={1, 4, 5, 6})
        + (f"<ul>{notes}</ul>" if notes else "")
        + "</details>"
    )


def _stage_row(stage: StageRecord, longest: float, on_gpu: bool) -> str:
    name = stage.stage if stage.part is None else f"{stage.stage}, {stage.part}"
    share = stage.seconds / longest if longest else 0.0
    busy = "" if stage.device_utilisation is None else f"{100 * stage.device_utilisation:.0f} %"
    gpu = f'<td class="n">{mebibytes(stage.peak_device_memory_mb)}</td><td class="n">{busy}</td>'
    return (
        f'<tr><td>{_text(name)}</td><td class="n">{duration(stage.seconds)}</td>'
        f'<td class="wide">{_bar([(_class(stage), share)], name)}</td>'
        f"<td>{_text(rate([stage]))}</td>"
        f'<td class="n">{mebibytes(stage.peak_memory_mb)}</td>{gpu if on_gpu else ""}</tr>'
    )


def _class(stage: StageRecord) -> str:
    # A stage of a later version has no colour yet; its name isn't to be trusted as markup.
    return stage.stage if stage.stage in STAGES else "other"


def _versions(results: Iterable[ResultReport]) -> str:
    """The versions that computed, and how many results are of each set of them."""
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for result in results:
        key = tuple(result.versions.items())
        counts[key] = counts.get(key, 0) + 1
    lines = "".join(
        f"<li>{', '.join(f'{_text(name)} {_text(value)}' for name, value in key)}"
        + (f" ({count} results)" if len(counts) > 1 else "")
        + "</li>"
        for key, count in counts.items()
    )
    return f"<h2>Versions</h2>\n<ul>{lines}</ul>"


def _table_of(heads: Sequence[str], rows: str, *, numeric: set[int]) -> str:
    cells = "".join(
        f'<th class="n">{head}</th>' if i in numeric else f"<th>{head}</th>"
        for i, head in enumerate(heads)
    )
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
