"""From a model and a task to a store of embeddings, resumable shard by shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hearbench._version import __version__
from hearbench.digest import digest_json, short
from hearbench.embeddings.batches import Shard, batch_clips, plan_shards
from hearbench.embeddings.kinds import Dtype, Wanted
from hearbench.embeddings.manifest import (
    FORMAT_VERSION,
    Manifest,
    ModelRecord,
    ShardRecord,
    TaskRecord,
)
from hearbench.embeddings.run import Run
from hearbench.embeddings.shards import finished_records
from hearbench.embeddings.store import (
    FINGERPRINT,
    MANIFEST,
    SHARDS,
    EmbeddingStore,
    damaged_records,
    note_records,
    read_fingerprint,
    read_manifest,
    write_manifest,
)
from hearbench.errors import EmbeddingError
from hearbench.files import write_text
from hearbench.models.hub import commit_of
from hearbench.models.identity import changed_files
from hearbench.models.model import Check, Model
from hearbench.sums import note_if_none
from hearbench.tasks.inventory import tell_damaged
from hearbench.tasks.store import PreparedTask, with_rate
from hearbench.workspace import Workspace

__all__ = [
    "embed",
    "embed_shards",
    "finished_store",
    "missing_shards",
    "shard_names",
    "store_folder",
]


def embed(
    model: Model,
    task: PreparedTask,
    *,
    workspace: Workspace | None = None,
    dtype: Dtype = "float32",
) -> EmbeddingStore:
    """Computes the embeddings of all clips of a task, or finds them in the cache.

    Scene tasks take scene embeddings, event tasks timestamp embeddings. Clips are batched as in
    the reference evaluation, in file order. A run that was stopped goes on after the last shard
    that it finished, and computes again what is damaged; of several runs at once the first to
    finish counts.

    Args:
        model: The model; only the one function that the kind of task needs is called.
        task: The task; audio at the model's rate is made where it isn't there.
        workspace: Default: from the environment.
        dtype: Type of the embeddings on disk; they are computed and handed out in float32.

    Raises:
        EmbeddingError: A clip can't be read, or its embedding has another shape than the model
            promises, NaN or infinity (also after rounding to float16). The message names the
            clip. Or: the cache was changed while it was filled.
        ModelError: The model's own code fails.
        TaskError: The audio can't be resampled.
    """
    workspace = workspace or Workspace.from_environment()
    place = _place(model, task, dtype, workspace)
    store = place.finished(workspace)
    if store is not None:
        return store
    records = _compute(place, model, place.shards, workspace)
    # Another process may have finished the same while this one worked; its manifest stands.
    store = place.finished(workspace)
    if store is None:
        write_manifest(place.folder, _manifest(model, place, records))
        # Looked at once more: a folder that was removed while it was filled is no store.
        store = EmbeddingStore.open(place.folder, place.task, workspace=workspace)
    return store


def missing_shards(
    model: Model, task: PreparedTask, *, workspace: Workspace, dtype: Dtype = "float32"
) -> list[str]:
    """The names of the shards that `embed` would still compute, in its order.

    Audio at the model's rate is made where it isn't there; the model isn't called.

    Args:
        dtype: Type of the embeddings on disk.

    Raises:
        EmbeddingError: There is no such dtype.
        TaskError: The audio can't be resampled.
    """
    place = _place(model, task, dtype, workspace)
    if place.finished(workspace) is not None:
        return []
    done = finished_records(place.folder / SHARDS, place.shards, workspace)
    return [shard.name for shard in place.shards if shard.name not in done]


def shard_names(model: Model, task: PreparedTask) -> list[str]:
    """The names of all shards of which a model's embeddings of a task consist, in their order."""
    return [shard.name for shard in _shards(model, task)]


def embed_shards(
    model: Model,
    task: PreparedTask,
    names: Sequence[str],
    *,
    workspace: Workspace,
    dtype: Dtype = "float32",
) -> None:
    """Computes some shards of a store, which stays unfinished until `embed` finds them there.

    A shard's arrays are those that `embed` would have made: which clips share a batch doesn't
    depend on who computes them. Processes that share the cache can compute different shards at
    the same time; of several that compute the same one, the last to finish counts.

    Args:
        task: The task; audio at the model's rate is made where it isn't there.
        names: Names of shards, as `missing_shards` gives them; finished ones stay.
        workspace: Cache, threads, and who shows progress.
        dtype: Type of the embeddings on disk.

    Raises:
        EmbeddingError: There is no such shard or dtype, or as `embed`.
        ModelError: The model's own code fails.
        TaskError: The audio can't be resampled.
    """
    place = _place(model, task, dtype, workspace)
    if place.finished(workspace) is not None:
        return
    by_name = {shard.name: shard for shard in place.shards}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise EmbeddingError(
            f"The embeddings of {place.task.name} by {model.name} have no shard {unknown[0]!r}; "
            f"there are {len(by_name)}, from {place.shards[0].name} to {place.shards[-1].name}."
        )
    chosen = [by_name[name] for name in dict.fromkeys(names)]
    _compute(place, model, chosen, workspace)


def store_folder(
    model: Model, task: PreparedTask, *, workspace: Workspace, dtype: Dtype = "float32"
) -> Path:
    """Where the embeddings of a model of a task are or would be."""
    folder, _, _ = _locate(model, task, dtype, workspace)
    return folder


