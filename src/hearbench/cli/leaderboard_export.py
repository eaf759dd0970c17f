"""``hearbench leaderboard export``: results in the forms that others read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_line
from hearbench.errors import HearError
from hearbench.files import atomic_write
from hearbench.leaderboard.own_row import find_results
from hearbench.leaderboard.share import share
from hearbench.results import Result

__all__ = ["export"]


@verb(
    "hearbench leaderboard export results/my_model --form markdown",
    "hearbench leaderboard export results --form parquet --out results.parquet",
)
def export(
    results: Annotated[
        Path, typer.Argument(help="Folder with results, as of --out.", show_default=False)
    ],
    form: Annotated[
        str,
        typer.Option(
            "--form",
            metavar="F",
            help="Form of the results: markdown, latex, model-index or parquet.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write; by default stdout.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model, instead of the results' own.")
    ] = None,
) -> None:
    """Writes results as a table, a model card's metadata, or a file for pandas."""
    files = [file for group in find_results(results).values() for file in group]
    data = share([Result.read(file) for file in files], form, name)
    if out is not None:
        with atomic_write(out) as file:
            file.write(data)
        answer_line(out)
    elif form == "parquet":
        raise HearError("parquet is for a file; name one with --out.")
    else:
        sys.stdout.write(data.decode())
