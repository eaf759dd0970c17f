"""From a model and a task to a store of embeddings, resumable shard by shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from hearbench._version import __version__
from hearbench.digest import digest_json, short
from hearbench.embeddings.batches import Shard, plan_shards
from hearbench.embeddings.kinds import EMBEDDED, Dtype, HasLayers, Wanted
from hearbench.embeddings.manifest import (
    FORMAT_VERSION,
    Manifest,
    ModelRecord,
    ShardRecord,
    TaskRecord,
)
from hearbench.embeddings.ranges import clip_frames, scene_rows
from hearbench.embeddings.run import Run
from hearbench.embeddings.shards import finished_records, write_shard
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
from hearbench.errors import EmbeddingError, ModelError
from hearbench.files import write_text
from hearbench.models.hub import commit_of
from hearbench.models.identity import changed_files
from hearbench.models.model import Check, Model
from hearbench.sums import note_if_none
from hearbench.tasks.inventory import tell_damaged
from hearbench.tasks.store import PreparedTask, with_rate
from hearbench.workspace import Workspace

__all__ = [
    "check_of",
    "embed",
    "embed_shards",
    "finish_store",
    "finished_store",
    "layers_of",
    "missing_shards",
    "name_and_digest",
    "shard_names",
    "store_folder",
]


def embed(
    model: Model,
    task: PreparedTask,
    *,
    workspace: Workspace | None = None,
    dtype: Dtype = "float32",
    layers: Literal["all"] | Sequence[int] = (),
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
        layers: Layers of the model, all in one pass: ``"all"``, or their numbers, negative ones
            from the end. By default what the model's functions give by themselves.

    Raises:
        EmbeddingError: A clip can't be read, or its embedding has another shape than the model
            promises, NaN or infinity (also after rounding to float16). The message names the
            clip. Or: the cache was changed while it was filled.
        ModelError: The model's own code fails, or it has no such layers.
        TaskError: The audio can't be resampled.
    """
    wanted = Wanted.of(task.task_type, dtype)
    if layers:
        wanted = replace(wanted, layers=layers_of(model, layers))
    return finish_store(model, task, wanted, workspace or Workspace.from_environment())


def layers_of(model: HasLayers, layers: Literal["all"] | Sequence[int]) -> tuple[int, ...]:
    """The numbers of some layers of a model, rising.

    Args:
        layers: ``"all"``, or numbers, negative ones from the end.

    Raises:
        ModelError: The model doesn't give its layers, or has no such layer.
    """
    if not model.layers:
        raise ModelError(
            f"{model.name} doesn't give its layers. Models of transformers do (hf:...), and "
            "modules with the attribute `layers` and the functions get_scene_layers and "
            "get_timestamp_layers."
        )
    if model.layer is not None and "layer" in model.options:
        raise ModelError(f"{model.name} is loaded with one layer; leave out the option `layer`.")
    if layers == "all":
        return tuple(range(model.layers))
    for number in layers:
        if not -model.layers <= int(number) < model.layers:
            raise ModelError(
                f"{model.name} has no layer {number}: its layers are 0 to {model.layers - 1}, or "
                f"-1 to {-model.layers} from the end."
            )
    return tuple(sorted({int(number) % model.layers for number in layers}))


def finish_store(
    model: Model, task: PreparedTask, wanted: Wanted, workspace: Workspace
) -> EmbeddingStore:
    """Computes what is missing of some embeddings; see `embed`, which raises the same."""
    place = _place(model, task, wanted, workspace)
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
    model: Model, task: PreparedTask, *, workspace: Workspace, wanted: Wanted | None = None
) -> list[str]:
    """The names of the shards that `finish_store` would still compute, in its order.

    Audio at the model's rate is made where it isn't there; the model isn't called.

    Args:
        wanted: Which embeddings; by default those that the kind of task takes.

    Raises:
        EmbeddingError: There is no such dtype.
        TaskError: The audio can't be resampled.
    """
    place = _place(model, task, wanted, workspace)
    if place.finished(workspace) is not None:
        return []
    done = finished_records(place.folder / SHARDS, place.shards, workspace)
    return [shard.name for shard in place.shards if shard.name not in done]


def shard_names(model: Model, task: PreparedTask, wanted: Wanted | None = None) -> list[str]:
    """The names of all shards of which a model's embeddings of a task consist, in their order."""
    return [shard.name for shard in _shards(model, task, wanted or Wanted.of(task.task_type))]


