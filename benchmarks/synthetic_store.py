"""Stores of embeddings that no model made: random numbers about a centre per label."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.batches import Shard
from hearbench.embeddings.manifest import Manifest, ModelRecord, ShardRecord, TaskRecord
from hearbench.embeddings.shards import write_shard
from hearbench.embeddings.store import EmbeddingStore, read_manifest
from hearbench.tasks.clips import Event
from hearbench.tasks.spec import TaskMetadata
from hearbench.tasks.store import PreparedTask

__all__ = ["StoreSpec", "load_store", "make_store"]

SHARD_NUMBERS = 1 << 24
CENTRES_SEED = 0


@dataclass(frozen=True)
class StoreSpec:
    """What a synthetic store is like.

    Attributes:
        name: Of its task.
        splits: Clips by split: train, valid and test, or folds.
        n_labels: Size of the vocabulary.
        score: The one that chooses.
        multilabel: Whether a clip has two labels; event tasks always are.
        clip_frames: Frames per clip of an event task, else 0.
        hop_ms: Between its frames.
        events_per_s: Of its clips.
        on_loss: Whether the validation loss chooses.
        param_grid: What the task changes in the protocol's grid.
    """

    name: str
    splits: Mapping[str, int]
    n_labels: int
    score: str
    multilabel: bool = False
    clip_frames: int = 0
    hop_ms: float = 50.0
    events_per_s: float = 1.0
    on_loss: bool = False
    param_grid: Mapping[str, Sequence[float]] | None = None

    @property
    def n_folds(self) -> int:
        """Trainings of the protocol."""
        return 1 if "train" in self.splits else len(self.splits)


def make_store(folder: Path, spec: StoreSpec, size: int, *, seed: int = 0) -> EmbeddingStore:
    """Writes a store in float32.

    Args:
        folder: Where to, empty.
        spec: What it is like.
        size: Numbers per embedding.
        seed: Of the numbers.
    """
    rng = np.random.default_rng([seed, len(spec.name)])
    centres = np.random.default_rng(CENTRES_SEED).standard_normal((spec.n_labels, size))
    centres = (centres * (6 / size**0.5)).astype(np.float32)
    event = spec.clip_frames > 0
    splits: dict[str, dict[str, tuple[str, ...] | tuple[Event, ...]]] = {}
    records: list[ShardRecord] = []
    numbers_per_clip = max(1, spec.clip_frames) * size
    per_shard = max(1, SHARD_NUMBERS // numbers_per_clip)
    for split, count in spec.splits.items():
        names = [f"{split}-{i:06}.wav" for i in range(count)]
        files: dict[str, tuple[str, ...] | tuple[Event, ...]] = {}
        for index, start in enumerate(range(0, count, per_shard)):
            clips = names[start : start + per_shard]
            n_rows = len(clips) * max(1, spec.clip_frames)
            x = rng.standard_normal((n_rows, size), dtype=np.float32)
            for i, clip in enumerate(clips):
                if event:
                    rows = x[i * spec.clip_frames : (i + 1) * spec.clip_frames]
                    files[clip] = _events(rng, spec, rows, centres)
                else:
                    n_own = min(spec.n_labels, 2 if spec.multilabel else 1)
                    own = rng.choice(spec.n_labels, size=n_own, replace=False)
                    x[i] += centres[own].sum(axis=0)
                    files[clip] = tuple(str(label) for label in own)
            times = np.arange(spec.clip_frames, dtype=np.float32) * np.float32(spec.hop_ms)
            records.append(
                write_shard(
                    folder / "shards",
                    Shard(split, index, tuple(clips), (), len(clips)),
                    x,
                    np.tile(times, len(clips)) if event else None,
                    (spec.clip_frames,) * len(clips) if event else None,
                    audio_s=0.0,
                    seconds=0.0,
                )
            )
        splits[split] = files
    task = _task(spec, splits)
    manifest = Manifest(
        hearbench_version="0",
        key=spec.name,
        kind="event" if event else "scene",
        dtype="float32",
        batch=1,
        model=ModelRecord(
            name="synthetic",
            spec="synthetic",
            weights=None,
            weights_digest=None,
            source_digest="0",
            options={},
            digest="0",
            sample_rate=16000,
            scene_embedding_size=size,
            timestamp_embedding_size=size,
        ),
        task=TaskRecord(name=task.name, digest="0"),
        device="cpu",
        seconds=0.0,
        audio_s=0.0,
        peak_memory_mb=None,
        peak_device_memory_mb=None,
        shards=tuple(records),
    )
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    (folder / "splits.json").write_text(json.dumps(splits, default=dataclasses.asdict))
    return EmbeddingStore(folder, manifest, task)


def load_store(folder: Path, spec: StoreSpec) -> EmbeddingStore:
    """What `make_store` wrote."""
    stored = json.loads((folder / "splits.json").read_text())
    event = spec.clip_frames > 0
    splits = {
        split: {
            clip: tuple(Event(**own) if event else own for own in labels)
            for clip, labels in files.items()
        }
        for split, files in stored.items()
    }
    return EmbeddingStore(folder, read_manifest(folder), _task(spec, splits))


def _events(
    rng: np.random.Generator,
    spec: StoreSpec,
    rows: npt.NDArray[np.float32],
    centres: npt.NDArray[np.float32],
) -> tuple[Event, ...]:
    """Events of a clip, which its frames (n, size) are told of."""
    duration_ms = spec.clip_frames * spec.hop_ms
    count = max(1, round(spec.events_per_s * duration_ms / 1000))
    found = []
    for onset in np.sort(rng.uniform(0, 0.95 * duration_ms, count)):
        label, end = int(rng.integers(spec.n_labels)), float(onset + rng.uniform(100, 800))
        first, last = int(onset / spec.hop_ms), int(end / spec.hop_ms) + 1
        rows[first:last] += centres[label]
        found.append(Event(str(label), float(onset), end))
    return tuple(found)


def _task(
    spec: StoreSpec, splits: Mapping[str, Mapping[str, tuple[str, ...] | tuple[Event, ...]]]
) -> PreparedTask:
    event = spec.clip_frames > 0
    metadata = TaskMetadata(
        task_name=spec.name,
        version="v1",
        mode="synthetic",
        embedding_type="event" if event else "scene",
        prediction_type="multilabel" if event or spec.multilabel else "multiclass",
        split_mode="trainvaltest" if spec.n_folds == 1 else "new_split_kfold",
        nfolds=None if spec.n_folds == 1 else spec.n_folds,
        splits=tuple(spec.splits),
        sample_duration=None,
        evaluation=(spec.score,),
        evaluation_params={"task_specific_param_grid": spec.param_grid},
        use_scoring_for_early_stopping=not spec.on_loss,
    )
    labels = tuple(str(i) for i in range(spec.n_labels))
    return PreparedTask(Path(spec.name), metadata, labels, splits, {}, {}, "0")
