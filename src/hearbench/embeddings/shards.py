"""Shards on disk: arrays named by their content, and a record that is written after them.

A shard counts as finished when its record is there and its arrays have the record's digests; what
is damaged is computed again. As the arrays' names hold their digest, no process ever replaces what
another has recorded by something else.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from hearbench.digest import short
from hearbench.embeddings.batches import Shard
from hearbench.embeddings.manifest import FileRecord, ShardRecord
from hearbench.files import atomic_write, read_npy, write_text
from hearbench.models.identity import changed_files as changed_later
from hearbench.tasks.inventory import changed_files, tell_damaged
from hearbench.workspace import Workspace

__all__ = ["damaged_files", "finished_records", "record_path", "write_shard"]


def record_path(folder: Path, shard: Shard) -> Path:
    """Where a shard's record is or will be, below ``shards/``."""
    return folder / f"{shard.name}.json"


def write_shard(
    folder: Path,
    shard: Shard,
    embeddings: npt.NDArray[np.floating],
    timestamps: npt.NDArray[np.float32] | None,
    frames: tuple[int, ...] | None,
    **stats: Any,
) -> ShardRecord:
    """Writes a shard's arrays, then its record.

    Args:
        folder: The store's ``shards/``.
        embeddings: (n_clips, size) or (sum of frames, size); of several layers (n_clips, layers,
            size) or (sum of frames, layers, size).
        timestamps: Frame centres in ms, (sum of frames,), of timestamp embeddings.
        frames: Per clip, of timestamp embeddings.
        **stats: Fields of `ShardRecord` that say how it was computed.
    """
    by_layer = [embeddings] if embeddings.ndim == 2 else list(embeddings.swapaxes(0, 1))
    arrays = tuple(_write_array(folder, shard.name, layer) for layer in by_layer)
    record = ShardRecord(
        split=shard.split,
        index=shard.index,
        clips=shard.clips,
        frames=frames,
        embeddings=arrays[-1],
        timestamps=None
        if timestamps is None
        else _write_array(folder, f"{shard.name}-ms", timestamps),
        layers=() if embeddings.ndim == 2 else arrays,
        **stats,
    )
    write_text(record_path(folder, shard), record.model_dump_json() + "\n")
    return record


def finished_records(
    folder: Path, shards: Sequence[Shard], workspace: Workspace
) -> dict[str, ShardRecord]:
    """The records of the shards that are finished and whole, by the shards' names.

    Of those that aren't, which are to be computed again, one line says so.

    Args:
        folder: The store's ``shards/``.
        workspace: Where it is remembered what files hold, and how many threads look at them.
    """
    found: dict[str, ShardRecord] = {}
    damaged: list[str] = []
    for shard in shards:
        try:
            record = ShardRecord.model_validate_json(record_path(folder, shard).read_bytes())
        except OSError:
            continue  # never begun
        except ValidationError:
            damaged.append(record_path(folder, shard).name)  # or of another version
            continue
        same = (record.split, record.index, record.clips) == (shard.split, shard.index, shard.clips)
        if same and not changed_later(record.later_files):
            found[shard.name] = record
    bad = set(damaged_files(folder, found.values(), workspace))
    whole: dict[str, ShardRecord] = {}
    for name, record in found.items():
        broken = [file.name for file in record.files if file.name in bad]
        if broken:
            damaged += broken
        elif not _frames_fit(folder, record):
            damaged.append(f"{name}.json")
        else:
            whole[name] = record
    tell_damaged([folder / name for name in damaged], "embedding these clips again")
    return whole


def _frames_fit(folder: Path, record: ShardRecord) -> bool:
    """Whether there are as many frames as the record says, which no digest guards."""
    if record.frames is None or record.timestamps is None:
        return record.frames is None and record.timestamps is None
    return len(read_npy(folder / record.timestamps.name, mmap=True)) == sum(record.frames)


def damaged_files(folder: Path, records: Iterable[ShardRecord], workspace: Workspace) -> list[str]:
    """The names of the arrays that are missing or don't hold what was written.

    Args:
        folder: The store's ``shards/``.
        records: The records of the shards.
        workspace: Where it is remembered what files hold, and how many threads look at them.
    """
    expected = {file.name: file.sha256 for record in records for file in record.files}
    return changed_files(folder, expected, workspace)


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
