"""Audio in and out: decode, mono, resample, pad and trim, 16-bit WAV."""

from hearbench.audio.decode import read_float32, read_mono16
from hearbench.audio.encode import write_wav16
from hearbench.audio.resample import resample16, resampled_length
from hearbench.audio.shape import pad_or_trim, samples_of

__all__ = [
    "pad_or_trim",
    "read_float32",
    "read_mono16",
    "resample16",
    "resampled_length",
    "samples_of",
    "write_wav16",
]
