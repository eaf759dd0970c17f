"""Numbers of a submitted result that no evaluation gives, found before anything is computed.

Computing scores again takes as long as its numbers say: a second of a clip costs as much as a
second of audio would, whether there was any. An edited result may say otherwise, and make a
maintainer's machine fail or work for hours. So all that the work depends on is bounded
here, most of it by the size of the files that came with it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hearbench.errors import ResultError
from hearbench.metrics.event_lists import EventArrays
from hearbench.results.predictions import Predictions
from hearbench.results.record import RESULT_FILE, Result
from hearbench.results.splits import EventSplit, SceneSplit
from hearbench.results.untrusted import REMEDY

__all__ = ["check_sanity"]

# Of a median filter, over all clips of a split: so many frames per frame that there is, or so many
# in all if that is more. Each takes a few dozen bytes.
_MOST_PER_FRAME, _MOST_FRAMES = 16, 1 << 20
_LONGEST_CLIP_S = 24 * 3600.0
_EARLIEST_S = -60.0
# Where a task says how long its clips are, how much longer frames may go on: models pad.
_LONGER_BY_S = 60.0
# Seconds of clips times labels, over all clips of a split, that are compared; or so many per frame
# and label, if that is more.
_MOST_CELLS, _MOST_CELLS_PER_FRAME = 1 << 25, 16
# Annotated events in a split, or one in every frame and label, if that is more.
_MOST_EVENTS = 1 << 16
# Probabilities of one label each are from a softmax in float32, and add up to 1 but for this.
_MOST_OFF = 1e-4
# Pairs of an annotated and a found event of a label that are within the widest collar.
_MOST_PAIRS, _WIDEST_COLLAR_S = 1 << 25, 0.2


def check_sanity(result: Result, folder: Path, clip_s: float | None = None) -> None:
    """Refuses predictions that no probe makes, or that take too long to be scored again.

    What else can be wrong with the files is for `hearbench.leaderboard.recompute` to find.

    Args:
        folder: Where it lies, with ``predictions/``.
        clip_s: The length of every clip of the task, in seconds; None where it isn't known.

    Raises:
        ResultError: It has no labels, probabilities of one label per clip that don't add up to 1,
            or times, filters or numbers of events that can't be; or a file can't be read.
    """
    if result.n_labels < 1:
        raise ResultError(f"{folder / RESULT_FILE} says that there are no labels. {REMEDY}")
    for split in Predictions.read(folder, result).splits.values():
        if isinstance(split, SceneSplit) and result.prediction_type == "multiclass":
            _check_sums(split)
        if isinstance(split, EventSplit):
            _check_times(split.timestamps_ms, clip_s, split)
            _check_filter(split, folder / RESULT_FILE)
            _check_events(split)


def _check_sums(split: SceneSplit) -> None:
    if split.is_blank:
        return
    sums = split.probabilities.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero(np.abs(sums - 1) > _MOST_OFF)
    if len(wrong):
        raise ResultError(
            f"{split.file('npy')}: the probabilities of {split.clips[int(wrong[0])]} add up to "
            f"{sums[wrong[0]]:.6g} and not to 1, nor do those of {len(wrong) - 1} other clips. "
            f"{REMEDY}"
        )


def _check_times(times: npt.NDArray[np.float64], clip_s: float | None, split: EventSplit) -> None:
    file = split.file("timestamps.npy")
    if not np.isfinite(times).all():
        raise ResultError(f"{file} holds times that are no numbers. {REMEDY}")
    most_s = _LONGEST_CLIP_S if clip_s is None else clip_s + _LONGER_BY_S
    _check_within(times, most_s, file)


def _check_within(times_ms: npt.NDArray[np.floating[Any]], most_s: float, file: Path) -> None:
    for wrong in (times_ms.max(initial=0.0), times_ms.min(initial=0.0)):
        if not 1000 * _EARLIEST_S <= wrong <= 1000 * most_s:
            raise ResultError(
                f"{file} has a time of {float(wrong):g} ms, which isn't within a clip: from "
                f"{1000 * _EARLIEST_S:.0f} to {1000 * most_s:.0f} ms. {REMEDY}"
            )


def _check_filter(split: EventSplit, file: Path) -> None:
    way, times, bounds = split.postprocessing, split.timestamps_ms, split.bounds
    if way is None:
        return
    first, last = bounds[:-1], bounds[1:] - 1
    longer = last > first
    spans_ms = times[last[longer]] - times[first[longer]]
    with np.errstate(all="ignore"):
        widths = way.median_filter_ms * (last - first)[longer] / spans_ms
        width = float(np.sum(np.abs(widths)))
    # A comparison with NaN is false.
    if not 0 <= way.min_duration_ms < math.inf:
        raise ResultError(
            f"{file}: a shortest event of {way.min_duration_ms:g} ms isn't a duration. {REMEDY}"
        )
    fits = width <= max(_MOST_PER_FRAME * len(times), _MOST_FRAMES)
    if way.median_filter_ms < 0 or not (fits or not len(widths)):
        raise ResultError(
            f"{file}: a median filter of {way.median_filter_ms:g} ms doesn't fit the frames of "
            f"{split.name}. {REMEDY}"
        )


def _check_events(split: EventSplit) -> None:
    clips, labels, n_frames = split.clips, split.labels, len(split.timestamps_ms)
    cells = n_frames * len(labels)
    reference, estimate = split.reference, split.estimate
    for events, ending in ((reference, "reference.json"), (estimate, "events.json")):
        if len(events) > max(_MOST_EVENTS, cells):
            raise ResultError(
                f"{split.file(ending)} has {len(events)} events, and there are {n_frames} frames "
                f"of {len(labels)} labels. {REMEDY}"
            )
        for times in (events.onset_ms, events.offset_ms):
            _check_within(times, _LONGEST_CLIP_S, split.file(ending))
    lengths = np.zeros(max(1, len(clips)))
    for events in (reference, estimate):
        np.maximum.at(lengths, events.clip, events.offset_s)
        # What an event covers is counted by itself, too.
        lengths += np.bincount(
            events.clip,
            np.maximum(0.0, events.offset_s - events.onset_s) / max(1, len(labels)),
            len(lengths),
        )
    seconds = float(lengths.sum())
    if seconds * len(labels) > max(_MOST_CELLS, _MOST_CELLS_PER_FRAME * cells):
        raise ResultError(
            f"{split.file('reference.json')} and {split.name}.events.json are of "
            f"{seconds:.0f} s of {len(labels)} labels, and there are {n_frames} frames. {REMEDY}"
        )
    pairs = _pairs(reference, estimate, len(labels))
    if pairs > max(_MOST_PAIRS, cells):
        raise ResultError(
            f"{split.file('reference.json')} has events of which {pairs} could be those "
            f"that were found. {REMEDY}"
        )


def _pairs(reference: EventArrays, estimate: EventArrays, n_labels: int) -> int:
    """How many pairs of events of a clip and label have onsets within the widest collar."""
    if not len(reference) or not len(estimate):
        return 0
    # Clip and label one after the other on one axis, far enough apart.
    apart = 2 * (_LONGEST_CLIP_S - _EARLIEST_S)
    keys = np.sort((estimate.clip * n_labels + estimate.label) * apart + estimate.onset_s)
    wanted = (reference.clip * n_labels + reference.label) * apart + reference.onset_s
    collar = 2 * _WIDEST_COLLAR_S
    found = np.searchsorted(keys, wanted + collar) - np.searchsorted(keys, wanted - collar)
    return int(found.sum())
