"""``hearbench compare``: which of several models is better, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hearbench.cli import options as o
from hearbench.cli.compare_tables import show_comparison
from hearbench.cli.running import answers_only, verb
from hearbench.cli.terminal import answer_json, say
from hearbench.comparison.compare import compare as compare_results
from hearbench.views.comparison_plot import draw_comparison
from hearbench.views.style import check_plot_name, save_figure

__all__ = ["compare"]


@verb(
    "hearbench compare results/my_model results/hearbench.models.crepe",
    "hearbench compare results --baseline hearbench.models.naive --plot comparison.png",
    "hearbench compare old/my_model/birds-1.0.0-full new/my_model/birds-1.0.0-full --json",
)
def compare(
    result: o.Results,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", metavar="NAME", help="Score to compare by; by default each task's first."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="MODEL",
            help="Model that all others are compared with; 'best' for that of the best mean rank.",
        ),
    ] = None,
    test: Annotated[
        str,
        typer.Option(
            "--test",
            metavar="bootstrap|permutation",
            help="Where p comes from; with permutation the larger of both p counts.",
        ),
    ] = "bootstrap",
    resamples: Annotated[
        int,
        typer.Option(
            "--resamples",
            metavar="N",
            help="Number of resamples of the test clips; of permutations there may be more.",
        ),
    ] = 2000,
    level: Annotated[
        float, typer.Option("--level", help="Level of an interval, and of all tests together.")
    ] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the resamples.")] = 0,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Figure to write: a .png, .svg or .pdf."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="CSV to write, with a row per pair and task."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Compares models on the test clips that they share.

    Says of every pair and task which model is better, or that the clips can't show it: by the
    stored predictions, with p-values, intervals and ranks corrected for their number.
    Further seeds of a result count. See docs/comparing.md.
    """
    with answers_only():
        if plot is not None:
            check_plot_name(plot)
        found = compare_results(
            result,
            score=score,
            baseline=baseline,
            test=test,
            n_resamples=resamples,
            level=level,
            seed=seed,
        )
        if plot is not None:
            save_figure(draw_comparison(found), plot)
            say(f"wrote {plot}")
        if csv is not None:
            found.write_csv(csv)
            say(f"wrote {csv}")
    if json:
        answer_json(found.model_dump())
    else:
        show_comparison(found)
