"""The kinds of disturbance that hearbench has. docs/robustness.md says what their numbers mean."""

from __future__ import annotations

import math

import numpy as np

from hearbench.audio.shape import pad_or_trim
from hearbench.errors import AudioError
from hearbench.perturb.step import Floats, Sound, Step

__all__ = ["Clipping", "Dropout", "Gain", "Noise", "Rate", "Reverb", "Shift", "Speed"]

_VOICES = 6  # clips in babble
_FRAME_S = 0.02
# The largest sample of 16 bits.
_FULL = 32767 / 32768


def _rms(x: Floats) -> float:
    return math.sqrt(float(np.mean(np.square(x)))) if len(x) else 0.0


def _fitting(x: Floats) -> Floats:
    """The same at a lower level, if it would exceed full scale."""
    peak = float(np.abs(x).max(initial=0.0))
    return x * (_FULL / peak) if peak > _FULL else x


def _resampled(x: Floats, rate_in: float, rate_out: float, n: int) -> Floats:
    import soxr

    if len(x) == 0:
        return x
    y: Floats = soxr.resample(x, rate_in, rate_out, quality="HQ")
    return pad_or_trim(y, n)


class Noise(Step):
    """White, pink or babble noise at a signal-to-noise ratio over the whole clip."""

    kind = "noise"
    variants = ("white", "pink", "babble")
    usual = "white"
    low, high, unit = -60.0, 100.0, "dB"

    @property
    def changes(self) -> frozenset[str]:
        """Babble adds sounds of the task's own kind."""
        return frozenset({"sources"} if self.variant == "babble" else ())

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; a silent clip stays silent."""
        x = sound.samples
        level = _rms(x)
        if level == 0.0:
            return x
        noise = self._noise(sound)
        own = _rms(noise)
        if own == 0.0:
            return x
        return _fitting(x + noise * (level / own * 10 ** (-self.value / 20)))

    def _noise(self, sound: Sound) -> Floats:
        n = len(sound.samples)
        if self.variant == "babble":
            return _babble(sound, n)
        white: Floats = sound.random.standard_normal(n)
        if self.variant == "white":
            return white
        from scipy import fft

        spectrum = fft.rfft(white)
        # As much power in every octave; none at 0 Hz.
        spectrum[0] = 0.0
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        pink: Floats = fft.irfft(spectrum, n)
        return pink


def _babble(sound: Sound, n: int) -> Floats:
    voices = [voice for voice in sound.others(_VOICES) if _rms(voice) > 0]
    if not voices:
        raise AudioError("Babble is made of a task's other clips, and there are none with a sound.")
    mixed = np.zeros(n)
    for voice in voices:
        begin = int(sound.random.randint(len(voice)))
        mixed += np.resize(np.roll(voice, -begin), n) / _rms(voice)
    return mixed


class Gain(Step):
    """Another level, clipped at full scale as a recorder would."""

    kind = "gain"
    low, high, unit = -120.0, 60.0, "dB"

    @property
    def changes(self) -> frozenset[str]:
        """Where a sound is may be told by its level."""
        return frozenset({"level"})

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`."""
        return np.clip(sound.samples * 10 ** (self.value / 20), -1.0, _FULL)


class Clipping(Step):
    """Overdrive: amplified into a limiter at the clip's own peak."""

    kind = "clip"
    low, high, unit = 0.0, 60.0, "dB"

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`."""
        x = sound.samples
        peak = float(np.abs(x).max(initial=0.0))
        return np.clip(x * 10 ** (self.value / 20), -peak, peak)


class Reverb(Step):
    """A room: the direct sound, and as much energy in noise that decays by 60 dB in a time."""

    kind = "reverb"
    low, high, unit = 0.01, 20.0, "s"

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; the clip keeps its RMS level."""
        from scipy.signal import fftconvolve

        x = sound.samples
        wet = fftconvolve(x, self.response(sound))[: len(x)]
        level = _rms(wet)
        return _fitting(wet * (_rms(x) / level)) if level else x

    def response(self, sound: Sound) -> Floats:
        """The room's impulse response (n,), drawn for the clip: the direct sound first."""
        n = max(1, round(self.value * sound.sample_rate))
        decay = 10.0 ** (-3.0 * np.arange(1, n + 1) / (self.value * sound.sample_rate))
        tail = sound.random.standard_normal(n) * decay
        response: Floats = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
        return response


class Rate(Step):
    """A narrower band: resampled to a rate and back."""

    kind = "rate"
    low, high, unit = 100.0, 768000.0, "Hz"

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; nothing changes at the clip's own rate and above."""
        x, rate = sound.samples, sound.sample_rate
        if self.value >= rate:
            return x
        narrow = _resampled(x, rate, self.value, math.ceil(len(x) * self.value / rate))
        return _resampled(narrow, self.value, rate, len(x))


class Shift(Step):
    """A later begin, with silence before it, or an earlier one, where the strength is negative."""

    kind = "shift"
    low, high, unit = -600000.0, 600000.0, "ms"

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; what is moved out of the clip is lost."""
        x = sound.samples
        by = round(self.value * sound.sample_rate / 1000)
        if by >= 0:
            return pad_or_trim(np.concatenate([np.zeros(min(by, len(x))), x]), len(x))
        return pad_or_trim(x[-by:], len(x))

    def moved_ms(self, time_ms: float) -> float:
        """See `Step.moved_ms`."""
        return time_ms + self.value


class Speed(Step):
    """Played faster or slower, as a record: the pitch changes with it."""

    kind = "speed"
    low, high = 0.25, 4.0

    @property
    def changes(self) -> frozenset[str]:
        """The pitch goes with the speed."""
        return frozenset({"pitch"} if self.value != 1 else ())

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; a faster clip ends in silence, a slower one is cut."""
        x, rate = sound.samples, sound.sample_rate
        if self.value == 1:
            return x
        return _resampled(x, rate * self.value, rate, len(x))

    def moved_ms(self, time_ms: float) -> float:
        """See `Step.moved_ms`."""
        return time_ms / self.value


class Dropout(Step):
    """Lost packets: a share of the clip's frames of 20 ms is silent."""

    kind = "dropout"
    low, high = 0.0, 1.0

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; it is exactly that share, rounded to whole frames."""
        y: Floats = sound.samples.copy()
        size = max(1, round(_FRAME_S * sound.sample_rate))
        n_frames = math.ceil(len(y) / size)
        lost = sound.random.permutation(n_frames)[: round(self.value * n_frames)]
        for frame in lost.tolist():
            y[frame * size : (frame + 1) * size] = 0.0
        return y
