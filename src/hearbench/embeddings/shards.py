"""Shards on disk: arrays named by their content, and a record that is written after them.

A shard counts as finished when its record is there and its arrays have the record's digests.
As the arrays' names hold their digest, no process ever replaces what another has recorded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from hearbench.digest import digest_file, short
from hearbench.embeddings.batches import Shard
from hearbench.embeddings.manifest import FileRecord, ShardRecord
from hearbench.files import atomic_write, write_text
from hearbench.models.identity import changed_files

__all__ = ["ShardWay", "finished_record", "is_whole", "record_path", "write_shard"]


@dataclass(frozen=True)
class ShardWay:
    """How a shard was computed; attributes as of `ShardRecord`."""

    reduced_batch: int | None
    enlarged_batch: int | None
    device_utilisation: float | None
    device: str
    peak_memory_mb: float | None
    peak_device_memory_mb: float | None
    later_files: dict[str, str]


def record_path(folder: Path, shard: Shard) -> Path:
    """Where a shard's record is or will be, below ``shards/``."""
    return folder / f"{shard.name}.json"


def write_shard(
    folder: Path,
    shard: Shard,
    embeddings: npt.NDArray[np.floating],
    timestamps: npt.NDArray[np.float32] | None,
    frames: tuple[int, ...] | None,
    *,
    audio_s: float,
    seconds: float,
    way: ShardWay | None = None,
) -> ShardRecord:
    """Writes a shard's arrays, then its record.

    Args:
        folder: The store's ``shards/``.
        shard: Which.
        embeddings: (n_clips, size) or (sum of frames, size).
        timestamps: In ms, (sum of frames,), of event tasks.
        frames: Per clip, of event tasks.
        audio_s: Seconds of audio.
        seconds: Wall-clock time.
        way: How it was computed, where that is known.
    """
    record = ShardRecord(
        split=shard.split,
        index=shard.index,
        clips=shard.clips,
        frames=frames,
        embeddings=_write_array(folder, shard.name, embeddings),
        timestamps=None
        if timestamps is None
        else _write_array(folder, f"{shard.name}-ms", timestamps),
        audio_s=audio_s,
        seconds=seconds,
        **({} if way is None else dataclasses.asdict(way)),
    )
    write_text(record_path(folder, shard), record.model_dump_json() + "\n")
    return record


def finished_record(folder: Path, shard: Shard) -> ShardRecord | None:
    """A shard's record if it is finished and whole; None if it is to be computed (again)."""
    try:
        record = ShardRecord.model_validate_json(record_path(folder, shard).read_bytes())
    except (OSError, ValidationError):
        return None  # never begun, or of another version: computing it is always right
    if (record.split, record.index, record.clips) != (shard.split, shard.index, shard.clips):
        return None
    if changed_files(record.later_files):
        return None
    return record if all(is_whole(folder, file) for file in record.files) else None


def is_whole(folder: Path, file: FileRecord, *, content: bool = True) -> bool:
    """Whether an array is there with its size and, on request, its content."""
    path = folder / file.name
    if not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return not content or digest_file(path) == file.sha256


def _write_array(folder: Path, name: str, array: npt.NDArray[np.floating]) -> FileRecord:
    array = np.ascontiguousarray(array)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(array))
    header, content = buffer.getvalue(), array.reshape(-1).view(np.uint8).data
    # The digest is needed before the file: it is part of its name.
    digest = hashlib.sha256(header)
    digest.update(content)
    sha256 = digest.hexdigest()
    path = folder / f"{name}-{short(sha256)}.npy"
    with atomic_write(path) as file:
        file.write(header)
        file.write(content)
    return FileRecord(name=path.name, bytes=len(header) + len(content), sha256=sha256)
