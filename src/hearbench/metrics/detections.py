"""Detections of sounds over all thresholds at once.

At a threshold, each longest run of frames whose score reaches it is a detection. A detection comes
into being as the threshold falls to its least score, and lives until the threshold falls to the
larger one of its two neighbors, where it grows or becomes part of a longer one. So no more
detections than frames exist over all thresholds, and they form a tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Detections", "detections"]

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Detections:
    """All detections over all thresholds, as cells of flattened (n_labels, n_columns).

    Attributes:
        start: (n_detections,) first cell.
        stop: (n_detections,) the cell behind the last one.
        level: (n_detections,) the largest threshold at which there is this detection.
        until: (n_detections,) the largest one below at which there isn't; minus infinity for none.
        parent: (n_detections,) position of the detection that it grows into or becomes part of;
            ``n_detections`` for none.
    """

    start: _Ints
    stop: _Ints
    level: npt.NDArray[np.floating[Any]]
    until: npt.NDArray[np.floating[Any]]
    parent: _Ints

    def net(self, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
        """By how much the number of marked detections changes where each one begins.

        It is one more if it is marked itself, less the marked ones that become part of it.
        """
        ended = np.bincount(self.parent[marked], minlength=len(self.parent) + 1)[:-1]
        change: npt.NDArray[np.int32] = (marked - ended).astype(np.int32)
        return change


def detections(scores: npt.NDArray[np.floating[Any]], longest: int) -> Detections:
    """The detections at all thresholds: of each frame, the longest run in which it is a least one.

    Args:
        scores: (n_labels, n_columns), minus infinity between clips and at both ends.
        longest: Most columns between two of these.
    """
    flat = scores.ravel()
    cells = np.flatnonzero(flat > -np.inf)
    values = flat[cells]
    # Least scores of 1, 2, 4, ... cells from each one on, so that runs are measured in few steps.
    least = [flat]
    while 1 << len(least) <= longest:
        half = 1 << (len(least) - 1)
        wider = least[-1].copy()
        np.minimum(wider[:-half], least[-1][half:], out=wider[:-half])
        wider[-half:] = -np.inf
        least.append(wider)
    stop, start = cells + 1, cells.copy()
    for k in reversed(range(len(least))):
        stop += (least[k][stop] >= values) * (1 << k)
        # Windows that would begin before the first cell, which is empty, hold it.
        start -= (least[k][np.maximum(start - (1 << k), 0)] > values) * (1 << k)
    # The first of a run's least frames stands for the detection; others lead to the one before.
    left = flat[start - 1]
    stands = left < values
    number = np.cumsum(stands) - 1
    position = np.empty(len(flat), dtype=np.int64)
    position[cells] = np.arange(len(cells))
    leads = np.where(stands, np.arange(len(cells)), position[start - 1])
    while not stands[leads].all():
        leads = leads[leads]
    right = flat[stop]
    outside = np.where(left > right, start - 1, stop)[stands]
    until = np.maximum(left, right)[stands]
    parent = np.full(len(until), len(until), dtype=np.int64)
    inner = until > -np.inf
    parent[inner] = number[leads[position[outside[inner]]]]
    return Detections(start[stands], stop[stands], values[stands], until, parent)
