"""Sounds made of formulas: notes, drum strokes, layers of textures, scenes with events in time.

All are (n_samples,) float64 in [-1, 1] at a rate in Hz, and draw what varies between clips from
the generator that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

# numpy imports its parts when they are first used, and fails if several threads are the first.
from numpy import fft
from numpy.random import Generator

from hearbench.tasks.clips import Event

__all__ = ["LAYERS", "SOURCES", "STROKES", "draw_events", "mixture", "note", "soundscape", "stroke"]

# numpy imports its parts when they are first used, and fails if several threads are the first.


Sound = npt.NDArray[np.float64]

_PEAK = 0.5


def note(midi: int, duration_s: float, sample_rate: int, rng: Generator) -> Sound:
    """A harmonic note of a MIDI pitch, with a random timbre, attack, level and detuning.

    The detuning is at most 15 cents, so the pitch is never in doubt.
    """
    t = _time(duration_s, sample_rate)
    cents = rng.uniform(-15, 15)
    f0 = 440.0 * 2 ** ((midi - 69 + cents / 100) / 12)
    brightness = rng.uniform(0.8, 2.0)
    x = np.zeros_like(t)
    for harmonic in range(1, 13):
        if harmonic * f0 < sample_rate / 2:
            level = harmonic**-brightness * rng.uniform(0.3, 1.0)
            x += level * np.sin(2 * np.pi * (harmonic * f0 * t + rng.random()))
    envelope = (1 - np.exp(-t / rng.uniform(0.003, 0.03))) * np.exp(-t / rng.uniform(0.15, 0.6))
    noisy = x * envelope / np.abs(x).max() + 0.003 * rng.standard_normal(len(t))
    return _levelled(noisy, rng)


def _kick(t: Sound, rng: Generator) -> Sound:
    start, end = rng.uniform(110, 180), rng.uniform(40, 60)
    glide = end + (start - end) * np.exp(-t / 0.03)
    phase: Sound = 2 * np.pi * np.cumsum(glide) * t[1]
    return np.sin(phase) * np.exp(-t / rng.uniform(0.06, 0.15))


def _tom(t: Sound, rng: Generator) -> Sound:
    f0 = rng.uniform(110, 230)
    x = np.sin(2 * np.pi * f0 * t) + 0.4 * np.sin(2 * np.pi * 1.59 * f0 * t)
    return x * np.exp(-t / rng.uniform(0.08, 0.2))


def _snare(t: Sound, rng: Generator) -> Sound:
    drum = np.sin(2 * np.pi * rng.uniform(170, 220) * t) * np.exp(-t / 0.04)
    wires = rng.standard_normal(len(t)) * np.exp(-t / rng.uniform(0.05, 0.12))
    return drum + 0.5 * wires


def _clap(t: Sound, rng: Generator) -> Sound:
    bursts = np.zeros_like(t)
    for onset in (0.0, 0.011, 0.023):
        late = t >= onset + rng.uniform(0, 0.002)
        bursts += late * np.exp(-np.maximum(t - onset, 0) / 0.006)
    return _band(rng.standard_normal(len(t)), t, 900, 2500) * bursts


def _hat(t: Sound, rng: Generator) -> Sound:
    noise = _band(rng.standard_normal(len(t)), t, 6500, 16000)
    return noise * np.exp(-t / rng.uniform(0.015, 0.05))


def _bell(t: Sound, rng: Generator) -> Sound:
    f0 = rng.uniform(500, 620)
    partials = (1.0, 1.48, 2.09, 2.74, 3.76)
    x = sum((np.sin(2 * np.pi * ratio * f0 * t) for ratio in partials), np.zeros_like(t))
    return x * np.exp(-t / rng.uniform(0.1, 0.3))


# What a drum can be, by the label that it gets.
STROKES: Mapping[str, Callable[[Sound, Generator], Sound]] = {
    "bell": _bell,
    "clap": _clap,
    "hat": _hat,
    "kick": _kick,
    "snare": _snare,
    "tom": _tom,
}


def stroke(label: str, duration_s: float, sample_rate: int, rng: Generator) -> Sound:
    """A stroke of one of `STROKES`, in a little noise."""
    t = _time(duration_s, sample_rate)
    x = STROKES[label](t, rng)
    return _levelled(x / np.abs(x).max() + 0.01 * rng.standard_normal(len(t)), rng)


def _hum(t: Sound, rng: Generator) -> Sound:
    f0 = rng.uniform(95, 125)
    harmonics = (np.sin(2 * np.pi * k * f0 * t) / k for k in range(1, 5))
    return sum(harmonics, np.zeros_like(t))


def _hiss(t: Sound, rng: Generator) -> Sound:
    return _band(rng.standard_normal(len(t)), t, 5000, 12000)


def _rumble(t: Sound, rng: Generator) -> Sound:
    return _band(rng.standard_normal(len(t)), t, 30, 90)


def _whistle(t: Sound, rng: Generator) -> Sound:
    swing = 25 * np.sin(2 * np.pi * rng.uniform(4, 7) * t)
    phase: Sound = 2 * np.pi * np.cumsum(rng.uniform(1800, 2600) + swing) * t[1]
    return np.sin(phase)


def _clicks(t: Sound, rng: Generator) -> Sound:
    period = rng.uniform(0.05, 0.09)
    return np.exp(-np.mod(t + rng.uniform(0, period), period) / 0.002) * np.sin(
        2 * np.pi * 3800 * t
    )


# What a mixture is made of, by the label that it adds.
LAYERS: Mapping[str, Callable[[Sound, Generator], Sound]] = {
    "clicks": _clicks,
    "hiss": _hiss,
    "hum": _hum,
    "rumble": _rumble,
    "whistle": _whistle,
}


def mixture(labels: Sequence[str], duration_s: float, sample_rate: int, rng: Generator) -> Sound:
    """Some of `LAYERS` at once, at levels up to 20 dB apart, in a little noise."""
    t = _time(duration_s, sample_rate)
    x = 0.01 * rng.standard_normal(len(t))
    for label in labels:
        layer = LAYERS[label](t, rng)
        x += 10 ** rng.uniform(-1, 0) * layer / np.abs(layer).max()
    return _levelled(x, rng)


def _time(duration_s: float, sample_rate: int) -> Sound:
    return np.arange(round(duration_s * sample_rate)) / sample_rate


def _band(x: Sound, t: Sound, low_hz: float, high_hz: float) -> Sound:
    """Only what lies between two frequencies."""
    spectrum = fft.rfft(x)
    frequency = fft.rfftfreq(len(x), t[1])
    spectrum[(frequency < low_hz) | (frequency > high_hz)] = 0
    return fft.irfft(spectrum, len(x))


def _levelled(x: Sound, rng: Generator) -> Sound:
    """Up to 12 dB below the peak level."""
    level = _PEAK * 10 ** rng.uniform(-0.6, 0)
    return x * (level / float(np.abs(x).max()))


_LENGTH_MS = (350, 900)
# Between two events of one label, or frames could not tell where one ends.
_GAP_MS = 400
_FADE_S = 0.01
_LOUDEST = 0.3
_NOISE = 0.001


def _ringing_bell(t: Sound, rng: np.random.Generator) -> Sound:
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
    "bell": _ringing_bell,
    "horn": _horn,
    "knocks": _knocks,
    "rattle": _rattle,
}
"""Makers of the sounds, by their labels."""


def draw_events(duration_s: float, n_events: int, rng: np.random.Generator) -> tuple[Event, ...]:
    """Events at random times, in the order of their onsets.

    Events of different labels may overlap; those of one label are kept apart.

    Args:
        duration_s: Length of the clip, in which all of them end.
        n_events: How many are tried; one that comes too close to another of its label is left
            out.

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
        x[start:stop] += _LOUDEST * 10 ** rng.uniform(-0.5, 0) * faded * sound / np.abs(sound).max()
    # Two loud ones at once stay within range, as at most all four sound at a time.
    return x / max(1.0, float(np.abs(x).max()) / 0.95)
