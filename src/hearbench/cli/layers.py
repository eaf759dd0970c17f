"""``hearbench layers``: scores by layer of a network, and learned weights of layers."""

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
from hearbench.table import Column, Styled, Table

if TYPE_CHECKING:
    from hearbench.results.layers import LayerCurve, LayerScore, LayersOfModel

__all__ = ["layers"]


@verb(
    "hearbench layers results --plot layers.png",
    "hearbench layers results/my_model results-weighted/my_model",
    "hearbench layers results/model_a results/model_b --score mAP --csv layers.csv",
)
def layers(
    result: o.Results,
    score: o.Score = None,
    plot: o.Plot = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="CSV to write, with a row per model and layer."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Markdown to write, with all tables."),
    ] = None,
    json: o.Json = False,
) -> None:
    """Shows scores by layer of a network, and the weights that were learned of its layers.

    Models stand side by side. The results come from `hearbench evaluate --protocol layers` and
    `--protocol weighted`.
    """
    from hearbench.files import write_text
    from hearbench.results.layers import find_layers, layers_by_task, layers_table
    from hearbench.views.layer_plot import draw_layers
    from hearbench.views.style import check_plot_name, save_figure

    if plot is not None:
        check_plot_name(plot)
    found = find_layers(result)
    by_task = layers_by_task(found, score)
    tables = [_table(task, name, models) for task, (name, models) in by_task.items()]
    notes = _notes([models for _, models in by_task.values()])
    if plot is not None:
        save_figure(draw_layers(found, score=score), plot)
    if csv is not None:
        write_text(csv, layers_table(found, score).to_csv())
    if markdown is not None:
        parts = [f"### {table.title}\n\n{table.to_markdown()}" for table in tables]
        write_text(markdown, "\n".join([*parts, *(f"{note}\n" for note in notes)]))
    for path in (plot, csv, markdown):
        if path is not None:
            say(f"wrote {path}")
    if json:
        answer_json(
            {
                "layers": [
                    {
                        "model": each.model,
                        "task": each.task,
                        "curve": each.curve and each.curve.model_dump(mode="json"),
                        "weights": each.weights and each.weights.model_dump(mode="json"),
                    }
                    for each in found
                ]
            }
        )
        return
    show(*tables, *notes)


def _table(task: str, score: str, models: Sequence[LayersOfModel]) -> Table:
    """A task's layers down and models across; of a single model the validation as well."""
    alone = len(models) == 1
    columns = [Column("layer", wrap="between words", min_width=10)]
    for each in models:
        if alone and each.curve:
            columns.append(Column("validation", number, align="right"))
        columns.append(Column(score if alone else each.model, wrap="names", min_width=15))
        if each.weights:
            columns.append(Column("weight", number, align="right"))
    better = "" if models[0].results[0].maximise[score] else ", lower is better"
    whose = f"layers of {models[0].model}" if alone else "by layer"
    table = Table(columns, f"{task}: {score}{better}, {whose}")
    for layer in sorted({layer for each in models for layer in each.layers}):
        table.add(layer, *(c for each in models for c in _layer_cells(each, layer, score, alone)))
    table.end_section()
    for what, curves in (("best by validation", True), ("weighted", False)):
        results = [each.curve if curves else each.weights for each in models]
        if any(results):
            cells = [
                cell
                for each, result in zip(models, results, strict=True)
                for cell in _cells(
                    each, _text(result.scores[score] if result else None, alone), alone
                )
            ]
            table.add(what, *cells)
    return table


def _layer_cells(own: LayersOfModel, layer: int, score: str, alone: bool) -> list[object]:
    """Cells of a model in the row of a layer."""
    point = own.points.get(layer)
    text: object = _text(point.scores[score] if point else None, alone)
    if point and point.chosen_by:
        text = Styled(f"{text} *", "bold")
    weight = own.weights.mean.get(layer) if own.weights else None
    return _cells(own, text, alone, point.validation if point else None, weight)


def _cells(
    own: LayersOfModel,
    score: object,
    alone: bool,
    validation: float | None = None,
    weight: float | None = None,
) -> list[object]:
    """The values of a model's columns, of which some models have fewer than others."""
    return [
        *([validation] if alone and own.curve else []),
        score,
        *([weight] if own.weights else []),
    ]


def _text(score: LayerScore | None, alone: bool) -> str | None:
    """A score with its interval: both ends where there is room, else half of its width."""
    if score is None:
        return None
    if score.low is None or score.high is None or math.isnan(score.low):
        return number(score.mean)
    if alone:
        return f"{number(score.mean)} ({number(score.low)} to {number(score.high)})"
    return f"{number(score.mean)} ± {number((score.high - score.low) / 2)}"


def _notes(tasks: Sequence[Sequence[LayersOfModel]]) -> list[str]:
    """Sentences that explain the tables' marks and numbers, and say what readers should know."""
    everything = [each for models in tasks for each in models]
    levels = sorted(
        {result.level for each in everything for result in each.results if result.level}
    )
    interval = f"{' or '.join(f'{100 * level:g} %' for level in levels)} interval"
    notes = []
    if any(each.curve for each in everything):
        notes.append("*: the best by validation; the test clips have no say in it.")
    if levels and any(len(models) == 1 for models in tasks):
        notes.append(f"In brackets: the {interval}.")
    if levels and any(len(models) > 1 for models in tasks):
        notes.append(f"±: half of the {interval}.")
    if any(each.weights for each in everything):
        notes.append(
            "weight: of a layer in the weighted sum, the mean over test splits and seeds; "
            "weighted: the score of a probe on that sum."
        )
    for models in tasks:
        curves = {each.model: each.curve for each in models if each.curve}
        if len({curve.protocol for curve in curves.values()}) > 1:
            listed = "; ".join(f"{model} by {curve.protocol}" for model, curve in curves.items())
            notes.append(f"{models[0].task}: evaluated by different protocols, {listed}.")
        notes += [
            f"{model} on {curve.task}: validation chose {_choices(curve)}."
            for model, curve in curves.items()
            if len(curve.best) > 1
        ]
    return notes


def _choices(curve: LayerCurve) -> str:
    parts = [
        f"layer {point.layer} with seed{'s' * (len(point.chosen_by) > 1)} "
        f"{', '.join(map(str, point.chosen_by))}"
        for point in curve.points
        if point.chosen_by
    ]
    return "; ".join(parts)
