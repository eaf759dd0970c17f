"""Reading a finished store of embeddings.

    <cache>/embeddings/<task>/<model>/<key>/
        fingerprint.json  what its model makes of a fixed signal; written first
        manifest.json     what made it, and its shards; written last
        SHA256SUMS        digests of the two above; written after them
        shards/*.npy      arrays, named by split, number and content
        shards/*.json     a record per shard, by which an interrupted run goes on

Arrays are mapped into memory, and become float32 where they are handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from hearbench.digest import digest_file
from hearbench.embeddings.kinds import EMBEDDINGS, What
from hearbench.embeddings.manifest import FileRecord, Manifest, ShardRecord
from hearbench.embeddings.shards import damaged_files
from hearbench.errors import EmbeddingError
from hearbench.files import read_npy, write_text
from hearbench.models.fingerprint import Fingerprint
from hearbench.sums import read_whole_sums, sums_of, write_sums
from hearbench.tasks.store import PreparedTask
from hearbench.workspace import Workspace

__all__ = [
    "FINGERPRINT",
    "MANIFEST",
    "SHARDS",
    "EmbeddingStore",
    "damaged_records",
    "note_records",
    "read_fingerprint",
    "read_manifest",
    "write_manifest",
]

_REMEDY = "Embedding again computes what is damaged."

MANIFEST = "manifest.json"
SHARDS = "shards"
FINGERPRINT = "fingerprint.json"


def read_manifest(folder: Path) -> Manifest:
    """What made the store in a folder, before its task is known.

    Raises:
        EmbeddingError: There is no finished store, or none that this version can read.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise EmbeddingError(
            f"There are no finished embeddings in {folder}. `hearbench embed` prints the folder of "
            "those that it made.",
            code="not_found",
        ) from error
    except ValidationError as error:
        raise EmbeddingError(
            f"{folder / MANIFEST} can't be read by this version of hearbench "
            f"({error.error_count()} problems, first: {error.errors()[0]['msg']}). {_REMEDY}"
        ) from error
    if MANIFEST in damaged_records(folder):
        raise EmbeddingError(
            f"{folder / MANIFEST} is damaged (not what was written). {_REMEDY}", code="damaged"
        )
    return manifest


def damaged_records(folder: Path) -> list[str]:
    """Which of a store's manifest and its model's fingerprint aren't what was written.

    Stores of earlier versions have no list of digests, and are believed.
    """
    listed = read_whole_sums(folder)
    if listed is None:
        return [MANIFEST]
    return [
        name
        for name, digest in listed.items()
        if not (folder / name).is_file() or digest_file(folder / name) != digest
    ]


def note_records(folder: Path) -> None:
    """Writes the digests of a store's manifest and of its model's fingerprint beside them."""
    records = [folder / name for name in (FINGERPRINT, MANIFEST) if (folder / name).is_file()]
    write_sums(folder, sums_of(folder, records))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Finishes the store in a folder.

    Raises:
        EmbeddingError: It can't be written.
    """
    try:
        write_text(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        note_records(folder)
    except OSError as error:
        raise EmbeddingError(
            f"{error.filename or folder} can't be written: {error.strerror}.",
            code="io",
        ) from error


def read_fingerprint(folder: Path) -> Fingerprint | None:
    """That of the model whose embeddings are in a folder; None where it isn't known."""
    if FINGERPRINT in damaged_records(folder):
        return None
    try:
        return Fingerprint.model_validate_json((folder / FINGERPRINT).read_bytes())
    except (OSError, ValidationError):
        return None  # a new store, or one of an earlier version, which had none


