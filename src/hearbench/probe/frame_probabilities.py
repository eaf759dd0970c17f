"""Probabilities of frames where they are too many for memory: in a file, and read in parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.files import atomic_write, mapped_rows, write_npy_head
from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays, concatenate_events
from hearbench.probe.events import Postprocessing, events_from_frames

__all__ = ["events_in_parts", "gather_rows"]

# Cells (frames x labels) whose events are looked for at once.
_CELLS = 1 << 24


def gather_rows(
    pieces: Iterable[npt.NDArray[np.float32]], shape: tuple[int, int], place: Path | None
) -> npt.NDArray[np.float32]:
    """Pieces, one below the other.

    Args:
        pieces: (n, n_labels) each.
        shape: Shape of the whole array.
        place: A file that takes them; None for memory.

    Returns:
        An array of that shape, mapped and read-only if it is in a file. It is written through
        the file and not through the map, whose pages would count as memory of this process.
    """
    if place is None:
        result, filled = np.empty(shape, dtype=np.float32), 0
        for piece in pieces:
            result[filled : filled + len(piece)] = piece
            filled += len(piece)
        return result
    # Whoever has an earlier file mapped keeps it.
    with atomic_write(place) as file:
        write_npy_head(file, np.float32, shape)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=np.float32).tobytes())
    mapped: npt.NDArray[np.float32] = np.lib.format.open_memmap(place, mode="r")
    return mapped


def events_in_parts(
    probabilities: npt.NDArray[np.float32],
    bounds: npt.NDArray[np.int64],
    timestamps_ms: npt.NDArray[np.float64],
    way: Postprocessing,
) -> EventArrays:
    """The events in frames, some clips at a time, so that a mapped array is never in memory whole.

    Args:
        probabilities: (n_frames, n_labels) probabilities.
        bounds: (n_clips + 1,) first frame of each clip, and the number of frames.
        timestamps_ms: (n_frames,).
        way: How frames become events.
    """
    found = []
    for clips in blocks_of(np.diff(bounds) * probabilities.shape[1], _CELLS):
        start, stop = int(bounds[clips.start]), int(bounds[clips.stop])
        rows = mapped_rows(probabilities, start, stop)
        own = bounds[clips.start : clips.stop + 1] - start
        events = events_from_frames(rows, own, timestamps_ms[start:stop], [way])[0]
        found.append(
            EventArrays(events.clip + clips.start, events.label, events.onset_ms, events.offset_ms)
        )
    return concatenate_events(found) if found else EventArrays.from_rows(())