def embed_shards(
    model: Model,
    task: PreparedTask,
    names: Sequence[str],
    *,
    workspace: Workspace,
    wanted: Wanted | None = None,
) -> None:
    """Computes some shards of a store, which stays unfinished until `embed` finds them there.

    A shard's arrays are those that `embed` would have made: which clips share a batch doesn't
    depend on who computes them. Processes that share the cache can compute different shards at
    the same time; of several that compute the same one, the last to finish counts.

    Args:
        task: The task; audio at the model's rate is made where it isn't there.
        names: Names of shards, as `missing_shards` gives them; finished ones stay.
        workspace: Cache, threads, and who shows progress.
        wanted: Which embeddings; by default those that the kind of task takes.

    Raises:
        EmbeddingError: There is no such shard or dtype, or as `embed`.
        ModelError: The model's own code fails.
        TaskError: The audio can't be resampled.
    """
    place = _place(model, task, wanted, workspace)
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
    model: Model, task: PreparedTask, *, workspace: Workspace, wanted: Wanted | None = None
) -> Path:
    """Where the embeddings of a model of a task are or would be."""
    folder, _, _ = _locate(model, task, wanted or Wanted.of(task.task_type), workspace)
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
        wanted: Which embeddings it holds.
        shards: All of them.
        check: What the model's first calls show.
        others: Stores of models that look the same and embed differently.
    """

    folder: Path
    key: str
    task: PreparedTask
    wanted: Wanted
    shards: Sequence[Shard]
    check: Check
    others: int

    def finished(self, workspace: Workspace) -> EmbeddingStore | None:
        return finished_store(self.folder, self.task, workspace)


def _place(model: Model, task: PreparedTask, wanted: Wanted | None, workspace: Workspace) -> _Place:
    wanted = wanted or Wanted.of(task.task_type)
    if wanted.dtype not in get_args(Dtype):
        raise EmbeddingError(
            f"Embeddings are stored as {' or '.join(get_args(Dtype))}: {wanted.dtype!r}."
        )
    task = with_rate(task, model.sample_rate, workspace=workspace)
    folder, key, others = _locate(model, task, wanted, workspace)
    shards = _shards(model, task, wanted)
    return _Place(folder, key, task, wanted, shards, check_of(model, wanted), others)


def check_of(model: Model, wanted: Wanted) -> Check:
    """Calls the function that gives such embeddings, and says what its first calls show."""
    return model.check(wanted.called, layers=bool(wanted.layers))


def name_and_digest(model: Model, wanted: Wanted) -> tuple[str, str]:
    """The name of a model's folder of such embeddings, and its digest before it is called."""
    if wanted.layers:
        return model.layers_name, model.layers_digest
    return model.name, model.digest


def _shards(model: Model, task: PreparedTask, wanted: Wanted) -> Sequence[Shard]:
    numbers = wanted.size(model) * max(1, len(wanted.layers))
    return plan_shards(task, model.sample_rate, numbers, wanted)


def _compute(
    place: _Place,
    model: Model,
    shards: Sequence[Shard],
    workspace: Workspace,
) -> list[ShardRecord]:
    if read_fingerprint(place.folder) is None:
        made = place.check.fingerprint.model_dump_json()
        write_text(place.folder / FINGERPRINT, made + "\n")
    folder, wanted = place.folder / SHARDS, place.wanted
    finished = finished_records(folder, shards, workspace)
    missing = [shard for shard in shards if shard.name not in finished]
    store = _store_of_layers(model, place, workspace) if missing else None
    if store is not None:
        _copy(store, place, missing)
    elif missing:
        # What it gives mustn't depend on the tasks that it was called for before.
        model.begin(wanted.called, layers=bool(wanted.layers))
    model.engine.guard([place.task.folder, workspace.cache_dir])
    return Run(model, place.task, folder, shards, wanted, workspace).compute()


def _store_of_layers(model: Model, place: _Place, workspace: Workspace) -> EmbeddingStore | None:
    """The embeddings of the model's layer, from a store of several layers that is there already."""
    if place.wanted.layers or not model.layers or model.layer is None:
        return None
    others = workspace.path("embeddings", place.task.name, model.layers_name)
    for manifest_file in sorted(others.glob(f"*/{MANIFEST}")):
        folder = manifest_file.parent
        try:
            manifest = read_manifest(folder)
        except EmbeddingError:
            continue  # told and made again when it is itself asked for
        wanted = replace(place.wanted, layers=manifest.layers)
        of_this_model = model.layer in manifest.layers and (
            _locate(model, place.task, wanted, workspace)[0] == folder
        )
        if of_this_model and (store := finished_store(folder, place.task, workspace)) is not None:
            return store.layer(model.layer)
    return None


