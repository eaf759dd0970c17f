"""Audio files out: 16-bit mono WAV, the format of every prepared task."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.digest import digest_bytes
from hearbench.errors import AudioError
from hearbench.files import atomic_write

__all__ = ["MOST_SAMPLES", "is_whole_wav16", "length_of_wav16", "write_wav16"]

_BYTES_PER_SAMPLE = 2
_PCM = 1
_FMT_BYTES = 16
_HEADER_BYTES = 36  # what the RIFF size counts besides the samples
_HEADER = "<4sI4s4sIHHIIHH4sI"
_MOST_BYTES = 0xFFFFFFFF - _HEADER_BYTES

MOST_SAMPLES = _MOST_BYTES // _BYTES_PER_SAMPLE
"""The number of samples that a 16-bit mono WAV can hold."""


def write_wav16(path: Path, x: npt.NDArray[np.int16], rate: int, *, durable: bool = True) -> str:
    """Writes mono audio as a 16-bit WAV, atomically: the file is whole or not there.

    Args:
        path: The file; parent folders are made.
        x: Samples, int16 of shape (n_samples,).
        rate: Sample rate in Hz.
        durable: False doesn't wait for the disk; see :func:`is_whole_wav16`.

    Returns:
        The SHA-256 of the file.

    Raises:
        AudioError: ``x`` isn't int16 of one dimension, or is too long for a WAV (2**32 bytes).
    """
    if x.dtype != np.int16 or x.ndim != 1:
        raise AudioError(
            f"{path}: a prepared WAV takes int16 samples of shape (n_samples,), "
            f"got {x.dtype} of shape {x.shape}."
        )
    size = len(x) * _BYTES_PER_SAMPLE
    if size > _MOST_BYTES:
        raise AudioError(f"{path}: {len(x)} samples are more than a WAV file can hold; cut it.")
    # A fixed 44-byte header: the same samples always give the same file.
    header = struct.pack(
        _HEADER,
        b"RIFF",
        _HEADER_BYTES + size,
        b"WAVE",
        b"fmt ",
        _FMT_BYTES,
        _PCM,
        1,
        rate,
        rate * _BYTES_PER_SAMPLE,
        _BYTES_PER_SAMPLE,
        8 * _BYTES_PER_SAMPLE,
        b"data",
        size,
    )
    content = header + x.astype("<i2", copy=False).tobytes()
    with atomic_write(path, durable=durable) as file:
        file.write(content)
    return digest_bytes(content)


def length_of_wav16(path: Path) -> int:
    """The number of samples in a file that :func:`write_wav16` wrote, by its size.

    Raises:
        OSError: The file can't be looked at.
    """
    return max(0, path.stat().st_size - _HEADER_BYTES - 8) // _BYTES_PER_SAMPLE


def is_whole_wav16(path: Path) -> bool:
    """Whether a file that :func:`write_wav16` wrote is there in full.

    Files that it wrote without waiting for the disk may be empty or short after a power cut.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES + 8)
            size = os.fstat(file.fileno()).st_size
    except OSError:  # not there, or not to be read: to be written again in either case
        return False
    if len(header) < _HEADER_BYTES + 8 or not header.startswith(b"RIFF"):
        return False
    promised: int = struct.unpack("<I", header[-4:])[0]
    return size == _HEADER_BYTES + 8 + promised
