"""Cutting work into pieces that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["blocks_of"]


def blocks_of(sizes: npt.NDArray[np.integer], limit: int) -> Iterator[slice]:
    """Consecutive runs of items whose sizes sum to at most ``limit``; at least one item each.

    Args:
        sizes: (n_items,) at least 0.
        limit: Limit of a run's sum; a single item that is larger is a run of its own.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield slice(start, stop)
        start = stop
