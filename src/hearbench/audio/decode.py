"""Audio files in: any format to mono 16-bit samples, by the benchmark's rules.

libsndfile reads what it can, ffmpeg (through PyAV) the rest, and what has more channels than
two, whose weights are ffmpeg's.

Conventions: samples are int16, mono, of shape (n_samples,); rates are in Hz. Mono comes about as
in the reference preparation: 16-bit stereo is ``(l + r + 1) >> 1``; 24- and 32-bit mono loses its
lower bits; 24- and 32-bit and float stereo is ``0.5 l + 0.5 r`` in float32, times 32768, rounded
half to even and clipped; float mono the same without the sum. There is no dither.
"""

from __future__ import annotations

import io
import os
import struct
import wave
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from hearbench.errors import AudioError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

__all__ = ["read_excerpt16", "read_float32", "read_mono16", "sample_rate_of"]

_FULL_SCALE = 32768.0
# Subtypes that are 16 bits at most once decoded: integers all the way, as in ffmpeg.
_NARROW = frozenset({"PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW"})
_WIDE = frozenset({"PCM_24", "PCM_32"})
# Sizes that writers put into the header of a stream whose length they don't know.
_UNKNOWN_SIZES = frozenset({0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF})
_MOST_CHANNELS = 2


def read_mono16(path: Path) -> tuple[npt.NDArray[np.int16], int]:
    """Reads an audio file of any format as mono 16-bit samples.

    Returns:
        The samples, int16 of shape (n_samples,), and their rate in Hz.

    Raises:
        AudioError: The file is missing, empty, damaged, cut off, or has no audio.
    """
    _refuse_unreadable(path)
    with path.open("rb") as file:
        _refuse_truncated(path, file)
    try:
        with soundfile.SoundFile(_name(path)) as file:
            if file.channels <= _MOST_CHANNELS:
                x = _mono16(path, file)
                # A stream whose writer never came back to fill in its length looks empty.
                if len(x) > 0:
                    return x, int(file.samplerate)
    except soundfile.LibsndfileError as error:
        return _read_with_ffmpeg(path, str(error.error_string))
    return _read_with_ffmpeg(path, "")


def read_excerpt16(path: Path, start: int, n_samples: int) -> tuple[npt.NDArray[np.int16], int]:
    """Reads a part of an audio file as mono 16-bit samples.

    Args:
        path: The file, in a format in which libsndfile can jump to a place.
        start: The first sample, at the file's own rate.
        n_samples: How many there are to be.

    Returns:
        The samples, int16 of shape (n_samples,), and their rate in Hz.

    Raises:
        AudioError: The file is missing, damaged, in another format, or ends before the part does.
    """
    _refuse_unreadable(path)
    try:
        with soundfile.SoundFile(_name(path)) as file:
            end = start + n_samples
            if start < 0 or n_samples < 1 or end > file.frames:
                raise AudioError(
                    f"{path} has {file.frames} samples; {start} to {end} aren't there."
                )
            if file.channels > _MOST_CHANNELS:
                raise AudioError(f"{path} has {file.channels} channels; parts are read of 1 or 2.")
            file.seek(start)
            return _mono16(path, file, n_samples), int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be decoded: {error.error_string}") from error


def sample_rate_of(path: Path) -> int:
    """The rate in Hz that :func:`read_mono16` would give, from the file's header alone.

    Raises:
        AudioError: The file is missing, empty, no audio, or names no rate.
    """
    _refuse_unreadable(path)
    try:
        return int(soundfile.info(_name(path)).samplerate)
    except soundfile.LibsndfileError as error:
        refusal = str(error.error_string)
    import av  # slow to import, and most corpora never need it

    try:
        with av.open(str(path)) as container:
            if container.streams.audio and (rate := _rate(container.streams.audio[0])):
                return rate
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"{path} can't be decoded: {refusal} {error}") from error
    raise AudioError(f"{path} holds no audio with a sample rate.")


def read_float32(path: Path, *, expected_rate: int | None = None) -> npt.NDArray[np.float32]:
    """Reads a prepared 16-bit mono WAV as float32 (n_samples,) in [-1, 1).

    Args:
        path: The file.
        expected_rate: The rate in Hz that it must have; None takes any.

    Raises:
        AudioError: The file is missing, empty, damaged, cut off, not 16-bit mono, or has
            another rate.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AudioError(f"{path} can't be read: {error.strerror}.") from error
    x, rate = prepared_wav(path, data)
    if expected_rate is not None and rate != expected_rate:
        raise AudioError(f"{path} has {rate} Hz where {expected_rate} Hz are expected.")
    scaled: npt.NDArray[np.float32] = x.astype(np.float32) * np.float32(1 / _FULL_SCALE)
    return scaled


def prepared_wav(path: Path, data: bytes) -> tuple[npt.NDArray[np.int16], int]:
    """The samples and rate of a prepared WAV from its bytes; the path is for messages.

    Raises:
        AudioError: As for :func:`read_float32`.
    """
    if not data:
        raise AudioError(f"{path} is empty (0 bytes).")
    _refuse_truncated(path, io.BytesIO(data))
    plain = _plain_wav(data)
    x, rate = _wav_by_libsndfile(path, data) if plain is None else plain
    if len(x) == 0:
        raise AudioError(f"{path} holds no samples.")
    return x, rate


def _plain_wav(data: bytes) -> tuple[npt.NDArray[np.int16], int] | None:
    """The samples of a plain 16-bit mono WAV, a view that can't be written to; else None.

    The standard library reads such a file from memory in a sixth of libsndfile's time, which
    for fast models is much of the time that embeddings take.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getcomptype()) != (1, 2, "NONE"):
                return None
            samples = file.readframes(file.getnframes())
            rate = file.getframerate()
    except (wave.Error, EOFError, RuntimeError, ValueError):
        # Rarer forms of WAV, and damage that libsndfile names better.
        return None
    return np.frombuffer(samples, "<i2", len(samples) // 2).astype(np.int16, copy=False), rate


def _wav_by_libsndfile(path: Path, data: bytes) -> tuple[npt.NDArray[np.int16], int]:
    try:
        with soundfile.SoundFile(_InMemory(data)) as file:
            if file.channels != 1 or file.subtype != "PCM_16":
                raise AudioError(
                    f"{path} has {file.channels} channels of {file.subtype}; the audio of a "
                    "prepared task is 16-bit mono."
                )
            x: npt.NDArray[np.int16] = file.read(dtype="int16")
            return x, int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be decoded: {error.error_string}") from error


class _InMemory(io.BytesIO):
    """A file in memory in which libsndfile may seek as in one on disk.

    Of a damaged file it asks for places before the beginning. An error of Python's can't get
    through its code: it would be printed, and nobody would know.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


def _name(path: Path) -> str | bytes:
    """A path as libsndfile can be given it; on most systems names needn't be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _refuse_unreadable(path: Path) -> None:
    try:
        if not path.is_file():
            raise AudioError(f"{path}: there is no such file.")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes).")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{path} can't be read: no permission.")
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} can't be read: {error}.") from error


