"""``hearbench report``: where the time of evaluations went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import duration
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import ResultError
from hearbench.report.format import mebibytes, percent, rate
from hearbench.table import Column, Table

if TYPE_CHECKING:
    from hearbench.report.summary import ResultReport, RunReport

__all__ = ["report"]


@verb(
    "hearbench report results --out report.html",
    "hearbench report results/my_model",
    "hearbench report results/my_model/birds-1.0.0-full --json",
)
def report(
    result: o.Results,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Page to write: an .html that needs no network."
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Shows where the time of evaluations went: by stage, with throughput and peak memory.

    Stages that were found in the cache count with the time that they took when they were made.
    See docs/report.md.
    """
    from hearbench.files import write_text
    from hearbench.report.page import report_page
    from hearbench.report.summary import report_of

    with answers_only():
        if out is not None and out.suffix.lower() not in {".html", ".htm"}:
            raise ResultError(f"A report is a page; give --out a name that ends in .html: {out}.")
        found = report_of(result)
        if out is not None:
            write_text(out, report_page(found))
            say(f"wrote {out}")
    if json:
        answer_json(found.model_dump())
    else:
        _show(found)


def _show(found: RunReport) -> None:
    from hearbench.report.summary import STAGES

    table = Table(
        [
            Column("model\ntask", wrap="names"),
            *(Column(stage, align="right") for stage in STAGES),
            Column("peak\nmemory", mebibytes, align="right"),
        ]
    )
    for each in found.results:
        name = f"{each.model}\n{each.task}, seed {each.seed}"
        table.add(name, *_stages(each), each.peak_memory_mb)
    parts = ", ".join(
        f"{total.stage} {duration(total.seconds)} ({percent(total.share)})"
        for total in found.totals
        if total.seconds
    )
    show(table, f"{duration(found.seconds)} in all: {parts}.")


def _stages(result: ResultReport) -> list[str]:
    """Time and throughput of each stage."""
    from hearbench.report.summary import STAGES

    cells = []
    for stage in STAGES:
        own = result.of_stage(stage)
        if stage == "embedding" and result.shares_embeddings:
            cells.append("found")
        elif own:
            # Scoring takes no time that anyone would want as a rate.
            speed = "" if stage == "scoring" else f"\n{rate(own, short=True)}"
            cells.append(duration(result.seconds_of(stage)) + speed)
        else:
            cells.append("")
    return cells
