"""Sounds made of formulas: harmonic notes, drum strokes, layers of textures.

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

__all__ = ["LAYERS", "STROKES", "mixture", "note", "stroke"]

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
