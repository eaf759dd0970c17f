"""``hearbench predictions``: the test predictions of tasks of clips, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, answer_line

__all__ = ["plot"]


@verb(
    "hearbench predictions plot results/my_model/esc50-v2.0.0-full --out confusion.png",
    "hearbench predictions plot results/my_model/moods-1.0.0-full/result.json --out moods.svg",
)
def plot(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help="A result of a task of clips: its folder or result.json.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Picture to write: a .png, .svg or .pdf."),
    ],
    json: o.Json = False,
) -> None:
    """Draws the test predictions of a task of clips.

    Numbers are drawn as predicted against true, classes as a confusion matrix, tags as precision
    by recall of each label. Events are drawn by `hearbench events plot`.
    """
    from hearbench.views.prediction_plot import plot_predictions

    with answers_only():
        plot_predictions(result, out)
    if json:
        answer_json({"plot": str(out)})
    else:
        answer_line(str(out))
