"""Probabilities of many clips' frames as arrays: what threshold-free event scores work on.

A frame's timestamp is its center. It spans the time from halfway to the frame before it to halfway
to the one behind it; a clip's first and last frame reach as far outward as inward, but not before
the clip's start. A clip's only frame spans the time from the clip's start to twice its timestamp.
So the frames of a clip cover it without gaps, and what they cover is taken for its duration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FrameArrays", "concatenate_frames"]


@dataclass(frozen=True)
class FrameArrays:
    """Frames, clip after clip, in time order within each.

    Attributes:
        probabilities: (n_frames, n_labels) floating point.
        bounds: (n_clips + 1,) int64, first frame of each clip, and the number of frames.
        timestamps_ms: (n_frames,) float64 centers from the clip's start.
    """

    probabilities: npt.NDArray[np.floating[Any]]
    bounds: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.float64]

    @property
    def n_clips(self) -> int:
        """The number of clips, those without frames too."""
        return len(self.bounds) - 1

    @cached_property
    def edges_ms(self) -> npt.NDArray[np.float64]:
        """(n_frames + n_clips,) where frames begin and end.

        Frame f, of clip c, spans the time from ``edges_ms[f + c]`` to ``edges_ms[f + c + 1]``.
        """
        times, lengths = self.timestamps_ms, np.diff(self.bounds)
        clip = np.repeat(np.arange(self.n_clips), lengths)
        begins = np.arange(len(times)) + clip
        edges = np.zeros(len(times) + self.n_clips)
        edges[begins[1:]] = (times[1:] + times[:-1]) / 2  # those between two clips are set below
        filled = lengths > 0
        first, last = self.bounds[:-1][filled], self.bounds[1:][filled] - 1
        alone = first == last
        ahead = np.where(alone, times[first], times[np.where(alone, first, first + 1)])
        behind = np.where(alone, 0.0, times[np.where(alone, last, last - 1)])
        edges[begins[first]] = np.where(alone, 0.0, times[first] - (ahead - times[first]) / 2)
        edges[begins[last] + 1] = np.where(
            alone, 2 * times[last], times[last] + (times[last] - behind) / 2
        )
        return np.maximum(edges, 0.0)

    def take(self, clips: npt.NDArray[np.integer[Any]]) -> FrameArrays:
        """The frames of some clips by position, which may repeat."""
        if np.array_equal(clips, np.arange(self.n_clips)):
            return self
        lengths = np.diff(self.bounds)[clips]
        bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(self.bounds[:-1][clips] - bounds[:-1], lengths) + np.arange(bounds[-1])
        return FrameArrays(self.probabilities[rows], bounds, self.timestamps_ms[rows])


def concatenate_frames(parts: Sequence[FrameArrays]) -> FrameArrays:
    """Joins the frames of several lists of clips, of the same labels."""
    before = np.cumsum([0, *(len(part.timestamps_ms) for part in parts)])
    return FrameArrays(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate(
            [[0], *(part.bounds[1:] + n for part, n in zip(parts, before, strict=False))]
        ).astype(np.int64),
        np.concatenate([part.timestamps_ms for part in parts]),
    )
