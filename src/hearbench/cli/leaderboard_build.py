"""``hearbench leaderboard build``: the leaderboard as a static site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.leaderboard_options import Csv, say_what_is_left_out
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line
from hearbench.leaderboard.official import table_or_official
from hearbench.leaderboard.site import add_results, build_site

__all__ = ["build"]


@verb(
    "hearbench leaderboard build --out site",
    "hearbench leaderboard build --results results --out site",
    "hearbench leaderboard build --csv leaderboard.csv --results 'results/my_model:Our model'",
)
def build(
    csv: Csv = None,
    results: Annotated[
        list[str] | None,
        typer.Option(
            "--results",
            metavar="RESULTS[:NAME]",
            help="Your own results: a folder that `hearbench evaluate --out` wrote to, of one "
            "model or several, and a name for the model. Repeatable.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the site.")] = Path(
        "site"
    ),
    json: o.Json = False,
) -> None:
    """Writes the leaderboard as a site, to be opened from its folder or put on any web server.

    It needs no network. An older site in the folder is replaced, anything else is refused. Needs
    the extra 'site'.
    """
    with answers_only():
        table, own, rows = add_results(table_or_official(csv), results or ())
        say_what_is_left_out(rows, "not in the table")
        files = build_site(table, out, own=own)
    index = out / "index.html"
    if json:
        models = sorted({each.result.model.name for each in own})
        answer_json({"index": str(index), "files": len(files), "models": len(table), "own": models})
    else:
        answer_line(index)
