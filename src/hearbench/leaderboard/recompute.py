"""Computes the scores of a result again, from the predictions that lie beside it.

Nothing in ``result.json`` is believed but what can't be known otherwise: how frames were made
into events, and which test splits there should be. Events are found in the frames' probabilities
again, so a list of events that doesn't follow from them is noticed.
"""

from __future__ import annotations

from pathlib import Path

from hearbench.results.damage import PREDICTIONS
from hearbench.results.predictions import Predictions
from hearbench.results.record import ScoreSummary
from hearbench.tasks.store import PreparedTask

__all__ = ["has_predictions", "recompute"]


def has_predictions(folder: Path) -> bool:
    """Whether predictions lie beside a result, from which it can be computed again."""
    return (folder / PREDICTIONS).is_dir()


def recompute(folder: Path, task: PreparedTask | None = None) -> dict[str, ScoreSummary]:
    """Computes all scores of a result's folder from its stored predictions.

    Args:
        folder: The result's, with ``result.json`` and ``predictions/``.
        task: The task, to compare its labels with those that are stored with the predictions.

    Returns:
        By name of the score, in the result's order, what `hearbench.results.score` would give.

    Raises:
        ResultError: A file is missing, isn't what it should be, or contradicts another.
        UnknownNameError: The result has a score that doesn't exist.
    """
    predictions = Predictions.read(folder)
    predictions.verify(task)
    return predictions.scores()
