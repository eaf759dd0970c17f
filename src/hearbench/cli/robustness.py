"""``hearbench robustness``: what scores lose when audio is disturbed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hearbench.amounts import number
from hearbench.cli import options as o
from hearbench.cli.render import show
from hearbench.cli.running import verb
from hearbench.cli.terminal import answer_json, say
from hearbench.errors import HearError
from hearbench.registry import did_you_mean
from hearbench.table import Column, Table

if TYPE_CHECKING:
    from hearbench.evaluation.results import Results
    from hearbench.results.robustness import FoundRobustness, Loss

__all__ = ["robustness", "show_robustness"]


@verb(
    "hearbench robustness results --plot robustness.png",
    "hearbench robustness results/model_a results/model_b --baseline model_b",
    "hearbench robustness results --score mAP --csv robustness.csv",
)
def robustness(
    result: o.Results,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="MODEL",
            help="Model whose mean loss the others' are compared with, by its name in the table.",
        ),
    ] = None,
    score: o.Score = None,
    plot: o.Plot = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", metavar="FILE", help="CSV to write, with a row per model and perturbation."
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Shows what scores lose when audio is disturbed, with paired intervals and tests.

    Models stand side by side. The results come from `hearbench evaluate --perturb`.
    """
    from hearbench.files import write_text
    from hearbench.results.robustness import find_robustness, robustness_table
    from hearbench.views.robustness_plot import draw_robustness
    from hearbench.views.style import check_plot_name, save_figure

    if plot is not None:
        check_plot_name(plot)
    found = find_robustness(result)
    if baseline is not None and baseline not in {each.model for each in found}:
        near = did_you_mean(baseline, list(dict.fromkeys(each.model for each in found)))
        raise HearError(f"--baseline {baseline}: there is no such model here. {near}")
    tables, notes = _tables(found, score, baseline)
    if plot is not None:
        save_figure(draw_robustness(found, score=score), plot)
    if csv is not None:
        write_text(csv, robustness_table(found, score).to_csv())
    for path in (plot, csv):
        if path is not None:
            say(f"wrote {path}")
    if json:
        answer_json(
            {
                "robustness": [
                    {
                        "model": each.model,
                        "path": str(each.path),
                        **each.content.model_dump(mode="json", exclude={"model"}),
                    }
                    for each in found
                ]
            }
        )
        return
    show(*tables, *notes)


def show_robustness(results: Results) -> None:
    """Prints what scores lose in the results of an evaluation."""
    from hearbench.results.robustness import name_models

    tables, notes = _tables(name_models(results.robustness))
    show(*tables, *notes)


def _tables(
    found: Sequence[FoundRobustness], score: str | None = None, baseline: str | None = None
) -> tuple[list[Table], list[str]]:
    """A table per task, perturbations down and models across, and sentences that explain them.

    Args:
        score: Name of a score; by default each task's first.
        baseline: Model whose mean loss the others' are compared with.
    """
    from hearbench.results.robustness import robustness_by_task

    tables = [
        _table(task, name, models, baseline)
        for task, (name, models) in robustness_by_task(found, score).items()
    ]
    levels = sorted({each.content.level for each in found})
    level = " or ".join(f"{100 * each:g} %" for each in levels)
    notes = [
        f"Loss: how much worse than clean, with its paired {level} interval; p: of no loss, not "
        "corrected for the number of tests."
    ]
    if len(tables) < len(found):
        notes[0] = f"In brackets: the loss, with half of its paired {level} interval."
    for each in found:
        notes += [f"{each.model} on {each.task}: {note}" for note in each.content.notes]
    return tables, list(dict.fromkeys(notes))


def _table(task: str, name: str, models: Sequence[FoundRobustness], baseline: str | None) -> Table:
    first = models[0].content
    better = "" if first.maximise[name] else ", lower is better"
    if len(models) == 1:
        table = Table(
            [
                Column("perturbation", wrap="names"),
                Column(name, number, align="right"),
                Column("loss"),
                Column("p", align="right"),
            ],
            f"{task}: {name}{better}, {models[0].model}",
        )
        table.add("clean", first.clean[name])
        for point in first.points:
            loss = point.losses[name]
            table.add(point.title, point.scores[name], _with_ends(loss), _p(loss.p))
        table.end_section()
        for means in first.means:
            mean = means.losses[name]
            table.add(means.title, None, _with_ends(mean), _p(mean.p))
        return table
    columns = [Column("perturbation", wrap="names")]
    columns += [Column(each.model, wrap="names", min_width=15) for each in models]
    table = Table(columns, f"{task}: {name}{better}")
    table.add("clean", *(number(each.content.clean[name]) for each in models))
    keys = dict.fromkeys(point.title for each in models for point in each.content.points)
    for key in keys:
        cells = []
        for each in models:
            own = {point.title: point for point in each.content.points}.get(key)
            shown = own and f"{number(own.scores[name])} ({_with_half(own.losses[name])})"
            cells.append(shown)
        table.add(key, *cells)
    table.end_section()
    for title in dict.fromkeys(means.title for each in models for means in each.content.means):
        found = [
            next((means for means in each.content.means if means.title == title), None)
            for each in models
        ]
        table.add(title, *(None if one is None else _with_half(one.losses[name]) for one in found))
    if baseline is not None and any(each.model == baseline for each in models):
        _add_baseline(table, name, models, baseline)
    return table


def _add_baseline(
    table: Table, name: str, models: Sequence[FoundRobustness], baseline: str
) -> None:
    """Rows that compare each model's mean loss with a baseline's."""
    from hearbench.results.robustness import losses_beside

    base = next(each for each in models if each.model == baseline)
    of_base = base.content.means[0].losses[name].mean
    shares = []
    differences: list[str | None] = []
    for each in models:
        own = each.content.means[0].losses[name].mean
        shares.append(number(own / of_base) if of_base > 0 else None)
        if each is base:
            differences.append(None)
            continue
        found = losses_beside(each, base, name)
        differences.append(f"{_with_half(found)}, p {_p(found.p)}")
    table.add(f"as a share of {baseline}'s", *shares)
    table.add(f"more than {baseline}'s", *differences)


def _with_ends(loss: Loss) -> str:
    if math.isnan(loss.low):
        return number(loss.mean)
    return f"{number(loss.mean)} ({number(loss.low)} to {number(loss.high)})"


def _with_half(loss: Loss) -> str:
    if math.isnan(loss.low):
        return number(loss.mean)
    return f"{number(loss.mean)} ± {number((loss.high - loss.low) / 2)}"


def _p(p: float) -> str:
    if math.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"
