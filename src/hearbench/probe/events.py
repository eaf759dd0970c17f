"""From probabilities per frame to events: median filter, threshold, runs, minimum duration.

Source: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", PMLR 176, 2022, and
its published evaluation. A frame's probability is replaced by the median over a window of
frames, a label is on where that is above 0.5, and every run of such frames is an event from its
first to its last frame's timestamp.

Only whether a probability is above 0.5 matters, so the median is never computed. SciPy's
``median_filter`` of width w takes element ``w // 2`` of the sorted window (counted from 0, so
the upper one of the two in the middle where w is even). That is above 0.5 if and only if at
most ``w // 2`` elements are not, that is, if at least ``w - w // 2`` of them are: a count over a
sliding window of zeros and ones, one running sum for all labels of many clips. (From windows of
eight times the clip on, SciPy 1.17 reads beside its array; here the mirroring just goes on.)

Conventions: the frames of all clips stand one after the other in one array; ``bounds``
(n_clips + 1,) says where each clip begins and ends; times are in ms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import ProbeError
from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays, concatenate_events
from hearbench.probe.grid import Postprocessing
from hearbench.tasks.evaluation_params import evaluation_params

__all__ = [
    "DEFAULT_POSTPROCESSING",
    "Postprocessing",
    "best_postprocessing",
    "events_from_frames",
    "postprocessing_grid",
]

_THRESHOLD = 0.5

# Frames times labels that are filtered in one go: a few times as many bytes are in use.
_CELLS_PER_BLOCK = 1 << 22


# Of tasks that name none of their own: windows and shortest events in ms.
DEFAULT_POSTPROCESSING = (
    Postprocessing(median_filter_ms=250, min_duration_ms=125),
    Postprocessing(median_filter_ms=250, min_duration_ms=250),
)


def postprocessing_grid(
    params: Mapping[str, Any] | None = None,
) -> tuple[Postprocessing, ...]:
    """The grid of a task: its own, or the default of a filter of 250 ms and 125 or 250 ms.

    Args:
        params: ``evaluation_params`` of the task's metadata. Its ``event_postprocessing_grid`` is
            ``{"median_filter_ms": [...], "min_duration": [...]}``, all in ms. Where it leaves one
            of them out, that is 150 ms for the filter and 60 ms for the duration.

    Raises:
        TaskError: The grid has other keys, or values that aren't lists of finite numbers from
            0 up.
    """
    own = evaluation_params(params).event_postprocessing_grid
    if own is None:
        return DEFAULT_POSTPROCESSING
    return tuple(
        Postprocessing(median_filter_ms=median_ms, min_duration_ms=duration_ms)
        for median_ms in own.median_filter_ms
        for duration_ms in own.min_duration
    )


def best_postprocessing(
    grid: Sequence[Postprocessing], scores: Sequence[float], *, maximise: bool
) -> int:
    """The position of the best of a grid.

    An undefined score (NaN) counts as 0, or, where lower is better, as the worst. Of equal
    scores the larger filter wins, then the longer duration, wherever they are in the grid.
    """

    def merit(i: int) -> tuple[float, float, float]:
        merit = scores[i] if maximise else -scores[i]
        if math.isnan(merit):
            merit = 0.0 if maximise else -math.inf
        return merit, grid[i].median_filter_ms, grid[i].min_duration_ms

    return max(range(len(grid)), key=merit)


def events_from_frames(
    probabilities: npt.NDArray[np.floating] | npt.NDArray[np.bool_],
    bounds: npt.NDArray[np.integer] | Sequence[int],
    timestamps_ms: npt.NDArray[np.floating],
    grid: Sequence[Postprocessing],
) -> list[EventArrays]:
    """Events of all clips, for each way of a grid.

    The filter of a clip has ``round(median_filter_ms / mean hop)`` frames (Python's ``round``,
    the mean over the clip's timestamps), mirrored at the clip's ends as SciPy's ``reflect``;
    with 0 there is none. Ways that share a filter share its work.

    Args:
        probabilities: (n_frames, n_labels) in time order within each clip, without NaN; or,
            alike but smaller, bool: whether they are above 0.5.
        bounds: (n_clips + 1,) first frame of each clip, and the number of frames.
        timestamps_ms: (n_frames,) ascending within each clip.
        grid: The ways.

    Returns:
        One list per way. The clips are positions in ``bounds``, the labels columns; within a
        clip events are in the order of their onsets, then of the labels.

    Raises:
        ProbeError: The shapes don't fit, or a clip's timestamps aren't finite or don't ascend.
    """
    starts = np.asarray(bounds, dtype=np.int64)
    times = np.asarray(timestamps_ms, dtype=np.float64)
    _check(probabilities, starts, times)
    by_median: dict[float, EventArrays] = {}
    widths = {
        median_ms: _filter_widths(starts, times, median_ms)
        for median_ms in dict.fromkeys(way.median_filter_ms for way in grid)
    }
    n_labels = probabilities.shape[1]
    parts: dict[float, list[EventArrays]] = {median_ms: [] for median_ms in widths}
    for clips in blocks_of(np.diff(starts) * n_labels, _CELLS_PER_BLOCK):
        local = starts[clips.start : clips.stop + 1]
        frames = probabilities[local[0] : local[-1]]
        # A clip that is larger than a block goes by some of its labels at a time.
        step = max(1, _CELLS_PER_BLOCK // max(1, len(frames)))
        for first_label in range(0, n_labels, step):
            some = frames[:, first_label : first_label + step]
            above = np.asarray(some if some.dtype == np.bool_ else some > _THRESHOLD, dtype=bool)
            for median_ms, of_clips in widths.items():
                filtered = _majority(above, local - local[0], of_clips[clips])
                clip, label, first, last = _runs(filtered, local - local[0])
                parts[median_ms].append(
                    EventArrays(
                        clip + clips.start,
                        label + first_label,
                        times[first + local[0]],
                        times[last + local[0]],
                    )
                )
    for median_ms, listed in parts.items():
        events = concatenate_events(listed)
        if n_labels and len(listed) > 1:
            events = events.take(np.lexsort((events.label, events.onset_ms, events.clip)))
        by_median[median_ms] = events
    return [_long_enough(by_median[way.median_filter_ms], way.min_duration_ms) for way in grid]


def _check(
    probabilities: npt.NDArray[Any], starts: npt.NDArray[np.int64], times: npt.NDArray[np.float64]
) -> None:
    n_frames = len(probabilities)
    if (
        probabilities.ndim != 2
        or times.shape != (n_frames,)
        or starts.ndim != 1
        or not len(starts)
        or starts[0] != 0
        or starts[-1] != n_frames
        or (np.diff(starts) < 0).any()
    ):
        raise ProbeError(
            f"Probabilities of shape {probabilities.shape} don't fit timestamps of shape "
            f"{times.shape} and the clips' bounds {starts[:3].tolist()} ... "
            f"{starts[-1:].tolist()}. One row per timestamp, and bounds from 0 up to their "
            "number, are needed."
        )
    finite = np.isfinite(times)
    if not finite.all():
        at = int(np.argmin(finite))
        clip = int(np.searchsorted(starts, at, side="right")) - 1
        raise ProbeError(
            f"Timestamps of clip {clip} have {times[at]} ms among them. Give finite times."
        )
    falls = np.diff(times) <= 0
    inner = starts[1:-1]
    falls[inner[(inner > 0) & (inner < n_frames)] - 1] = False
    if falls.any():
        at = int(np.argmax(falls))
        clip = int(np.searchsorted(starts, at, side="right")) - 1
        raise ProbeError(
            f"Timestamps of clip {clip} don't ascend: {times[at]} ms is followed by "
            f"{times[at + 1]} ms. Sort the frames of each clip by time."
        )


def _filter_widths(
    starts: npt.NDArray[np.int64], times: npt.NDArray[np.float64], median_filter_ms: float
) -> npt.NDArray[np.int64]:
    """The filter's width in frames (n_clips,); 1, which changes nothing, for none."""
    widths = np.ones(len(starts) - 1, dtype=np.int64)
    if not median_filter_ms:
        return widths
    for clip, (start, stop) in enumerate(itertools.pairwise(starts.tolist())):
        if stop - start > 1:
            # The mean as NumPy has it: its last bit decides where the quotient is near a half.
            hop_ms = float(np.mean(np.diff(times[start:stop])))
            widths[clip] = max(1, round(median_filter_ms / hop_ms))
    return widths


def _majority(
    above: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.int64],
    widths: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Whether the median over each frame's window is above the threshold.

    Args:
        above: (n_frames, n_labels), whether the probability is.
        starts: (n_clips + 1,) bounds of the clips.
        widths: (n_clips,) of the window, at least 1.
    """
    if not len(above) or widths.max() == 1:
        return above
    lengths = np.diff(starts)
    # The clips with their mirrored ends: a window reaches w // 2 frames back, and one less
    # forward where w is even.
    padded_lengths = np.where(lengths > 0, lengths + widths - 1, 0)
    padded_ends = np.cumsum(padded_lengths)
    padded_starts = padded_ends - padded_lengths
    clip = np.repeat(np.arange(len(lengths)), padded_lengths)
    position = np.arange(len(clip)) - padded_starts[clip] - (widths // 2)[clip]
    period = 2 * lengths[clip]
    position %= period
    source = starts[clip] + np.minimum(position, period - 1 - position)
    # Counts are at most the width, so sums may wrap around in the smallest type that holds it:
    # their differences are right all the same.
    dtype = np.min_scalar_type(int(widths.max()))
    sums = np.zeros((len(source) + 1, above.shape[1]), dtype=dtype)
    np.cumsum(above[source], axis=0, dtype=dtype, out=sums[1:])
    of_frame = np.repeat(np.arange(len(lengths)), lengths)
    first = np.arange(len(above)) - starts[of_frame] + padded_starts[of_frame]
    count = sums[first + widths[of_frame]]
    count -= sums[first]
    needed = (widths - widths // 2).astype(dtype)
    result: npt.NDArray[np.bool_] = count >= needed[of_frame][:, None]
    return result


def _runs(
    on: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Clip, label, first and last frame of each run, sorted by first frame, then by label."""
    first_frames = starts[:-1][np.diff(starts) > 0]
    begins, ends = on.copy(), on.copy()
    begins[1:] &= ~on[:-1]
    begins[first_frames] = on[first_frames]
    ends[:-1] &= ~on[1:]
    ends[first_frames[1:] - 1] = on[first_frames[1:] - 1]
    first, label = _where(begins)
    last, last_label = _where(ends)
    # Within a label the n-th begin and the n-th end belong together.
    paired = np.empty_like(last)
    paired[np.argsort(label, kind="stable")] = last[np.argsort(last_label, kind="stable")]
    clip = np.searchsorted(starts, first, side="right").astype(np.int64) - 1
    return clip, label, first, paired


def _where(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    row, column = np.divmod(np.flatnonzero(mask), max(1, mask.shape[1]))
    return row.astype(np.int64), column.astype(np.int64)


def _long_enough(events: EventArrays, min_duration_ms: float) -> EventArrays:
    return events.take(events.offset_ms - events.onset_ms >= min_duration_ms)
