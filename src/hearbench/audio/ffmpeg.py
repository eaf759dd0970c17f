"""Decoding with ffmpeg, through PyAV: what libsndfile can't read, or may have read in part."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hearbench.audio.encode import MOST_SAMPLES
from hearbench.audio.whole import cut_off
from hearbench.errors import AudioError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

__all__ = ["MpegStream", "mpeg_stream", "rate_by_ffmpeg", "read_with_ffmpeg"]

# Formats whose headers count samples, so that a stream's duration isn't estimated.
_COUNTED = frozenset({"wv", "tta", "ape", "tak"})
_TAG = re.compile(rb"Xing|Info|VBRI")
# Where those stand behind the begin of a frame of MPEG audio, by its kind and channels.
_TAG_OFFSETS = (36, 21, 13)
_LONGEST_FRAME = 4096
_TAG_HEAD_BYTES, _ID3V1_BYTES = 32, 128
_MOST_ZEROS = 1 << 16  # that are looked at
_HAS_FRAMES, _HAS_BYTES = 1, 2


@dataclass(frozen=True)
class MpegStream:
    """Counts of a stream of MPEG audio, and what its header promises.

    Attributes:
        frames: Number of frames in the stream.
        samples: Samples of these frames, with what is cut at begin and end in playing.
        promised_frames: Frames by the header (Xing, Info or VBRI); None without one.
        missing_bytes: Bytes by the header that aren't there; 0 without one.
    """

    frames: int
    samples: int
    promised_frames: int | None
    missing_bytes: int

    @property
    def samples_per_frame(self) -> int:
        """576 or 1152, 384 in layer I."""
        return self.samples // self.frames

    @property
    def is_cut_off(self) -> bool:
        """Whether frames are missing; some encoders count the header as one."""
        return self.promised_frames is not None and self.frames < self.promised_frames - 1

    @property
    def what_is_missing(self) -> str:
        """A clause that says how many of the promised frames exist."""
        return f"{self.frames} of {self.promised_frames} frames are there"

    @property
    def is_continued(self) -> bool:
        """Whether there are more frames than the header says, as in files that were joined."""
        return self.promised_frames is not None and self.frames > self.promised_frames + 1


class _Unfailing(io.FileIO):
    """A file in which ffmpeg may seek to places that aren't there, as it does in damaged ones.

    PyAV would print an error of Python's, and drop it.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError):
            return -1


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    """A file and its first stream of audio."""
    import av  # slow to import, and most corpora never need it

    # A file object, as a name could be taken for an address, and names needn't be text. A
    # playlist must not make ffmpeg open other files or addresses.
    with (
        _Unfailing(path) as file,
        av.open(
            file, metadata_errors="ignore", options={"protocol_whitelist": "none"}
        ) as container,
    ):
        if not container.streams.audio:
            raise AudioError(f"{path} holds no audio.")
        yield container, container.streams.audio[0]


def rate_by_ffmpeg(path: Path) -> int:
    """The sample rate of a file in Hz, by ffmpeg.

    Raises:
        AudioError: It holds no audio, or names no rate.
    """
    with _opened(path) as (_, stream):
        # A stream names none where there is no decoder that could tell.
        rate = int(getattr(stream, "rate", 0) or 0)
    if rate <= 0:
        raise AudioError(f"{path} is damaged: it names no sample rate.", code="damaged")
    return rate


