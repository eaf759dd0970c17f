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
import re
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from hearbench.audio.encode import MOST_SAMPLES
from hearbench.audio.ffmpeg import mpeg_stream, rate_by_ffmpeg, read_with_ffmpeg
from hearbench.audio.whole import cut_off, ogg_streams, refuse_cut_off
from hearbench.errors import AudioError

__all__ = ["read_excerpt16", "read_float32", "read_mono16", "sample_rate_of"]

_FULL_SCALE = 32768.0
# Subtypes that are 16 bits at most once decoded: integers all the way, as in ffmpeg.
_NARROW = frozenset({"PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW"})
_WIDE = frozenset({"PCM_24", "PCM_32"})
_MOST_CHANNELS = 2
_BLOCK_VALUES = 1 << 20  # at a time, of all channels
# Subtypes whose number of samples libsndfile estimates, or takes from what may be any number.
_ESTIMATED = frozenset({"MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "VORBIS", "OPUS"})
_UNKNOWN_FRAMES = 1 << 62
# What decoders of MPEG audio may leave out at begin and end, by a header of 12 bits each.
_LONGEST_GAPS = 2 * 4096
# libsndfile reads what is there, and only notes in its log what the header promises.
_COUNTS = {
    "AVR": re.compile(r"^  Frames +: (\d+)", re.MULTILINE),
    "MPC2K": re.compile(r"^  Frames +: (\d+)", re.MULTILINE),
    "MAT5": re.compile(r"^ +Rows : \d+ +Cols : (\d+)", re.MULTILINE),
    "WVE": re.compile(r"^Data length (\d+) should be", re.MULTILINE),
}
_TRUNCATED = re.compile(r"^\*\*\* File seems to be truncated", re.MULTILINE)  # of MAT4


def read_mono16(path: Path) -> tuple[npt.NDArray[np.int16], int]:
    """Reads an audio file of any format as mono 16-bit samples.

    Returns:
        The samples, int16 of shape (n_samples,), and their rate in Hz.

    Raises:
        AudioError: The file is missing, empty, damaged, cut off, or has no audio.
    """
    _refuse_unreadable(path)
    with _one_error(path):
        with path.open("rb") as content:
            streams = ogg_streams(path, content)
            refuse_cut_off(path, content)
        refusal, promised = "", None
        try:
            if len(streams) > 1:
                return _joined(path, streams)
            with _opened(path) as file:
                # ffmpeg leaves out the end of whole ALAC, of which the chunks were counted before.
                promised = None if file.subtype.startswith("ALAC") else _promised(file)
                if file.channels <= _MOST_CHANNELS:
                    x = _mono16(path, file)
                    # A stream whose writer never came back to fill in its length looks empty.
                    if len(x) > 0 and _is_all(path, file, len(x)):
                        return x, int(file.samplerate)
        except soundfile.LibsndfileError as error:
            refusal = str(error.error_string)
        return read_with_ffmpeg(path, refusal, promised)


def read_excerpt16(path: Path, start: int, n_samples: int) -> tuple[npt.NDArray[np.int16], int]:
    """Reads a part of an audio file as mono 16-bit samples.

    Args:
        path: The file, in a format in which libsndfile can jump to a place.
        start: The first sample, at the file's own rate.
        n_samples: Number of samples, at the file's own rate.

    Returns:
        The samples, int16 of shape (n_samples,), and their rate in Hz.

    Raises:
        AudioError: The file is missing, damaged, in another format, or ends before the part does.
    """
    _refuse_unreadable(path)
    with _one_error(path), _opened(path) as file:
        end = start + n_samples
        if start < 0 or n_samples < 1 or end > file.frames:
            raise AudioError(f"{path} has {file.frames} samples; {start} to {end} aren't there.")
        if file.channels > _MOST_CHANNELS:
            raise AudioError(f"{path} has {file.channels} channels; parts are read of 1 or 2.")
        file.seek(start)
        x = _mono16(path, file, n_samples)
        if len(x) < n_samples:
            raise AudioError(f"{path} has {start + len(x)} samples; {end} aren't there.")
        return x, int(file.samplerate)


def sample_rate_of(path: Path) -> int:
    """The rate in Hz that :func:`read_mono16` would give, from the file's header alone.

    Raises:
        AudioError: The file is missing, empty, no audio, or names no rate.
    """
    _refuse_unreadable(path)
    with _one_error(path):
        try:
            with _opened(path) as file:
                return int(file.samplerate)
        except soundfile.LibsndfileError:
            return rate_by_ffmpeg(path)


def read_float32(path: Path, *, expected_rate: int | None = None) -> npt.NDArray[np.float32]:
    """Reads a prepared 16-bit mono WAV as float32 (n_samples,) in [-1, 1).

    Args:
        expected_rate: The rate in Hz that it must have; None takes any.

    Raises:
        AudioError: The file is missing, empty, damaged, cut off, not 16-bit mono, or has
            another rate.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AudioError(f"{path} can't be read: {error.strerror}.", code="io") from error
    x, rate = prepared_wav(path, data)
    if expected_rate is not None and rate != expected_rate:
        raise AudioError(f"{path} has {rate} Hz where {expected_rate} Hz are expected.")
    scaled: npt.NDArray[np.float32] = x.astype(np.float32) * np.float32(1 / _FULL_SCALE)
    return scaled


def prepared_wav(path: Path, data: bytes) -> tuple[npt.NDArray[np.int16], int]:
    """The samples and rate of a prepared WAV from its bytes; the path is for messages.

    Raises:
        AudioError: See :func:`read_float32`.
    """
    if not data:
        raise AudioError(f"{path} is empty (0 bytes).")
    refuse_cut_off(path, io.BytesIO(data))
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
    with _one_error(path), _Sequential(_InMemory(data)) as file:
        if file.channels != 1 or file.subtype != "PCM_16":
            raise AudioError(
                f"{path} has {file.channels} channels of {file.subtype}; the audio of a "
                "prepared task is 16-bit mono."
            )
        return _mono16(path, file), int(file.samplerate)


class _InMemory(io.BytesIO):
    """A file in memory in which libsndfile may seek as in one on disk.

    Of a damaged file it asks for places before the beginning. An error of Python's can't get
    through its code: it would be printed, and no one would know.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except ValueError:
            return self.tell()


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its begin to its end.

    Otherwise soundfile allocates what the header claims, refuses formats that can't be jumped
    about in, and jumps to the same place again after each read, which changes what some decoders
    give next.
    """

    def seekable(self) -> bool:
        return False


def _opened(path: Path) -> _Sequential:
    if path.suffix.lower() == ".raw":  # by that name soundfile wants to be told what is in there
        return _Sequential(_InMemory(path.read_bytes()))
    # On most systems names needn't be text.
    return _Sequential(str(path) if os.name == "nt" else os.fsencode(path))


@contextmanager
def _one_error(path: Path) -> Iterator[None]:
    """Lets nothing but an AudioError through: decoders of damaged files raise all kinds."""
    try:
        yield
    except AudioError:
        raise
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path} can't be decoded: {error.error_string}") from error
    except Exception as error:
        said = str(error) or type(error).__name__
        raise AudioError(f"{path} can't be decoded: {said}") from error


def _refuse_unreadable(path: Path) -> None:
    try:
        if not path.is_file():
            raise AudioError(f"{path}: there is no such file.", code="not_found")
        if path.stat().st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes).")
        if not os.access(path, os.R_OK):
            raise AudioError(f"{path} can't be read: no permission.")
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} can't be read: {error}.") from error


def _promised(file: soundfile.SoundFile) -> int | None:
    """The number of samples by a file's header, where that is a count and no estimate."""
    if file.subtype in _ESTIMATED or file.frames >= _UNKNOWN_FRAMES:
        return None
    log = file.extra_info
    found = _COUNTS[file.format].findall(log) if file.format in _COUNTS else []
    return max(int(file.frames), *map(int, found[-1:]), 0)


def _mono16(
    path: Path, file: soundfile.SoundFile, n_samples: int | None = None
) -> npt.NDArray[np.int16]:
    """The next ``n_samples``, or all, as mono."""
    if n_samples is None and _TRUNCATED.search(file.extra_info):
        raise cut_off(path, f"there is less than its header promises ({file.format})")
    narrow, wide = file.subtype in _NARROW, file.subtype in _WIDE
    dtype = "int16" if narrow else "int32" if wide else "float32"
    if file.subtype == "DOUBLE":
        dtype = "float64"
    parts: list[npt.NDArray[np.int16]] = []
    there = 0
    for block in _blocks(file, dtype, n_samples):
        there += len(block)
        if there > MOST_SAMPLES:
            raise AudioError(f"{path} is longer than a WAV file can be; cut it.")
        parts.append(
            _narrow(block) if narrow else _wide(path, block) if wide else _from_float(path, block)
        )
    promised = _promised(file)
    if n_samples is None and promised is not None and there < promised:
        raise cut_off(path, f"{there} of {promised} samples can be decoded ({file.format})")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _blocks(
    file: soundfile.SoundFile, dtype: str, n_samples: int | None
) -> Iterator[npt.NDArray[Any]]:
    """The next samples, (n, n_channels), in blocks: a header may claim any number of them."""
    most = max(1, _BLOCK_VALUES // file.channels)
    while True:
        wanted = most if n_samples is None else min(most, n_samples)
        block = file.read(wanted, dtype=dtype, always_2d=True)
        yield block
        n_samples = None if n_samples is None else n_samples - len(block)
        if len(block) < wanted or n_samples == 0:
            return


def _is_all(path: Path, file: soundfile.SoundFile, n_samples: int) -> bool:
    """Whether what libsndfile decoded is all of a file.

    Of MPEG audio libsndfile takes the length from a header, or from the first frame and the
    file's size; frames beyond it are left out.

    Raises:
        AudioError: The file lost its end.
    """
    if not file.subtype.startswith("MPEG"):
        return True
    stream = mpeg_stream(path)
    if stream is None:
        return True
    short = n_samples < int(file.frames)
    if stream.is_cut_off:
        raise cut_off(path, stream.what_is_missing)
    if short and stream.missing_bytes:
        raise cut_off(path, f"the last {stream.missing_bytes} bytes are missing")
    left_out = _LONGEST_GAPS if stream.promised_frames is not None else 0
    least = stream.samples - left_out - stream.samples_per_frame
    return not stream.is_continued and n_samples >= least


def _joined(path: Path, streams: Sequence[tuple[int, int]]) -> tuple[npt.NDArray[np.int16], int]:
    """The samples of streams one after the other in a file, of which libsndfile reads the first."""
    data = path.read_bytes()
    parts, rates = [], set()
    for begin, end in streams:
        with _Sequential(_InMemory(data[begin:end])) as file:
            if file.channels > _MOST_CHANNELS:
                return read_with_ffmpeg(path, "", None)
            parts.append(_mono16(path, file))
            rates.add(int(file.samplerate))
    if len(rates) > 1:
        raise AudioError(f"{path} is joined from streams of different rates: {sorted(rates)} Hz.")
    x = np.concatenate(parts)
    if len(x) == 0:
        raise AudioError(f"{path} holds no samples.")
    return x, rates.pop()


def _narrow(x: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Mixes integers of 16 bits (n_samples, 1 or 2) to mono."""
    if x.shape[1] == 1:
        return np.ascontiguousarray(x[:, 0])
    left, right = x[:, 0].astype(np.int32), x[:, 1].astype(np.int32)
    return ((left + right + 1) >> 1).astype(np.int16)


def _wide(path: Path, x: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """Mixes integers of more bits (n_samples, 1 or 2), in the upper ones of 32, to mono int16."""
    if x.shape[1] == 1:
        return (x[:, 0] >> 16).astype(np.int16)
    return _from_float(path, x.astype(np.float32) * np.float32(2.0**-31))


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