def finished_store(folder: Path, task: PreparedTask, workspace: Workspace) -> EmbeddingStore | None:
    """The store in a folder; None if it was never finished, or is damaged.

    Which shards are damaged is said when they are looked at one by one.

    Args:
        folder: As `store_folder` gives it.
        task: The task; audio at the model's rate isn't needed.
        workspace: Where it is remembered what files hold, and how many threads look at them.
    """
    if not (folder / MANIFEST).exists():
        return None
    damaged = damaged_records(folder)
    tell_damaged([folder / name for name in damaged], "made again")
    if damaged:
        return None
    try:
        store = EmbeddingStore.open(folder, task, workspace=workspace)
    except EmbeddingError:
        return None
    note_if_none(folder, lambda: note_records(folder))
    return store


@dataclass(frozen=True)
class _Place:
    """A store that is finished or to be filled.

    Attributes:
        key: The digest by which that is named.
        task: The task, with audio at the model's rate.
        dtype: Type of the embeddings on disk.
        shards: All of them.
        check: What the model's first calls show.
        others: Stores of models that look the same and embed differently.
    """

    folder: Path
    key: str
    task: PreparedTask
    dtype: Dtype
    shards: Sequence[Shard]
    check: Check
    others: int

    def finished(self, workspace: Workspace) -> EmbeddingStore | None:
        return finished_store(self.folder, self.task, workspace)


def _place(model: Model, task: PreparedTask, dtype: Dtype, workspace: Workspace) -> _Place:
    if dtype not in get_args(Dtype):
        raise EmbeddingError(f"Embeddings are stored as {' or '.join(get_args(Dtype))}: {dtype!r}.")
    task = with_rate(task, model.sample_rate, workspace=workspace)
    folder, key, others = _locate(model, task, dtype, workspace)
    check = model.check(task.kind)
    return _Place(folder, key, task, dtype, _shards(model, task), check, others)


def _shards(model: Model, task: PreparedTask) -> Sequence[Shard]:
    return plan_shards(task, model.sample_rate, Wanted.of(task.task_type).size(model))


def _compute(
    place: _Place,
    model: Model,
    shards: Sequence[Shard],
    workspace: Workspace,
) -> list[ShardRecord]:
    if read_fingerprint(place.folder) is None:
        made = place.check.fingerprint.model_dump_json()
        write_text(place.folder / FINGERPRINT, made + "\n")
    folder = place.folder / SHARDS
    if len(finished_records(folder, shards, workspace)) < len(shards):
        # What it gives mustn't depend on the tasks that it was called for before.
        model.begin(place.task.kind)
    model.engine.guard([place.task.folder, workspace.cache_dir])
    return Run(model, place.task, folder, shards, place.dtype, workspace).compute()


def _locate(
    model: Model, task: PreparedTask, dtype: Dtype, workspace: Workspace
) -> tuple[Path, str, int]:
    """Folder and key of a store, and how many others there are that only look the same.

    These stay where they are, as other processes may read them, and are found again by their model.
    """
    model.engine.guard([task.folder, workspace.cache_dir])
    check = model.check(task.kind)
    identity: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "task": task.digest(model.sample_rate),
        "model": check.digest,
        "kind": task.kind,
        "dtype": dtype,
    }
    others = 0
    while True:
        key = digest_json({**identity, "others": others} if others else identity)
        folder = workspace.path("embeddings", task.name, model.name, short(key))
        known = read_fingerprint(folder)
        if known is None or (known.matches(check.fingerprint) and not _has_changed(folder)):
            return folder, key, others
        others += 1


def _has_changed(folder: Path) -> bool:
    """Whether a finished store's model read files in the course of it that are others now."""
    if not (folder / MANIFEST).is_file():
        return False  # which its shards tell, one by one
    try:
        return bool(changed_files(read_manifest(folder).model.later_files))
    except EmbeddingError:
        return False  # damaged, so it is made again from the shards


def _manifest(model: Model, place: _Place, records: Sequence[ShardRecord]) -> Manifest:
    task = place.task
    # Shards may be of other processes than this one, and of earlier versions that didn't say.
    devices = {record.device or model.device for record in records}
    return Manifest(
        hearbench_version=__version__,
        key=place.key,
        kind=task.kind,
        dtype=place.dtype,
        batch=batch_clips(task.metadata.sample_duration, model.sample_rate),
        model=ModelRecord(
            name=model.name,
            spec=model.spec,
            weights=None if model.weights is None else str(model.weights),
            weights_digest=model.weights_digest,
            source_digest=model.source_digest,
            options=dict(model.options),
            digest=model.digest,
            called_digest=None if place.check.digest == model.digest else place.check.digest,
            fingerprint=place.check.fingerprint,
            later_files={k: v for record in records for k, v in record.later_files.items()},
            revision=commit_of(model.weights),
            sample_rate=model.sample_rate,
            scene_embedding_size=model.scene_embedding_size,
            timestamp_embedding_size=model.timestamp_embedding_size,
        ),
        task=TaskRecord(name=task.name, digest=task.digest(model.sample_rate)),
        device=", ".join(sorted(devices)),
        seconds=sum(record.seconds for record in records),
        audio_s=sum(record.audio_s for record in records),
        peak_memory_mb=_most(record.peak_memory_mb for record in records),
        peak_device_memory_mb=_most(record.peak_device_memory_mb for record in records),
        shards=tuple(records),
        notes=tuple(_notes(model, place)),
    )


def _notes(model: Model, place: _Place) -> Iterator[str]:
    yield from place.check.notes
    if place.others:
        yield (
            f"{model.name} looks the same as a model whose embeddings are in the cache, but embeds "
            "a fixed signal differently, or files have changed that it read later on. So they "
            "weren't used."
        )


def _most(sizes_mb: Iterable[float | None]) -> float | None:
    return max((size for size in sizes_mb if size is not None), default=None)
