"""Response of embeddings to a short sound.

Conventions: times are in ms as the model's timestamps tell them; errors are those times less the
true ones, so they are positive where timestamps are late.

Two estimates of where a frame looks are made from the change that a sound makes in each frame:

- the middle of the frames that change at all, which is exact where frames see a bounded window,
  however unevenly they answer within it;
- the centroid of the change above half of its height, for models whose frames all see the whole
  clip to some degree: attention, recurrence, normalisation over the clip.

A model counts as off by the lesser of the two: a causal model answers where the sound is, though
the middle of what its frames see lies before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Aligned", "Answered", "align", "answered", "level_of", "standing_out"]

Numbers = npt.NDArray[np.float64]

# Of the greatest change: what lies below counts as none.
_NOTHING = 1e-3
_CONTRAST = 2.0
_BASE_QUANTILE = 0.2
_MOST_FRAMES = 1000
_MOST_Z = 100.0


@dataclass(frozen=True)
class Answered:
    """The place at which frames answer to one sound.

    Attributes:
        middle_ms: Of the frames that change; None where they aren't bounded.
        centroid_ms: Of the change above half of its height.
        width_ms: Of the frames above half of the height.
    """

    middle_ms: float | None
    centroid_ms: float
    width_ms: float


@dataclass(frozen=True)
class Aligned:
    """The places at which frames answer to several sounds, together.

    Attributes:
        offset_ms: By how much timestamps are late, in the middle of the sounds.
        slope: How much later they get per ms.
        scatter_ms: Median distance of single sounds from these.
        width_ms: Median of the answers' widths.
        bounded: Whether frames see a bounded window.
    """

    offset_ms: float
    slope: float
    scatter_ms: float
    width_ms: float
    bounded: bool


def answered(times_ms: Numbers, change: Numbers, hop_ms: float) -> Answered | None:
    """Finds the place at which the frames of a clip answer to one sound.

    Args:
        times_ms: (n_frames,) ascending timestamps.
        change: (n_frames,) how much each frame's embedding moved.
        hop_ms: Time between timestamps.

    Returns:
        The place; None if no frame moved, or all about as much.
    """
    peak = float(change.max())
    base = float(np.quantile(change, _BASE_QUANTILE))
    if not np.isfinite(peak) or peak <= 0 or peak < _CONTRAST * base:
        return None
    moved = np.flatnonzero(change > _NOTHING * peak)
    bounded = moved[0] > 0 and moved[-1] < len(change) - 1
    above = np.clip(change - (base + peak) / 2, 0, None)
    high = np.flatnonzero(above)
    return Answered(
        middle_ms=float(times_ms[moved[0]] + times_ms[moved[-1]]) / 2 if bounded else None,
        centroid_ms=float((above * times_ms).sum() / above.sum()),
        width_ms=float(times_ms[high[-1]] - times_ms[high[0]]) + hop_ms,
    )


def align(at_ms: Sequence[float], places: Sequence[Answered]) -> Aligned:
    """Combines the answers to several sounds.

    Args:
        at_ms: Where the sounds are centred, ascending.
        places: Where frames answered to each; at least three.
    """
    true = np.asarray(at_ms, dtype=np.float64)
    width_ms = float(np.median([place.width_ms for place in places]))
    found = [_fit(true, np.array([place.centroid_ms for place in places]) - true)]
    have = [place.middle_ms is not None for place in places]
    bounded = sum(have) >= max(3, len(places) / 2)
    if bounded:
        middles = np.array([place.middle_ms for place in places if place.middle_ms is not None])
        found.append(_fit(true[have], middles - true[have]))
    offset_ms, slope, scatter_ms = min(found, key=lambda item: abs(item[0]))
    return Aligned(offset_ms, slope, scatter_ms, width_ms, bounded)


def level_of(errors: Numbers) -> float:
    """Mean of values without the outer quarters: robust as a median, and less coarse."""
    ordered = np.sort(errors)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def standing_out(embeddings: npt.NDArray[np.float32]) -> Numbers:
    """Distances of frames from the usual ones, (n_frames,), in deviations of these.

    Args:
        embeddings: (n_frames, size), of which most are of the same kind of sound.
    """
    chosen = embeddings[:: max(1, len(embeddings) // _MOST_FRAMES)].astype(np.float64)
    centre = np.median(chosen, axis=0)
    spread = np.median(np.abs(chosen - centre), axis=0)
    least = 1e-3 * float(np.median(spread)) + 1e-9 * float(np.abs(centre).max()) + 1e-30
    total = np.zeros(len(embeddings))
    # In pieces, as embeddings may be far larger than what can be held several times.
    for first in range(0, len(embeddings), _MOST_FRAMES):
        piece = (embeddings[first : first + _MOST_FRAMES] - centre) / np.maximum(spread, least)
        total[first : first + _MOST_FRAMES] = np.clip(np.abs(piece), 0, _MOST_Z).mean(1)
    return total


def _fit(true: Numbers, errors: Numbers) -> tuple[float, float, float]:
    """Level, slope and scatter of errors, none of which a few wild ones can move."""
    first, second = np.triu_indices(len(true), 1)
    slope = float(np.median((errors[second] - errors[first]) / (true[second] - true[first])))
    level = level_of(errors)
    rest = errors - np.median(errors) - slope * (true - np.median(true))
    return level, slope, float(np.median(np.abs(rest)))
