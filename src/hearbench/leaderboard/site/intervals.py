"""Intervals of a user's scores, where they were computed beside the results."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ScoreInterval", "interval_of"]


@dataclass(frozen=True)
class ScoreInterval:
    """Where a score lies, as far as its uncertainty is known.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: That it is meant to hold, in 0 to 1.
        sources: What it covers, of ``test clips``, ``seeds`` and ``folds``.
    """

    low: float
    high: float
    level: float
    sources: tuple[str, ...]


def interval_of(folder: Path) -> ScoreInterval | None:
    """The interval of a result's first score, all known sources of variance together.

    Args:
        folder: Of the result, with an ``uncertainty.json`` in it.

    Returns:
        None where there is no such file, or it doesn't know one.

    Raises:
        ResultError: The file can't be read.
    """
    from hearbench.results.uncertainty import UNCERTAINTY_FILE, Uncertainty

    file = folder / UNCERTAINTY_FILE
    if not file.is_file():
        return None
    record = Uncertainty.read(file)
    score = record.scores.get(record.primary_score)
    if score is None or score.total is None:
        return None
    ends = score.total.interval
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        return None
    sources = {"test clips": score.clips, "seeds": score.seeds, "folds": score.folds}
    known = tuple(name for name, source in sources.items() if source is not None)
    return ScoreInterval(ends.low, ends.high, record.level, known)