def _copy(store: EmbeddingStore, place: _Place, shards: Sequence[Shard]) -> None:
    """Writes shards with the embeddings of another store, instead of computing them."""
    made = store.manifest
    firsts: dict[str, int] = {}
    starts = {}
    for shard in place.shards:
        starts[shard.name] = firsts.get(shard.split, 0)
        firsts[shard.split] = starts[shard.name] + len(shard.clips)
    n_clips = sum(len(shard.clips) for shard in place.shards)
    for shard in shards:
        start, stop = starts[shard.name], starts[shard.name] + len(shard.clips)
        timestamps, frames = None, None
        if place.wanted.what == "scene":
            embeddings = scene_rows(store, shard.split).read(np.arange(start, stop))
        else:
            clips = clip_frames(store, shard.split)[start:stop]
            embeddings = np.concatenate([clip.read(0, len(clip)) for clip in clips])
            timestamps = np.concatenate([clip.timestamps_ms for clip in clips]).astype(np.float32)
            frames = tuple(len(clip) for clip in clips)
        share = len(shard.clips) / n_clips
        write_shard(
            place.folder / SHARDS,
            shard,
            embeddings.astype(place.wanted.dtype),
            timestamps,
            frames,
            audio_s=share * made.audio_s,
            seconds=share * made.seconds,
            reduced_batch=made.reduced_batch,
            enlarged_batch=made.enlarged_batch,
            device=made.device,
            peak_memory_mb=made.peak_memory_mb,
            peak_device_memory_mb=made.peak_device_memory_mb,
            later_files=made.model.later_files,
        )


def _locate(
    model: Model, task: PreparedTask, wanted: Wanted, workspace: Workspace
) -> tuple[Path, str, int]:
    """Folder and key of a store, and how many others there are that only look the same.

    These stay where they are, as other processes may read them, and are found again by their model.
    """
    model.engine.guard([task.folder, workspace.cache_dir])
    check = check_of(model, wanted)
    identity: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "task": task.digest(model.sample_rate),
        "model": check.digest,
        "kind": task.kind,
        "dtype": wanted.dtype,
    }
    if wanted.embedded is not EMBEDDED[task.task_type]:
        identity["what"] = wanted.what
    if wanted.layers:
        identity["layers"] = wanted.layers
    if wanted.batch is not None:
        identity["batch"] = wanted.batch
    name, _ = name_and_digest(model, wanted)
    others = 0
    while True:
        key = digest_json({**identity, "others": others} if others else identity)
        folder = workspace.path("embeddings", task.name, name, short(key))
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
    task, wanted = place.task, place.wanted
    _, digest = name_and_digest(model, wanted)
    # Shards may be of other processes than this one, and of earlier versions that didn't say.
    devices = {record.device or model.device for record in records}
    return Manifest(
        hearbench_version=__version__,
        key=place.key,
        kind=task.kind,
        dtype=wanted.dtype,
        batch=place.shards[0].batch,
        model=ModelRecord(
            name=model.name,
            spec=model.spec,
            weights=None if model.weights is None else str(model.weights),
            weights_digest=model.weights_digest,
            source_digest=model.source_digest,
            options=dict(model.options),
            digest=digest,
            called_digest=None if place.check.digest == digest else place.check.digest,
            fingerprint=place.check.fingerprint,
            later_files={k: v for record in records for k, v in record.later_files.items()},
            revision=commit_of(model.weights),
            sample_rate=model.sample_rate,
            scene_embedding_size=model.scene_embedding_size,
            timestamp_embedding_size=model.timestamp_embedding_size,
        ),
        task=TaskRecord.of(task, model.sample_rate),
        device=", ".join(sorted(devices)),
        seconds=sum(record.seconds for record in records),
        audio_s=sum(record.audio_s for record in records),
        peak_memory_mb=_most(record.peak_memory_mb for record in records),
        peak_device_memory_mb=_most(record.peak_device_memory_mb for record in records),
        shards=tuple(records),
        notes=tuple(_notes(model, place)),
        what=None if wanted.embedded is EMBEDDED[task.task_type] else wanted.what,
        layers=wanted.layers,
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
