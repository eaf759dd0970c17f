"""Whether the times of events can be meant as they stand: in ms, and within their clips."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from hearbench.audio.encode import length_of_wav16
from hearbench.errors import TaskError
from hearbench.tasks.arrange import Arrangement
from hearbench.tasks.recipe import Recipe

__all__ = ["check_event_times", "seconds_error"]

# Events in seconds that are taken for ms end within the first thousandth of their clip, or a
# little later, as annotations do.
_SECONDS_SHARE = 0.0011
# The share of the events that must do so, as one of them may be wrong by itself.
_MOST_EVENTS = 0.9


def seconds_error(where: str, why: str) -> TaskError:
    """Makes the error that times seem to be in seconds, with what shows it."""
    return TaskError(
        f"{where}: the times of the events seem to be in seconds, as {why}. They are to be in "
        "milliseconds: multiply them by 1000."
    )


def check_event_times(folder: Path, arrangement: Arrangement, recipe: Recipe) -> None:
    """Compares events with the lengths of the clips that were written.

    Events that begin after their clip's end, which nothing can find, are warned of.

    Args:
        folder: Folder of the task, with its audio.

    Raises:
        TaskError: Nine of ten events or more lie within the first thousandth of their clips.
    """
    n_events, n_early, n_late, example = 0, 0, 0, ""
    for place, clip_ms, events in _clips(folder, arrangement, recipe):
        for start_ms, end_ms in events:
            n_events += 1
            n_early += end_ms <= _SECONDS_SHARE * clip_ms
            if start_ms >= clip_ms:
                n_late += 1
                example = example or f"{start_ms:g} to {end_ms:g} ms in {place} of {clip_ms:.0f} ms"
    if n_early and n_early >= _MOST_EVENTS * n_events:
        which = f"all {n_events}" if n_early == n_events else f"{n_early} of {n_events}"
        why = f"{which} end within the first thousandth of their clip"
        raise seconds_error(recipe.folder_name, why)
    if n_late:
        logging.getLogger(__name__).warning(
            "%s: %d of %d events begin after the end of their clip, so nothing can find them; the "
            "first is %s",
            recipe.folder_name,
            n_late,
            n_events,
            example,
        )


def _clips(
    folder: Path, arrangement: Arrangement, recipe: Recipe
) -> Iterator[tuple[str, float, list[tuple[float, float]]]]:
    """Name, length in ms and times of the events in ms of every clip."""
    rate = max(recipe.sample_rates)
    for split, files in arrangement.splits.items():
        for name, items in files.items():
            # Labels and numbers of a whole clip have no times.
            events = [item for item in items if isinstance(item, dict) and "start" in item]
            if events:
                n_samples = length_of_wav16(folder / str(rate) / split / name)
                times = [(float(event["start"]), float(event["end"])) for event in events]
                yield f"{split}/{name}", 1000.0 * n_samples / rate, times
