"""``hearbench curves``: several models' label-efficiency curves side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError

__all__ = ["curves"]

_Results = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULT...",
        help="Folders that `hearbench evaluate` wrote: of a task, of a model, or its --out.",
        show_default=False,
    ),
]
_Plot = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Picture to draw as well: a .png, .svg or .pdf."),
]
_X = Annotated[
    str,
    typer.Option("--x", metavar="clips|shots", help="Draw over training clips, or over shots."),
]


@verb(
    "hearbench curves results --out curves.png",
    "hearbench curves results/model_a results/model_b --score mAP --json",
)
def curves(
    result: _Results,
    out: _Plot = None,
    score: o.Score = None,
    x: _X = "clips",
    json: o.Json = False,
) -> None:
    """Shows how scores grow with the labelled training clips.

    Of one model it shows all scores of all tasks, of several one score of the tasks that at
    least two of them have. Curves come from `hearbench evaluate --shots K --train-fraction F`.
    """
    from hearbench.cli.result_tables import show_curves, show_models
    from hearbench.results.curves import find_curves, side_by_side
    from hearbench.views.curve_plot import draw_curves
    from hearbench.views.style import save_figure

    if x not in ("clips", "shots"):
        raise HearError(f"--x {x}: use clips or shots.")
    found = find_curves(result)
    chosen = side_by_side(found, score)
    if chosen.left_out:
        say(f"Left out, as only one model has them: {', '.join(chosen.left_out)}.")
    if out is not None:
        drawn = draw_curves(chosen.tasks, score=score, x="shots" if x == "shots" else "clips")
        save_figure(drawn, out)
        say(f"wrote {out}")
    if json:
        shown = [one for one in found if one.curve.task.name in chosen.tasks]
        answer_json(
            {
                "curves": [
                    {"path": str(one.path), **one.curve.model_dump(mode="json")} for one in shown
                ]
            }
        )
        return
    for task, by_model in chosen.tasks.items():
        if len(by_model) == 1:
            show_curves(list(by_model.items()))
        else:
            show_models(task, by_model, score)
