"""Codecs as disturbances: encoded and decoded again in memory, by FFmpeg's libraries."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hearbench.audio.shape import pad_or_trim
from hearbench.errors import AudioError
from hearbench.perturb.step import Floats, Sound, Step

__all__ = ["Codec"]

# Rates in Hz of MPEG-1 and MPEG-2, and their bit rates in kbit/s (ISO 11172-3 and 13818-3).
_MPEG = (
    (
        (32000, 44100, 48000),
        (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    ),
    ((16000, 22050, 24000), (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)),
)
# Rates in Hz at which Opus takes audio (RFC 6716); it gives 48 kHz back (RFC 7845).
_OPUS_RATES = [8000, 12000, 16000, 24000, 48000]
_ENCODERS = {"mp3": ("libmp3lame", "mp3", "fltp"), "opus": ("libopus", "ogg", "flt")}
# The effort of the encoders: less than their most, as devices have it that encode while one speaks.
# With it, encoding takes a third of the time.
_EFFORT = {"mp3": {"compression_level": "7"}, "opus": {"compression_level": "3"}}


class Codec(Step):
    """A lossy codec at a bit rate, and back."""

    kind = "codec"
    variants = ("mp3", "opus")
    low, high, unit = 6.0, 320.0, "kbit/s"

    def apply(self, sound: Sound) -> Floats:
        """See `Step.apply`; the codec's delay is taken off.

        Raises:
            AudioError: The codec hasn't that bit rate, or isn't there.
        """
        import soxr

        x, rate = sound.samples, sound.sample_rate
        if not len(x):
            return x
        coded_at = self._rate(rate)
        at = x if coded_at == rate else soxr.resample(x, rate, coded_at, quality="HQ")
        decoded, decoded_at = self._through(np.clip(at, -1, 1).astype(np.float32), coded_at)
        y = decoded.astype(np.float64)
        if decoded_at != rate:
            y = soxr.resample(y, decoded_at, rate, quality="HQ")
        return pad_or_trim(y, len(x))

    def _rate(self, rate: int) -> int:
        """The lowest rate at which the codec has the bit rate and nothing of the band is lost.

        Where there is none, the highest.
        """
        rates = _OPUS_RATES
        if self.variant == "mp3":
            rates = sorted(r for some, kbps in _MPEG if self.value in kbps for r in some)
            if not rates:
                known = sorted({each for _, kbps in _MPEG for each in kbps})
                raise AudioError(
                    f"{self}: MP3 has no such bit rate; it has {', '.join(map(str, known))} kbit/s."
                )
        return next((each for each in rates if each >= rate), rates[-1])

    def _through(self, x: npt.NDArray[np.float32], rate: int) -> tuple[Floats, int]:
        """Encodes and decodes; returns the samples and their rate in Hz."""
        import av
        from av.audio.frame import AudioFrame

        encoder, form, layout = _ENCODERS[self.variant]
        buffer = io.BytesIO()
        try:
            with av.open(buffer, "w", format=form) as out:
                stream = out.add_stream(
                    encoder, rate=rate, layout="mono", options=_EFFORT[self.variant]
                )
                stream.codec_context.format = layout
                stream.codec_context.thread_count = 1
                stream.bit_rate = round(self.value * 1000)
                frame = AudioFrame.from_ndarray(x[None], format=layout, layout="mono")
                frame.sample_rate, frame.pts = rate, 0
                frame.time_base = Fraction(1, rate)
                for packet in (*stream.encode(frame), *stream.encode(None)):
                    out.mux(packet)
            buffer.seek(0)
            with av.open(buffer) as coded:
                frames = list(coded.decode(coded.streams.audio[0]))
        except (av.FFmpegError, ValueError) as error:
            raise AudioError(
                f"{self}: FFmpeg's {encoder} fails or isn't in this build of PyAV: {error}."
            ) from error
        blocks = [np.asarray(each.to_ndarray(), dtype=np.float64).reshape(-1) for each in frames]
        return np.concatenate(blocks or [np.zeros(0)]), frames[0].sample_rate if frames else rate