def _refuse_truncated(path: Path, file: BinaryIO) -> None:
    """Raises where a WAV's header promises more samples than the file holds.

    Decoders pass over this without a word, and a clip that lost its end would be scored.
    """
    header = file.read(12)
    if len(header) < 12 or header[:4] != b"RIFF" or header[8:] != b"WAVE":
        return
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        begin = file.tell()
        if name == b"data":
            there = file.seek(0, io.SEEK_END) - begin
            if size > there and size not in _UNKNOWN_SIZES:
                raise AudioError(
                    f"{path} is damaged: its header promises {size} bytes of samples, "
                    f"{there} are there."
                )
            return
        file.seek(begin + size + size % 2)  # chunks begin at even places


def _mono16(
    path: Path, file: soundfile.SoundFile, n_samples: int | None = None
) -> npt.NDArray[np.int16]:
    """The next ``n_samples``, or all, as mono."""
    frames = int(file.frames) if n_samples is None else n_samples
    if file.subtype in _NARROW:
        narrow: npt.NDArray[np.int16] = file.read(frames, dtype="int16", always_2d=True)
        _refuse_short(path, file, frames, len(narrow))
        if file.channels == 1:
            return np.ascontiguousarray(narrow[:, 0])
        left, right = narrow[:, 0].astype(np.int32), narrow[:, 1].astype(np.int32)
        return ((left + right + 1) >> 1).astype(np.int16)
    if file.subtype in _WIDE:
        wide: npt.NDArray[np.int32] = file.read(frames, dtype="int32", always_2d=True)
        _refuse_short(path, file, frames, len(wide))
        if file.channels == 1:
            return (wide[:, 0] >> 16).astype(np.int16)
        return _from_float(path, wide.astype(np.float32) * np.float32(2.0**-31))
    dtype = "float64" if file.subtype == "DOUBLE" else "float32"
    return _from_float(
        path, file.read(-1 if n_samples is None else frames, dtype=dtype, always_2d=True)
    )


def _refuse_short(path: Path, file: soundfile.SoundFile, promised: int, there: int) -> None:
    # Only lossless formats: elsewhere the header's count is an estimate.
    if there < promised:
        raise AudioError(
            f"{path} is damaged: {there} of {promised} samples can be decoded ({file.format})."
        )


def _from_float(path: Path, x: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    """(n_samples, 1 or 2) in full scale 1 to mono int16."""
    half, full_scale = x.dtype.type(0.5), x.dtype.type(_FULL_SCALE)
    # Numbers of any size can stand in a file: beyond full scale they are clipped, with no warning.
    with np.errstate(over="ignore", invalid="ignore"):
        mono = x[:, 0] if x.shape[1] == 1 else half * x[:, 0] + half * x[:, 1]
        scaled = np.clip(np.rint(mono * full_scale), -_FULL_SCALE, _FULL_SCALE - 1)
    if np.isnan(mono).any():
        raise AudioError(f"{path} is damaged: it holds samples that are no numbers (NaN).")
    samples: npt.NDArray[np.int16] = scaled.astype(np.int16)
    return samples


def _rate(stream: AudioStream) -> int:
    """A stream's rate in Hz; 0 where it names none, or has no decoder that could tell."""
    return int(getattr(stream, "rate", 0) or 0)


def _read_with_ffmpeg(path: Path, refusal: str) -> tuple[npt.NDArray[np.int16], int]:
    """Decodes with ffmpeg; ``refusal`` is what libsndfile said about the file, if anything."""
    import av  # slow to import, and most corpora never need it

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(f"{path} holds no audio.")
            stream = container.streams.audio[0]
            if not _rate(stream):
                raise AudioError(f"{path} is damaged: it names no sample rate.")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=stream.rate)
            parts = [
                part.to_ndarray()[0]
                for frame in container.decode(stream)
                for part in resampler.resample(frame)
            ]
            parts.extend(part.to_ndarray()[0] for part in resampler.resample(None))
            rate = int(stream.rate)
    except (av.FFmpegError, ValueError) as error:
        said = " ".join(f"{refusal} {error}".split())
        raise AudioError(f"{path} can't be decoded: {said}") from error
    if not parts or sum(map(len, parts)) == 0:
        raise AudioError(f"{path} holds no samples.")
    return np.concatenate(parts).astype(np.int16, copy=False), rate
