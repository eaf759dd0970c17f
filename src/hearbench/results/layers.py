"""Scores by layer of a network, and the weights that were learned of its layers.

A result of the protocol ``layers`` has a result of each layer below it::

    MODEL/TASK/result.json              of the layer that was best by validation
    MODEL/TASK/layers/04/result.json    of layer 4, with its further seeds, predictions, intervals

One of the protocol ``weighted`` holds the weights themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hearbench.errors import ResultError, UnknownNameError
from hearbench.records import Number, Record
from hearbench.results.aggregate import mean_std
from hearbench.results.finding import find_result_files, layer_folder, seed_folders, telling_name
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.uncertainty import read_uncertainty
from hearbench.table import Column, Table

__all__ = [
    "LayerCurve",
    "LayerPoint",
    "LayerResult",
    "LayerScore",
    "LayerWeights",
    "LayersOfModel",
    "find_layers",
    "layers_by_task",
    "layers_table",
    "read_layers",
]


class LayerScore(Record):
    """One score of a layer, or of several layers together.

    Attributes:
        mean: Over seeds and folds.
        std: Standard deviation over seeds where there are several, else over folds; None where
            there is one of each.
        low: Lower end of the interval of the mean; None where it is unknown.
        high: Upper end of the interval.
    """

    mean: Number
    std: Number | None
    low: Number | None
    high: Number | None


class LayerPoint(Record):
    """One layer.

    Attributes:
        layer: Its number, from 0.
        validation: The best validation, the mean over seeds and folds: of the task's first score,
            or of the loss where the task chooses by that.
        chosen_by: Seeds in which validation chose this layer.
        scores: All of the task's, in its order.
    """

    layer: int
    validation: Number
    chosen_by: tuple[int, ...]
    scores: dict[str, LayerScore]


class LayerResult(Record):
    """What both kinds of results of layers say.

    Attributes:
        folder: Folder of the result.
        model: Name of the model.
        task: Name of the task.
        protocol: Name of the protocol.
        seeds: Seeds of the trainings, the first seed first.
        primary_score: The one that was optimised.
        maximise: Whether higher is better, by score.
        level: Confidence level of the intervals; None where there are none.
        scores: The result's own scores, in the task's order.
    """

    folder: str
    model: str
    task: str
    protocol: str
    seeds: tuple[int, ...]
    primary_score: str
    maximise: dict[str, bool]
    level: float | None
    scores: dict[str, LayerScore]


class LayerCurve(LayerResult):
    """Scores by layer. The result's own scores are of the layer that validation chose.

    Attributes:
        points: The layers, in ascending order.
    """

    points: tuple[LayerPoint, ...]

    @property
    def best(self) -> tuple[int, ...]:
        """The layers that were best by validation: one, unless seeds differ."""
        return tuple(point.layer for point in self.points if point.chosen_by)


class LayerWeights(LayerResult):
    """The weights of layers whose sum a probe learned from.

    Attributes:
        mean: Mean weight over seeds and test splits, by layer.
        weights: Weights by seed and test split, in the order of ``mean``; each sums to 1.
    """

    mean: dict[int, Number]
    weights: dict[int, dict[str, tuple[Number, ...]]]


@dataclass(frozen=True)
class LayersOfModel:
    """A model's results of layers on a task.

    Attributes:
        model: A name for the model that tells it from the others that were found.
        curve: Scores by layer; None if there is no such result.
        weights: The learned weights; None if there is no such result.
    """

    model: str
    task: str
    curve: LayerCurve | None = None
    weights: LayerWeights | None = None

    @property
    def results(self) -> tuple[LayerResult, ...]:
        """Those that there are, at least one."""
        return tuple(each for each in (self.curve, self.weights) if each is not None)

    def joined_by(self, result: LayerCurve | LayerWeights) -> LayersOfModel:
        """The same with a result of either kind."""
        if isinstance(result, LayerCurve):
            return replace(self, curve=result)
        return replace(self, weights=result)

    @property
    def points(self) -> dict[int, LayerPoint]:
        """The points of the curve by their layers; empty without one."""
        return {point.layer: point for point in self.curve.points} if self.curve else {}

    @property
    def layers(self) -> list[int]:
        """Numbers of the layers that either result is of, in ascending order."""
        return sorted({*self.points, *(self.weights.mean if self.weights else ())})


def read_layers(folder: Path) -> LayerCurve | LayerWeights | None:
    """Reads what a result says of layers.

    Args:
        folder: ``MODEL/TASK``.

    Returns:
        Scores by layer, or the learned weights; None if the result is of neither kind.

    Raises:
        ResultError: A result is missing or can't be read, or a layer's is of another task or of
            other seeds.
    """
    own = seed_folders(folder)
    first = own[0][1]
    if first.layers is None:
        return None
    seeds = tuple(result.seed for _, result in own)
    scores, level = _scores(folder, [result for _, result in own])
    about = {
        "folder": str(folder),
        "model": first.model.name,
        "task": first.task.name,
        "protocol": first.protocol.name,
        "seeds": seeds,
        "primary_score": first.primary_score,
        "maximise": {name: summary.maximise for name, summary in first.scores.items()},
        "scores": scores,
    }
    layers = {result.seed: result.layers for _, result in own if result.layers is not None}
    if first.layers.chosen is None:
        weights = {seed: dict(record.weights) for seed, record in layers.items()}
        mean = _mean_weights(first.layers.numbers, weights)
        return LayerWeights(**about, level=level, mean=mean, weights=weights)
    chosen = {seed: record.chosen for seed, record in layers.items()}
    points = []
    for number in first.layers.numbers:
        results = _of_layer(folder, number, first, seeds)
        of_layer, known = _scores(layer_folder(folder, number), results)
        level = level or known
        validations = [fold.validation_score for each in results for fold in each.folds]
        points.append(
            LayerPoint(
                layer=number,
                # As the choice is made: without a validation in one fold there is no mean.
                validation=sum(validations) / len(validations),
                chosen_by=tuple(seed for seed in seeds if chosen.get(seed) == number),
                scores=of_layer,
            )
        )
    return LayerCurve(**about, level=level, points=tuple(points))


def find_layers(places: Sequence[Path]) -> list[LayersOfModel]:
    """Reads the results of layers in folders.

    Args:
        places: Each a task's result, a model's folder, or one of several models, as
            ``hearbench evaluate --out`` makes it.

    Raises:
        ResultError: A folder has no results of layers, or one can't be read.
    """
    files: dict[Path, LayerCurve | LayerWeights] = {}
    for place in places:
        read = {file.resolve(): read_layers(file.parent) for file in find_result_files(place)}
        found = {file: layers for file, layers in read.items() if layers is not None}
        if not found:
            raise ResultError(
                f"{place} holds no results of layers. `hearbench evaluate` makes them with "
                "--protocol layers or --protocol weighted.",
                code="not_found",
            )
        files.update(found)
    names = _names(files)
    together: dict[tuple[str, str], LayersOfModel] = {}
    for file, layers in files.items():
        key = names[file], layers.task
        together[key] = together.get(key, LayersOfModel(*key)).joined_by(layers)
    return list(together.values())


def layers_by_task(
    found: Sequence[LayersOfModel], score: str | None = None
) -> dict[str, tuple[str, tuple[LayersOfModel, ...]]]:
    """Arranges results of layers by their tasks.

    Args:
        score: A score that all tasks must have; None where each is shown by its first.

    Returns:
        By task the name of the score, and the models.

    Raises:
        UnknownNameError: A task hasn't that score.
    """
    by_task: dict[str, tuple[str, tuple[LayersOfModel, ...]]] = {}
    for each in found:
        for result in each.results:
            if score is not None and score not in result.scores:
                raise UnknownNameError(
                    f"{each.task} has no score {score!r}; it has {', '.join(result.scores)}."
                )
        name, before = by_task.get(each.task, (score or each.results[0].primary_score, ()))
        by_task[each.task] = name, (*before, each)
    return by_task


def layers_table(found: Sequence[LayersOfModel], score: str | None = None) -> Table:
    """All results of layers, for programs: a row per task, model and layer.

    In ``result`` stands ``layer``, or ``best`` and ``weighted`` for the result of the layers that
    validation chose, and of their weighted sum, which have no ``layer``.

    Raises:
        UnknownNameError: A task hasn't that score.
    """
    heads = ("task", "model", "protocol", "result", "layer", "score")
    figures = ("mean", "std", "low", "high", "validation", "chosen", "weight")
    table = Table([Column(name) for name in (*heads, *figures)])
    for task, (name, models) in layers_by_task(found, score).items():
        for each in models:
            for row in _rows(each, name):
                table.add(task, each.model, *row)
    return table


def _rows(own: LayersOfModel, name: str) -> Iterator[tuple[object, ...]]:
    """Rows of one model on one task, from the protocol on."""
    points = own.points
    weights = own.weights.mean if own.weights else {}
    protocol = (own.curve or own.results[0]).protocol
    for layer in own.layers:
        head = protocol, "layer", layer, name
        weight = weights.get(layer)
        if layer not in points:
            yield (*head, *(None,) * 6, weight)
            continue
        point = points[layer]
        figures = _figures(point.scores[name])
        yield (*head, *figures, point.validation, bool(point.chosen_by), weight)
    for what, result in (("best", own.curve), ("weighted", own.weights)):
        if result is not None:
            yield (result.protocol, what, None, name, *_figures(result.scores[name]))


def _figures(score: LayerScore) -> tuple[float | None, ...]:
    return score.mean, score.std, score.low, score.high


def _of_layer(folder: Path, number: int, first: Result, seeds: tuple[int, ...]) -> list[Result]:
    """The results of a layer, seed by seed.

    Raises:
        ResultError: They are missing, or of another task or of other seeds.
    """
    place = layer_folder(folder, number)
    if not (place / RESULT_FILE).is_file():
        raise ResultError(
            f"{place / RESULT_FILE} is missing, which belongs to {folder / RESULT_FILE}. Evaluate "
            "again with --overwrite.",
            code="not_found",
        )
    results = [result for _, result in seed_folders(place)]
    # A run that was stopped may have left more seeds of a layer.
    found = {
        "another task": results[0].task.digest != first.task.digest,
        "other scores": list(results[0].scores) != list(first.scores),
        "other seeds": not {result.seed for result in results}.issuperset(seeds),
    }
    differences = [what for what, differs in found.items() if differs]
    if differences:
        raise ResultError(
            f"{place / RESULT_FILE} is of {' and of '.join(differences)} than "
            f"{folder / RESULT_FILE} above it. Evaluate again with --overwrite."
        )
    return results


def _scores(folder: Path, results: Sequence[Result]) -> tuple[dict[str, LayerScore], float | None]:
    """Scores over the seeds of a result, and the level of their intervals where these are known."""
    sure = read_uncertainty(folder)
    scores = {}
    for name, summary in results[0].scores.items():
        mean, std = mean_std([result.scores[name].mean for result in results])
        total = sure.scores[name].total if sure is not None and name in sure.scores else None
        scores[name] = LayerScore(
            mean=mean,
            std=std if len(results) > 1 else summary.std,
            low=total.interval.low if total else None,
            high=total.interval.high if total else None,
        )
    return scores, sure.level if sure else None


def _mean_weights(
    numbers: Sequence[int], weights: Mapping[int, Mapping[str, Sequence[float]]]
) -> dict[int, float]:
    every = [split for by_split in weights.values() for split in by_split.values()]
    return {layer: mean_std([split[i] for split in every])[0] for i, layer in enumerate(numbers)}


def _names(files: Mapping[Path, LayerResult]) -> dict[Path, str]:
    """The name of each model's folder, with as much of its path as tells results apart."""
    names = {}
    for file, layers in files.items():
        rivals = [
            other.parents[1]
            for other, its in files.items()
            if other != file and (its.task, type(its)) == (layers.task, type(layers))
        ]
        names[file] = telling_name(file.parents[1], rivals)
    return names
