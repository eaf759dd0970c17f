"""Two pieces of audio laid upon each other, and how much of one is in the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hearbench.overlap.fingerprint import RATE, Floats

__all__ = ["Agreement", "agreement", "compared_band"]

# Samples by which a fingerprint's place may be wrong, either way.
_WRONG_BY = 320
_BLOCK = RATE // 8
# Around the highest correlation, samples that tell where it is, and steps within one.
_NEAR, _FINE = 16, 8
# Correlations: of a block that counts, and of all that count.
_LEAST_OF_BLOCK = 0.5
_LEAST = 0.6
# How many times as high as what chance gives the same spectra.
_LEAST_BEYOND_CHANCE = 6.0
# Blocks that are so much quieter than the loudest say nothing.
_RANGE = 10.0 ** (-40 / 10)


@dataclass(frozen=True)
class Agreement:
    """A piece of a clip that is in another recording.

    Attributes:
        offset: Sample of the recording at which the clip begins, or would; may be below 0.
        begin: First sample of the piece in the recording.
        share: Of the clip's sound, by time: in 0 to 1.
        score: Correlation of the waveforms in the piece, in 0 to 1.
    """

    offset: int
    begin: int
    share: float
    score: float


def compared_band(audio: Floats) -> Floats:
    """The band of audio at `RATE` in which waveforms are compared: 150 to 3300 Hz."""
    from scipy.signal import butter, sosfilt, sosfilt_zi

    if not len(audio):
        return audio
    band = butter(2, (150, 3300), "bandpass", fs=RATE, output="sos")
    # As if the first sample had been there for long: a cut wave's edge isn't heard as a click.
    filtered, _ = sosfilt(band, audio, zi=sosfilt_zi(band) * audio[0])
    in_band: Floats = filtered.astype(np.float32)
    return in_band


def agreement(clip: Floats, recording: Floats, offset: int, part: slice) -> Agreement | None:
    """Compares the waveforms of a clip and a recording, both as `compared_band` gives them.

    Args:
        offset: Sample of the recording at which the clip begins, within 40 ms.
        part: The samples of the clip that seem to be there.

    Returns:
        None where they don't agree, or agree no more than their spectra make any two sounds, as
        tones do.
    """
    from scipy.signal import correlate

    begin = max(part.start, -offset, 0)
    end = min(part.stop, len(recording) - offset, len(clip))
    if end - begin < _BLOCK:
        return None
    low = begin + offset - _WRONG_BY
    around = recording[max(low, 0) : end + offset + _WRONG_BY]
    missing = end + offset + _WRONG_BY - max(low, 0) - len(around)
    around = np.pad(around, (max(-low, 0), missing))
    lags = correlate(around, clip[begin:end], mode="valid")
    energy = np.concatenate(([0.0], np.cumsum(around.astype(float) ** 2)))
    energy = energy[end - begin :] - energy[: len(lags)]
    lags = lags / np.sqrt(np.maximum(energy, energy.max() * _RANGE))
    place = _highest(lags)
    offset = low + round(place) - begin
    first = max(0, -offset)
    n_blocks = (min(len(clip), len(recording) - offset) - first) // _BLOCK
    if n_blocks < 1:
        return None
    x = clip[first : first + n_blocks * _BLOCK].reshape(n_blocks, _BLOCK)
    y = recording[first + offset : first + offset + n_blocks * _BLOCK]
    # Copies may begin between two samples, which high tones notice.
    y = _earlier(y, place - round(place)).reshape(n_blocks, _BLOCK)
    xx, yy, xy = ((a * b).sum(axis=1, dtype=float) for a, b in ((x, x), (y, y), (x, y)))
    n_whole = len(clip) // _BLOCK
    loudest = (clip[: n_whole * _BLOCK].reshape(n_whole, _BLOCK) ** 2).sum(axis=1, dtype=float)
    least = loudest.max() * _RANGE
    agrees = (xx > least) & (np.abs(xy) > _LEAST_OF_BLOCK * np.sqrt(xx * yy))
    if not agrees.any():
        return None
    a, b = x[agrees], y[agrees]
    # Each block as loud as any other, so that none decides alone.
    a = a / np.sqrt(xx[agrees])[:, None]
    b = b / np.sqrt(np.maximum(yy[agrees], 1e-30))[:, None]
    score = abs(float((a * b).sum())) / len(a)
    if score < _LEAST or not _is_beyond_chance(a.ravel(), b.ravel()):
        return None
    share = float(agrees.sum() / max((loudest > least).sum(), 1))
    begin = first + offset + int(np.flatnonzero(agrees)[0]) * _BLOCK
    return Agreement(offset, begin, min(share, 1.0), min(score, 1.0))


def _highest(lags: Floats) -> float:
    """Where correlations are highest, perhaps between two of them: tones peak there."""
    from scipy.signal import resample

    first = max(int(np.abs(lags).argmax()) - _NEAR, 0)
    near = lags[first : first + 2 * _NEAR]
    fine = np.abs(resample(near, len(near) * _FINE))
    # At its ends the finer curve takes both for neighbours.
    fine[:_FINE] = fine[-2 * _FINE :] = 0
    return first + float(fine.argmax()) / _FINE


def _earlier(audio: Floats, by: float) -> Floats:
    """Audio moved to an earlier time by a part of a sample."""
    from scipy.fft import irfft, next_fast_len, rfft

    n = next_fast_len(len(audio), real=True)
    spectrum = rfft(audio, n)
    turns = np.arange(len(spectrum)) * (by / n)
    moved: Floats = irfft(spectrum * np.exp(2j * np.pi * turns), n)[: len(audio)].astype(np.float32)
    return moved


def _is_beyond_chance(a: Floats, b: Floats) -> bool:
    """Whether sounds correlate more than their spectra alone make them.

    Where low tones hide the rest, what is above them decides: the difference raises by 6 dB an
    octave.
    """
    from scipy.fft import rfft

    for x, y in ((a, b), (np.diff(a), np.diff(b)), (np.diff(a, 2), np.diff(b, 2))):
        p, q = (np.abs(rfft(each)) ** 2 for each in (x, y))
        correlation = abs(float((x * y).sum())) / np.sqrt(
            float((x * x).sum()) * float((y * y).sum())
        )
        # The standard deviation of the correlation of sounds of these spectra and other phases.
        by_chance = np.sqrt(float((p * q).sum()) / (float(p.sum()) * float(q.sum())))
        if correlation > _LEAST_BEYOND_CHANCE * by_chance:
            return True
    return False