@dataclass(frozen=True, repr=False)
class EmbeddingStore:
    """The embeddings of one model of all clips of one task.

    Attributes:
        folder: The store's folder in the cache.
        manifest: The record of what made the store, and of its shards.
        task: The task, with audio at the model's rate.
        test: Embeddings of the clips that are scored, in the place of its own: those of disturbed
            audio, for probes that learned from clean audio. None for its own.
    """

    folder: Path
    manifest: Manifest
    task: PreparedTask
    test: EmbeddingStore | None = None

    @classmethod
    def open(
        cls, folder: Path, task: PreparedTask, *, workspace: Workspace | None = None
    ) -> EmbeddingStore:
        """Opens a finished store, and compares its files with their digests.

        What was looked at before isn't read again as long as the system says that it is unchanged.

        Args:
            workspace: Where it is remembered what files hold; by default from the environment.

        Raises:
            EmbeddingError: It isn't there, isn't whole, or isn't of this task.
        """
        store = cls(folder, read_manifest(folder), task)
        store._check_clips()
        bad = damaged_files(
            folder / SHARDS, store.manifest.shards, workspace or Workspace.from_environment()
        )
        if bad:
            raise store._broken(_named(bad))
        return store

    @property
    def digest(self) -> str:
        """Over the content of all shards."""
        return self.manifest.content_digest

    def verify(self) -> None:
        """Reads all arrays, whatever is known of them, and compares them with their digests.

        Raises:
            EmbeddingError: A file is missing or its content isn't what was written.
        """
        for shard in self.manifest.shards:
            for file in shard.files:
                path = self.folder / SHARDS / file.name
                if not path.is_file() or digest_file(path) != file.sha256:
                    raise self._broken(_named([file.name]))

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the model's layers that it holds; empty if it holds none in particular."""
        return self.manifest.layers

    def layer(self, number: int) -> EmbeddingStore:
        """The embeddings of one layer alone.

        Raises:
            EmbeddingError: It doesn't hold that layer.
        """
        test = None if self.test is None else self.test.layer(number)
        return replace(self, manifest=self.manifest.layer(number), test=test)

    def tested_on(self, other: EmbeddingStore) -> EmbeddingStore:
        """The same embeddings to learn from, with others of the clips that are scored."""
        return replace(self, test=other)

    def require(self, what: What) -> None:
        """Makes sure that it holds a kind of embeddings, of one layer or of none in particular.

        Raises:
            EmbeddingError: It holds another kind, or several layers.
        """
        own = self.manifest.embedded
        if own.what != what:
            raise EmbeddingError(
                f"{self.task.name} is {self.manifest.task_type.noun}; this store has {own.what} "
                f"embeddings, and no {what} embeddings."
            )
        if self.layers:
            raise EmbeddingError(
                f"This store holds {len(self.layers)} layers; `layer` gives one of them."
            )

    def clips(self, split: str) -> list[str]:
        """File names of a split's clips, in the order of its embeddings."""
        return [clip for shard in self._shards(split) for clip in shard.clips]

    def scene(self, split: str) -> npt.NDArray[np.float32]:
        """The scene embeddings of a split.

        Returns:
            (n_clips, scene_embedding_size), in the order of the split's file.

        Raises:
            EmbeddingError: It holds timestamp embeddings or several layers, or there is no such
                split.
        """
        self.require("scene")
        shards = self._shards(split)
        rows = sum(len(shard.clips) for shard in shards)
        result = np.empty((rows, self.manifest.model.scene_embedding_size), dtype=np.float32)
        first = 0
        for shard in shards:
            last = first + len(shard.clips)
            result[first:last] = self._read(shard.embeddings, result[first:last].shape)
            first = last
        return result

    def embeddings(
        self, split: str
    ) -> npt.NDArray[np.float32] | dict[str, npt.NDArray[np.float32]]:
        """The embeddings of a split, as they are.

        Returns:
            Scene embeddings (n_clips, scene_embedding_size), in the order of `clips`; timestamp
            embeddings (n_frames, timestamp_embedding_size) by clip. Of a store with layers,
            (n_clips, n_layers, size) and (n_frames, n_layers, size).

        Raises:
            EmbeddingError: There is no such split.
        """
        stores = [self.layer(number) for number in self.layers] or [self]
        if self.manifest.embedded is EMBEDDINGS["scene"]:
            rows = [store.scene(split) for store in stores]
            return np.stack(rows, axis=1) if self.layers else rows[0]
        clips = [{clip: x for clip, x, _ in store.timestamps(split)} for store in stores]
        if not self.layers:
            return clips[0]
        return {clip: np.stack([layer[clip] for layer in clips], axis=1) for clip in clips[0]}

    def __repr__(self) -> str:
        manifest = self.manifest
        clips = sum(len(shard.clips) for shard in manifest.shards)
        return (
            f"Embeddings of {manifest.task.name} by {manifest.model.name}: {clips} clips, "
            f"{manifest.kind}, {manifest.dtype}{_layers(self.layers)}\n"
            f"splits: {', '.join(self.task.splits)}\n"
            f"folder: {self.folder}"
        )

    def timestamps(
        self, split: str
    ) -> Iterator[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.float64]]]:
        """The timestamp embeddings of a split, clip by clip in the order of its file.

        Yields:
            File name, embeddings (n_frames, timestamp_embedding_size), and the frames' centres
            in ms (n_frames,), which were float32 when the model gave them.

        Raises:
            EmbeddingError: It holds scene embeddings or several layers, or there is no such
                split.
        """
        self.require("timestamp")
        size = self.manifest.model.timestamp_embedding_size
        for shard in self._shards(split):
            if shard.frames is None or shard.timestamps is None:
                raise self._broken(f"the record of {split} {shard.index} has no timestamps")
            total = sum(shard.frames)
            embeddings = self._read(shard.embeddings, (total, size))
            centres_ms = self._read(shard.timestamps, (total,))
            first = 0
            for clip, frames in zip(shard.clips, shard.frames, strict=True):
                part = slice(first, first + frames)
                yield clip, embeddings[part].astype(np.float32), centres_ms[part].astype(np.float64)
                first += frames

    def _shards(self, split: str) -> list[ShardRecord]:
        if split not in self.task.splits:
            raise EmbeddingError(
                f"{self.task.name} has no split {split!r}; there are {', '.join(self.task.splits)}."
            )
        return [shard for shard in self.manifest.shards if shard.split == split]

    def _read(self, file: FileRecord, shape: tuple[int, ...]) -> npt.NDArray[np.floating]:
        path = self.folder / SHARDS / file.name
        try:
            array = read_npy(path, mmap=True)
        except (OSError, ValueError, EOFError) as error:
            raise self._broken(f"{path.name} can't be read ({error})") from error
        if array.shape != shape or array.dtype != np.dtype(self.manifest.dtype):
            # Timestamps keep float32 beside float16 embeddings.
            if array.shape == shape and array.dtype == np.float32 and array.ndim == 1:
                return array
            raise self._broken(
                f"{path.name} is {array.dtype} {array.shape} and should be "
                f"{self.manifest.dtype} {shape}"
            )
        return array

    def _check_clips(self) -> None:
        for split, files in self.task.splits.items():
            if self.clips(split) != list(files):
                raise self._broken(f"its clips of {split} aren't those of the task")

    def _broken(self, what: str) -> EmbeddingError:
        return EmbeddingError(
            f"The embeddings of {self.task.name} by {self.manifest.model.name} are damaged: "
            f"{what} (in {self.folder}). {_REMEDY}"
        )


def _layers(numbers: tuple[int, ...]) -> str:
    return f", layers {', '.join(map(str, numbers))}" if numbers else ""


def _named(files: Sequence[str]) -> str:
    others = f" and {len(files) - 1} more files" if len(files) > 1 else ""
    return f"{files[0]}{others} are missing or not what was written"
