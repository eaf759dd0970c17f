"""The folder of a result: its record, its predictions, and the published evaluation's own form.

``SHA256SUMS`` lists them all, by which it is noticed when one of them is damaged.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from hearbench.digest import digest_bytes
from hearbench.errors import ResultError
from hearbench.files import TEMPORARY_PREFIX, json_text, write_json, write_text
from hearbench.probe.predictions import FittedProbe
from hearbench.probe.protocol import NeighbourPoint
from hearbench.results.aggregate import mean_std
from hearbench.results.damage import PREDICTIONS, REFERENCE_FILE, belongs_to_result
from hearbench.results.predictions import Predictions
from hearbench.results.record import RESULT_FILE, Result
from hearbench.sums import read_sums, sums_of, write_sums

__all__ = ["reference_form", "write_result"]

# Hyperparameters of the published code that have one value, as it writes them.
_FIXED = {
    "embedding_norm": "<class 'torch.nn.modules.linear.Identity'>",
    "hidden_norm": "<class 'torch.nn.modules.batchnorm.BatchNorm1d'>",
    "norm_after_activation": False,
    "optim": "<class 'torch.optim.adam.Adam'>",
}


def write_result(result: Result, predictions: FittedProbe, folder: Path) -> Path:
    """Writes a result's folder, ``result.json`` last.

    Returns:
        The path of ``result.json``.

    Raises:
        ResultError: The folder can't be written.
    """
    try:
        Predictions.of(predictions).write(folder)
        on_loss = not predictions.task.metadata.use_scoring_for_early_stopping
        write_json(folder / REFERENCE_FILE, reference_form(result, on_loss=on_loss))
        text = json_text(result.model_dump(mode="json"))
        digests = sums_of(folder, [*_files_below(folder / PREDICTIONS), folder / REFERENCE_FILE])
        # Before the file that says that all the others are there.
        write_sums(
            folder,
            {**_others(folder), **digests, RESULT_FILE: digest_bytes(text.encode("utf-8"))},
        )
        write_text(folder / RESULT_FILE, text)
    except OSError as error:
        place = error.filename or folder
        raise ResultError(
            f"The result can't be written: {place}: {error.strerror}.", code="io"
        ) from error
    return folder / RESULT_FILE


def _files_below(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(TEMPORARY_PREFIX)
    ]


def _others(folder: Path) -> dict[str, str]:
    """What the folder's list says of files that aren't this result's."""
    listed = read_sums(folder)
    return {name: digest for name, digest in listed.items() if not belongs_to_result(name)}


def reference_form(result: Result, *, on_loss: bool = False) -> dict[str, Any]:
    """The content of ``test.predicted-scores.json``, as the published evaluation wrote it.

    Epochs are counted from 0 and hyperparameters have its names, those that never change included.

    Args:
        on_loss: Whether the validation loss chose, and not the first score.
    """
    parts: dict[str, dict[str, float]] = {}
    for fold in result.folds:
        scores = {f"test_{name}": s.per_fold[fold.test] for name, s in result.scores.items()}
        for name, summary in result.scores.items():
            for part, numbers in summary.parts.items():
                scores[f"test_{name}_{part}"] = numbers.per_fold[fold.test]
        parts[fold.test] = {
            **scores,
            "test_score": scores[f"test_{result.primary_score}"],
            "test_loss": fold.test_loss,
            "validation_score": fold.validation_score,
            "epoch": max(0, fold.best_epoch - 1),
            "time_in_min": result.resources.fold_s[fold.test] / 60,
        }
    whole: dict[str, Any] = dict(parts)
    if len(parts) > 1:
        aggregated: dict[str, float] = {}
        for key in next(iter(parts.values())):
            mean, std = mean_std([part[key] for part in parts.values()])
            aggregated[f"{key}_mean"] = mean
            aggregated[f"{key}_std"] = math.nan if std is None else std
        whole["aggregated_scores"] = aggregated
    return {
        **whole,
        "hparams": _hyperparameters(result),
        "postprocessing": _reference_postprocessing(result),
        "score_mode": "max" if result.primary.maximise and not on_loss else "min",
        "embedding_path": result.resources.embeddings_path,
    }


def _hyperparameters(result: Result) -> dict[str, Any]:
    """By the published names, sorted as there; those of neighbours, which it hasn't, by ours."""
    point = result.grid[result.chosen].point
    if isinstance(point, NeighbourPoint):
        return point.model_dump()
    names = {"check_every": "check_val_every_n_epoch"}
    found = {names.get(name, name): value for name, value in point.model_dump().items()}
    found |= {
        **_FIXED,
        "batch_size": result.protocol.batch_size,
        # The published code writes what Python prints, the address in memory included.
        "initialization": f"<function xavier_{point.initialization}_ at 0x0>",
    }
    return dict(sorted(found.items()))


def _reference_postprocessing(result: Result) -> list[list[str | float]]:
    postprocessing = result.folds[0].postprocessing
    if postprocessing is None:
        return []
    return [
        ["median_filter_ms", postprocessing.median_filter_ms],
        ["min_duration", postprocessing.min_duration_ms],
    ]
