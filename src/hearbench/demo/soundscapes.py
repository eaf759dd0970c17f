"""Soundscapes made of formulas: a few events in time, some at once, over quiet noise.

Sounds are (n_samples,) float64 in [-1, 1] at a rate in Hz. What varies between clips is drawn
from the generator that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hearbench.tasks.clips import Event

__all__ = ["SOURCES", "draw_events", "soundscape"]

Sound = npt.NDArray[np.float64]

_LENGTH_MS = (350, 900)
# Between two events of one label, or frames could not tell where one ends.
_GAP_MS = 400
_FADE_S = 0.01
_PEAK = 0.3
_NOISE = 0.001


def _bell(t: Sound, rng: np.random.Generator) -> Sound:
    f0 = rng.uniform(500, 620)
    partials = (1.0, 1.48, 2.09, 2.74, 3.76)
    x = sum((np.sin(2 * np.pi * ratio * f0 * t) for ratio in partials), np.zeros_like(t))
    return x * np.exp(-t / rng.uniform(0.2, 0.4))


def _horn(t: Sound, rng: np.random.Generator) -> Sound:
    f0 = rng.uniform(210, 260)
    harmonics = (np.sin(2 * np.pi * k * f0 * t) / k for k in range(1, 16))
    return sum(harmonics, np.zeros_like(t))


def _knocks(t: Sound, rng: np.random.Generator) -> Sound:
    period = rng.uniform(0.07, 0.1)
    since = np.mod(t, period)
    knocking: Sound = np.sin(2 * np.pi * rng.uniform(80, 130) * since) * np.exp(-since / 0.02)
    return knocking


def _rattle(t: Sound, rng: np.random.Generator) -> Sound:
    shaken = 1 + np.sin(2 * np.pi * rng.uniform(15, 25) * t)
    # The first difference of white noise: high frequencies above all.
    noise = rng.standard_normal(len(t) + 1)
    rattling: Sound = (noise[1:] - noise[:-1]) * shaken
    return rattling


SOURCES: Mapping[str, Callable[[Sound, np.random.Generator], Sound]] = {
    "bell": _bell,
    "horn": _horn,
    "knocks": _knocks,
    "rattle": _rattle,
}
"""What can be heard, by its label."""


def draw_events(duration_s: float, n_events: int, rng: np.random.Generator) -> tuple[Event, ...]:
    """Events at random times, in the order of their onsets.

    Events of different labels may overlap; those of one label are kept apart.

    Args:
        duration_s: Length of the clip, in which all of them end.
        n_events: How many are tried; one that comes too close to another of its label is left
            out.
        rng: Random numbers.

    Returns:
        Events in whole ms.
    """
    labels = sorted(SOURCES)
    last: list[Event] = []
    for _ in range(n_events):
        label = labels[rng.integers(len(labels))]
        length_ms = int(rng.integers(*_LENGTH_MS))
        start_ms = int(rng.integers(0, round(1000 * duration_s) - length_ms))
        event = Event(label, start_ms, start_ms + length_ms)
        if all(_apart(event, other) for other in last):
            last.append(event)
    return tuple(sorted(last, key=lambda event: (event.start_ms, event.label)))


def _apart(one: Event, other: Event) -> bool:
    return (
        one.label != other.label
        or one.end_ms + _GAP_MS < other.start_ms
        or other.end_ms + _GAP_MS < one.start_ms
    )


def soundscape(
    events: Sequence[Event], duration_s: float, sample_rate: int, rng: np.random.Generator
) -> Sound:
    """The events' sounds at levels up to 10 dB apart, over quiet noise."""
    x = _NOISE * rng.standard_normal(round(duration_s * sample_rate))
    for event in events:
        start = round(event.start_ms / 1000 * sample_rate)
        stop = min(len(x), round(event.end_ms / 1000 * sample_rate))
        t = np.arange(stop - start) / sample_rate
        sound = SOURCES[event.label](t, rng)
        faded = np.minimum(1.0, np.minimum(t, t[::-1]) / _FADE_S)
        x[start:stop] += _PEAK * 10 ** rng.uniform(-0.5, 0) * faded * sound / np.abs(sound).max()
    # Two loud ones at once stay within range, as at most all four sound at a time.
    return x / max(1.0, float(np.abs(x).max()) / 0.95)
