"""Numbers of a submitted result that no evaluation gives, found before anything is computed.

Computing scores again trusts that times are finite and that a median filter spans some frames.
Whoever edits a result can say otherwise, and would have a maintainer's machine fail or work for
hours.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from hearbench.errors import ResultError
from hearbench.results.record import RESULT_FILE, FoldResult, Result
from hearbench.results.stored import REMEDY, read_array
from hearbench.tasks.spec import is_plain_name

__all__ = ["check_plausible"]

_FOLDER = "predictions"
# Of a median filter, over all clips of a split: so many frames per frame that there is, or so many
# in all if that is more. Each takes a few dozen bytes.
_MOST_PER_FRAME, _MOST_FRAMES = 16, 1 << 20


def check_plausible(result: Result, folder: Path) -> None:
    """Refuses a result whose scores can't be computed again in the time that it should take.

    What else can be wrong with the files is for `hearbench.leaderboard.recompute` to find.

    Args:
        result: The result.
        folder: Where it lies, with ``predictions/``.

    Raises:
        ResultError: It has no labels, or times or filters that can't be; or its timestamps can't
            be read.
    """
    if result.n_labels < 1:
        raise ResultError(f"{folder / RESULT_FILE} says that there are no labels. {REMEDY}")
    if result.kind != "event":
        return
    for fold in result.folds:
        if fold.postprocessing is not None and is_plain_name(fold.test):
            _check_times(fold, fold.postprocessing.median_filter_ms, folder)
            duration_ms = fold.postprocessing.min_duration_ms
            if not (math.isfinite(duration_ms) and duration_ms >= 0):
                raise ResultError(
                    f"{folder / RESULT_FILE} says that events of {fold.test} last {duration_ms} ms "
                    f"or more, which isn't a duration. {REMEDY}"
                )


def _check_times(fold: FoldResult, median_filter_ms: float, folder: Path) -> None:
    file = folder / _FOLDER / f"{fold.test}.timestamps.npy"
    times, bounds = read_array(file), read_array(folder / _FOLDER / f"{fold.test}.bounds.npy")
    if times.ndim != 1 or not np.issubdtype(times.dtype, np.floating):
        raise ResultError(f"{file} holds {times.dtype} {times.shape}, and not times. {REMEDY}")
    if not np.isfinite(times).all():
        raise ResultError(f"{file} holds times that are no numbers. {REMEDY}")
    if bounds.ndim != 1 or not np.issubdtype(bounds.dtype, np.integer):
        return
    starts = np.clip(bounds, 0, len(times)).astype(np.int64)
    first, last = starts[:-1], starts[1:] - 1
    longer = last > first
    spans_ms = times[last[longer]] - times[first[longer]]
    with np.errstate(all="ignore"):
        widths = median_filter_ms * (last - first)[longer] / spans_ms
        width = float(np.sum(np.abs(widths)))
    # A comparison with NaN is false.
    fits = width <= max(_MOST_PER_FRAME * len(times), _MOST_FRAMES)
    if not (
        math.isfinite(median_filter_ms) and median_filter_ms >= 0 and (fits or not len(widths))
    ):
        raise ResultError(
            f"{folder / RESULT_FILE}: a median filter of {median_filter_ms:g} ms doesn't fit the "
            f"frames of {fold.test}. {REMEDY}"
        )