def read_with_ffmpeg(
    path: Path, refusal: str, promised: int | None
) -> tuple[npt.NDArray[np.int16], int]:
    """Decodes a file as mono 16-bit samples.

    Args:
        refusal: What libsndfile said about it, if anything, for messages.
        promised: How many samples its header promises, where that is known.

    Raises:
        AudioError: It can't be decoded, or only in part.
    """
    import av

    rate = 0
    parts: list[npt.NDArray[np.int16]] = []
    n_samples = 0
    try:
        with _opened(path) as (container, stream):
            rate = int(getattr(stream, "rate", 0) or 0)
            if rate <= 0:
                raise AudioError(f"{path} is damaged: it names no sample rate.", code="damaged")
            if container.format.name in _COUNTED and stream.duration and stream.time_base:
                promised = int(stream.duration * stream.time_base * rate)
            stream_of_mpeg = mpeg_stream(path) if container.format.name == "mp3" else None
            if stream_of_mpeg is not None and stream_of_mpeg.is_cut_off:
                raise cut_off(path, stream_of_mpeg.what_is_missing)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            for frame in _frames(path, container, stream, promised):
                for part in resampler.resample(frame):
                    parts.append(part.to_ndarray()[0])
                    n_samples += len(parts[-1])
                if n_samples > MOST_SAMPLES:
                    raise AudioError(f"{path} is longer than a WAV file can be; cut it.")
    except (av.FFmpegError, ValueError) as error:
        said = " ".join(f"{refusal} {error}".split())
        raise AudioError(f"{path} can't be decoded: {said}") from error
    if n_samples == 0:
        raise AudioError(f"{path} holds no samples.")
    if promised is not None and n_samples < promised:
        raise cut_off(path, f"{n_samples} of {promised} samples can be decoded")
    return np.concatenate(parts).astype(np.int16, copy=False), rate


def _frames(
    path: Path, container: InputContainer, stream: AudioStream, promised: int | None
) -> Iterator[AudioFrame | None]:
    """Yields the decoded frames of a stream, and None behind it."""
    import av

    n_samples, end = 0, 0
    try:
        for packet in container.demux(stream):
            end = max(end, (packet.pos or 0) + packet.size)
            for frame in packet.decode():
                n_samples += frame.samples
                yield frame
    except av.FFmpegError:
        # For ffmpeg a tag behind WavPack is damage; another file there would be left out.
        if promised is None or n_samples < promised or not _has_only_tags(path, end):
            raise
    yield None


def _has_only_tags(path: Path, begin: int) -> bool:
    """Tells whether only tags or zeros follow a place of a file."""
    with path.open("rb") as file:
        while True:
            file.seek(begin)
            head = file.read(_TAG_HEAD_BYTES)
            if head.startswith(b"APETAGEX"):
                begin += _TAG_HEAD_BYTES + int.from_bytes(head[12:16], "little")
            elif head.startswith(b"TAG"):
                begin += _ID3V1_BYTES
            else:
                return not (head + file.read(_MOST_ZEROS)).strip(b"\0")


def mpeg_stream(path: Path) -> MpegStream | None:
    """Counts the frames of a file of MPEG audio; None where ffmpeg finds none."""
    import av

    frames, samples, first = 0, 0.0, None
    try:
        with _opened(path) as (container, stream):
            for packet in container.demux(stream):
                if packet.size and packet.duration and packet.time_base:
                    first = first or (packet.pos or 0, packet.size)
                    frames += 1
                    samples += float(packet.duration * packet.time_base) * (packet.stream.rate or 0)
    except (av.FFmpegError, ValueError, AudioError):
        return None  # libsndfile could read it, and there is nothing to compare that with
    if first is None or samples < frames:
        return None
    promised, missing = _by_header(path, *first)
    return MpegStream(frames, round(samples), promised, missing)


def _by_header(path: Path, first: int, size: int) -> tuple[int | None, int]:
    """The number of frames, and of missing bytes, by the header before or in the first frame."""
    begin = max(0, first - _LONGEST_FRAME)
    with path.open("rb") as file:
        file.seek(begin)
        data = file.read(first - begin + size)
        end = file.seek(0, 2)
    for found in reversed(list(_TAG.finditer(data))):
        at, tag = found.start(), found.group()
        starts = [at - n for n in _TAG_OFFSETS if at >= n and data[at - n] == 0xFF]
        if not starts or len(data) < at + 18:
            continue
        if tag == b"VBRI":
            n_bytes, frames = struct.unpack(">II", data[at + 10 : at + 18])
            flags = _HAS_FRAMES | _HAS_BYTES
        else:
            flags, frames, n_bytes = struct.unpack(">III", data[at + 4 : at + 16])
        if not flags & _HAS_FRAMES:
            return None, 0
        missing = begin + starts[0] + n_bytes - end if flags & _HAS_BYTES else 0
        return frames or None, max(0, missing)  # 0 by a writer that never came back to count
    return None, 0
