"""Results of a model's layers, with predictions that are made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers_leaderboard import ESC50, made_up_predictions

from hearbench.files import write_json
from hearbench.probe.predictions import FittedProbe
from hearbench.probe.protocol import HEAR2021, Protocol
from hearbench.results import score, write_result
from hearbench.results.damage import note_file
from hearbench.results.finding import SEEDS_FOLDER, layer_folder
from hearbench.results.record import LayersRecord
from hearbench.results.uncertainty import UNCERTAINTY_FILE, uncertainty

__all__ = [
    "PLAIN",
    "THREE_LAYERS",
    "MadeUpLayer",
    "fitted_layer",
    "write_layer",
    "write_layers_result",
    "write_weighted_result",
]

PLAIN = HEAR2021.restricted(first=3)


@dataclasses.dataclass(frozen=True)
class MadeUpLayer:
    """How a layer does: clips of each fold's 20 that it gets wrong, and its validation by seed."""

    wrong: int
    validations: tuple[float, ...]


# Layer 2 is the best in the test, and layers 4 and 7 in the validation of either seed.
THREE_LAYERS = {
    2: MadeUpLayer(1, (0.5, 0.4)),
    4: MadeUpLayer(4, (0.9, 0.6)),
    7: MadeUpLayer(10, (0.7, 0.8)),
}


def fitted_layer(
    validation: float, *, task: str = ESC50, seed: int = 42, embeddings: str = "4" * 64, **more: Any
) -> FittedProbe:
    """Made-up predictions whose every fold ended at this validation."""
    fitted = made_up_predictions(task, **more)
    folds = tuple(
        dataclasses.replace(
            fold, outcome=fold.outcome.model_copy(update={"validation_score": validation})
        )
        for fold in fitted.folds
    )
    return dataclasses.replace(fitted, folds=folds, seed=seed, embeddings_digest=embeddings)


def write_layer(folder: Path, layer: int, fitted: FittedProbe, *, first_seed: int = 42) -> Path:
    """Writes a layer's result below a task's folder, as `hearbench evaluate` does."""
    place = _seed_folder(layer_folder(folder, layer), fitted.seed, first_seed)
    write_result(score(fitted), fitted, place)
    return place


def write_layers_result(
    out: Path,
    layers: Mapping[int, MadeUpLayer] = THREE_LAYERS,
    *,
    model: str = "my_model",
    task: str = ESC50,
    seeds: Sequence[int] = (42,),
) -> Path:
    """A result of the protocol ``layers`` with all that lies below it; its MODEL/TASK.

    The second seed gets one clip more wrong than the first, and so on.
    """
    folder = out / model / task
    for i, seed in enumerate(seeds):
        fitted = {
            number: fitted_layer(
                layer.validations[i],
                # Each layer's embeddings have a content of their own.
                embeddings=f"{number:064x}",
                task=task,
                seed=seed,
                model=model,
                wrong=layer.wrong + i,
                protocol=PLAIN,
            )
            for number, layer in layers.items()
        }
        for number, predictions in fitted.items():
            write_layer(folder, number, predictions, first_seed=seeds[0])
        best = max(layers, key=lambda number: layers[number].validations[i])
        record = LayersRecord(numbers=tuple(layers), chosen=best)
        _write(_seed_folder(folder, seed, seeds[0]), fitted[best], record, "layers")
    for place in (*(layer_folder(folder, number) for number in layers), folder):
        _write_intervals(place)
    return folder


def write_weighted_result(
    out: Path,
    weights: Sequence[Mapping[str, tuple[float, ...]]],
    *,
    numbers: Sequence[int] = tuple(THREE_LAYERS),
    model: str = "my_model",
    task: str = ESC50,
    wrong: int = 2,
) -> Path:
    """A result of the protocol ``weighted``, of so many seeds as there are weights; MODEL/TASK."""
    folder = out / model / task
    for seed, by_split in enumerate(weights, start=42):
        fitted = fitted_layer(0.5, task=task, seed=seed, model=model, wrong=wrong, protocol=PLAIN)
        record = LayersRecord(numbers=tuple(numbers), weights=dict(by_split))
        _write(_seed_folder(folder, seed, 42), fitted, record, "weighted")
    _write_intervals(folder)
    return folder


def _write(place: Path, fitted: FittedProbe, record: LayersRecord, reads: Any) -> None:
    protocol: Protocol = fitted.protocol.that_reads(reads)
    fitted = dataclasses.replace(fitted, protocol=protocol, layers=record)
    write_result(score(fitted), fitted, place)


def _write_intervals(folder: Path) -> None:
    sure = uncertainty(folder, n_resamples=50)
    write_json(folder / UNCERTAINTY_FILE, sure.model_dump(mode="json"))
    note_file(folder, UNCERTAINTY_FILE)


def _seed_folder(folder: Path, seed: int, first: int) -> Path:
    return folder if seed == first else folder / SEEDS_FOLDER / str(seed)
