"""A comparison as CSV: a row per pair of models and task."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from hearbench.comparison.record import Comparison
from hearbench.errors import HearError
from hearbench.files import write_text

__all__ = ["COLUMNS", "write_comparison_csv"]

# In the order of the file.
COLUMNS = (
    *("task", "score", "n_clips", "model_a", "model_b", "mean_a", "mean_b", "difference"),
    *("low", "high", "p", "p_holm", "better"),
    *("low_alone", "high_alone", "p_bootstrap", "p_permutation"),
)


def write_comparison_csv(found: Comparison, path: Path) -> None:
    """Writes UTF-8 with a header; what is unknown or undefined is empty, infinities are "inf".

    Raises:
        HearError: The file can't be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for task in found.tasks:
        means = {score.model: score.mean for score in task.scores}
        for pair in task.pairs:
            numbers = (
                *(means[pair.model_a], means[pair.model_b], pair.difference),
                *(pair.low, pair.high, pair.p, pair.p_holm),
            )
            alone = (pair.low_alone, pair.high_alone, pair.p_bootstrap, pair.p_permutation)
            writer.writerow(
                (
                    *(task.task, task.score, task.n_clips, pair.model_a, pair.model_b),
                    *("" if math.isnan(value) else repr(value) for value in numbers),
                    pair.better or "",
                    *("" if math.isnan(value) else repr(value) for value in alone),
                )
            )
    try:
        write_text(path, text.getvalue())
    except OSError as error:
        raise HearError(f"{path} can't be written: {error.strerror}.") from error
