"""Events and frames in one time: which labels are on at which timestamp.

Conventions: times are in ms from the start of the clip. A label is on at a timestamp t if an
event of it has ``start <= t < end + 0.0001``, as in the published evaluation: the end itself
counts, and so does one that lies up to 0.0001 ms below a timestamp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hearbench.errors import EmbeddingError
from hearbench.tasks.clips import Event

__all__ = ["check_timestamps", "frame_labels"]

# The published evaluation adds it to an event's end and then leaves the end out.
_PAST_END_MS = 0.0001
_SPACING_TOLERANCE_MS = 1.0
_END_TOLERANCE_MS = 1.0
_LATEST_START_MS = 500.0
_SHARE_COVERED = 0.75
_MS_PER_S = 1000.0


def frame_labels(
    events: Sequence[Event],
    timestamps_ms: npt.NDArray[np.floating],
    labels: Mapping[str, int],
) -> npt.NDArray[np.uint8]:
    """Multi-hot labels of a clip's frames.

    Args:
        events: The clip's events, in any order.
        timestamps_ms: (n_frames,), ascending.
        labels: The vocabulary, label to index.

    Returns:
        (n_frames, n_labels) of 0 and 1.
    """
    # One up where an event begins, one down behind its end; the running sum is the number of
    # events that are on.
    changes = np.zeros((len(timestamps_ms) + 1, len(labels)), dtype=np.int32)
    if events:
        times = np.asarray(timestamps_ms, dtype=np.float64)
        column = np.array([labels[event.label] for event in events])
        starts = np.searchsorted(times, [event.start_ms for event in events], side="left")
        ends = np.array([event.end_ms for event in events], dtype=np.float64) + _PAST_END_MS
        stops = np.searchsorted(times, ends, side="left")
        # An event between two timestamps has its stop before its start, or at it.
        np.add.at(changes, (starts, column), 1)
        np.add.at(changes, (np.maximum(starts, stops), column), -1)
    on: npt.NDArray[np.uint8] = (np.cumsum(changes[:-1], axis=0) > 0).astype(np.uint8)
    return on


def check_timestamps(timestamps_ms: npt.NDArray[np.floating], duration_ms: float) -> None:
    """Refuses timestamps under which events would be looked for in the wrong place.

    Args:
        timestamps_ms: (n_frames,) frame centres of one clip.

    Raises:
        EmbeddingError: They don't ascend at a regular hop, begin late or before the clip, end
            far too early, or run past the clip's end. The message names the likely cause.
    """
    times = np.asarray(timestamps_ms, dtype=np.float64)
    hops = np.diff(times)
    hop_ms = float(hops.mean()) if len(hops) else 0.0
    if len(hops) and hops.min() <= 0:
        at = int(hops.argmin())
        raise EmbeddingError(
            f"its timestamps don't ascend: frame {at} is at {times[at]:.3f} ms and frame {at + 1} "
            f"at {times[at + 1]:.3f} ms. They should be the frames' centres in ms, in time order."
        )
    first, last = float(times[0]), float(times[-1])
    if len(times) > 1 and last * _MS_PER_S <= duration_ms + hop_ms * _MS_PER_S < 4 * duration_ms:
        raise EmbeddingError(
            f"its timestamps end at {last:.3f} for {duration_ms:.0f} ms of audio, so they look "
            "like seconds. They should be in milliseconds: multiply them by 1000."
        )
    if len(hops) and np.abs(hops - hop_ms).max() > _SPACING_TOLERANCE_MS:
        at = int(np.abs(hops - hop_ms).argmax())
        raise EmbeddingError(
            f"its timestamps aren't regular: between frames {at} and {at + 1} they advance by "
            f"{hops[at]:.3f} ms, on average by {hop_ms:.3f} ms. More than 1 ms of difference "
            "can't come from rounding; look for padding or joined blocks in the model's framing."
        )
    if first < -max(hop_ms / 2, _END_TOLERANCE_MS) or first > max(hop_ms, _LATEST_START_MS):
        raise EmbeddingError(
            f"its timestamps begin at {first:.3f} ms. They should be the frames' centres counted "
            "from the clip's start in ms, so begin near 0; look for a wrong unit or an offset."
        )
    if last > duration_ms + _END_TOLERANCE_MS:
        raise EmbeddingError(
            f"its timestamps run past the end: the last is {last:.3f} ms and the clip is "
            f"{duration_ms:.3f} ms long. Likely a hop that was rounded, or a wrong sample rate "
            "in the model's conversion to ms; or frames of padding, which should be dropped."
        )
    if len(times) > 1 and last < _SHARE_COVERED * duration_ms - max(hop_ms, _LATEST_START_MS):
        raise EmbeddingError(
            f"its timestamps end at {last:.3f} ms of {duration_ms:.3f} ms, so the rest of the "
            "clip has no frames. Likely a wrong sample rate or hop in the model's conversion to "
            "ms, or audio that was cut."
        )
