"""Results of a model's layers, with predictions that are made up."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from helpers_leaderboard import ESC50, made_up_predictions

from hearbench.probe.predictions import FittedProbe
from hearbench.results import score, write_result
from hearbench.results.finding import SEEDS_FOLDER, layer_folder

__all__ = ["fitted_layer", "write_layer"]


def fitted_layer(
    validation: float, *, task: str = ESC50, seed: int = 42, **more: Any
) -> FittedProbe:
    """Made-up predictions whose every fold ended at this validation."""
    fitted = made_up_predictions(task, **more)
    folds = tuple(
        dataclasses.replace(
            fold, outcome=fold.outcome.model_copy(update={"validation_score": validation})
        )
        for fold in fitted.folds
    )
    return dataclasses.replace(fitted, folds=folds, seed=seed)


def write_layer(folder: Path, layer: int, fitted: FittedProbe, *, first_seed: int = 42) -> Path:
    """Writes a layer's result below a task's folder, as `hearbench evaluate` does."""
    place = layer_folder(folder, layer)
    if fitted.seed != first_seed:
        place = place / SEEDS_FOLDER / str(fitted.seed)
    write_result(score(fitted), fitted, place)
    return place
