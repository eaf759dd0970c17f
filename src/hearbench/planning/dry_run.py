"""A dry run of an evaluation: its own steps on a small sample of noise, timed.

The sample is a task like the one that is planned, with as many labels and clips as long, of which
there are only some. So the task that is planned needn't exist on this machine.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hearbench.audio.encode import write_wav16
from hearbench.embeddings.batch_size import times_larger
from hearbench.embeddings.batches import Shard
from hearbench.embeddings.compute import finish_store
from hearbench.embeddings.shards import write_shard
from hearbench.embeddings.store import SHARDS, EmbeddingStore
from hearbench.planning.facts import FoldSizes, TaskFacts
from hearbench.planning.sizes import n_rows
from hearbench.probe.fit import fit_probes, plan_of
from hearbench.probe.fold_training import learn
from hearbench.probe.protocol import GridPoint, Protocol, by_shape
from hearbench.progress import SILENT
from hearbench.results import score, write_result
from hearbench.results.uncertainty import write_uncertainty
from hearbench.tasks.check import METADATA, VOCABULARY
from hearbench.tasks.clips import Event
from hearbench.tasks.evaluation_params import PARAM_GRID
from hearbench.tasks.splits import TRAIN_VALID_TEST
from hearbench.tasks.store import load_task, with_rate

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype, Wanted
    from hearbench.embeddings.manifest import ShardRecord
    from hearbench.evaluation.probes import ProbeSetup
    from hearbench.models.model import Model
    from hearbench.tasks.store import PreparedTask
    from hearbench.tasks.task_type import Items
    from hearbench.workspace import Workspace

__all__ = ["DryRun", "StackTime", "dry_run"]

_LONGEST_S = 30.0
_AUDIO_BYTES = 16 << 20
_MOST_CLIPS = 256
_BATCHES = 3
_GROWTH = 4
# The most epochs between validations of the sample.
_CHECK_EVERY = 3
# Probabilities of the sample's test split.
_TEST_CELLS = 1 << 15
_EVENT_MS = 500.0
_FULL_SCALE = 32767
_SEED = 0


@dataclass(frozen=True)
class StackTime:
    """What training networks of one shape takes on the task's first fold.

    Attributes:
        epoch_s: Seconds of an epoch of all of them side by side, with its part of a validation.
        alone_s: The same for one of them.
    """

    points: tuple[GridPoint, ...]
    epoch_s: float
    alone_s: float


@dataclass(frozen=True)
class DryRun:
    """What the steps of an evaluation took on a sample, carried over to all of the task.

    Attributes:
        check_s: Seconds to read and check audio, per second of audio.
        resample_s: Seconds to resample audio, per second of audio.
        embed_s: Seconds to embed, per second of audio.
        clips: Number of clips that were embedded.
        clip_s: Their length in seconds.
        embedding_size: Dimensions of an embedding of one layer.
        frames_per_s: Frames per second of audio; 0 for scene embeddings.
        peak_memory_mb: Memory of the process that runs the model, in MiB; None if unknown.
        stacks: Times of each shape of networks; empty where nothing is trained.
        result_s: Seconds to score and write all test splits for one seed.
        layers: Layers that are embedded; 1 where none are asked for.
        layers_read: Layers that a probe learns from at once.
        probes: Layers each of which has probes of its own; 1 where none has.
    """

    check_s: float
    resample_s: float
    embed_s: float
    clips: int
    clip_s: float
    embedding_size: int
    frames_per_s: float
    peak_memory_mb: float | None
    stacks: tuple[StackTime, ...]
    result_s: float
    layers: int = 1
    layers_read: int = 1
    probes: int = 1

    @property
    def stored_size(self) -> int:
        """Dimensions that are stored per clip or frame."""
        return self.embedding_size * self.layers

    @property
    def read_size(self) -> int:
        """Dimensions that a probe learns from."""
        return self.embedding_size * self.layers_read


def dry_run(
    model: Model,
    facts: TaskFacts,
    setup: ProbeSetup,
    *,
    dtype: Dtype,
    embed_s: float,
    workspace: Workspace,
) -> DryRun:
    """Evaluates a model on a sample of noise; nothing of it is left on disk.

    Audio that was just written is mostly read from memory, so a slow disk isn't noticed.

    Args:
        dtype: Type of the embeddings on disk.
        embed_s: Seconds to spend on embedding, beyond the first three clips.
        workspace: The sample lies in its cache meanwhile.

    Raises:
        ModelError: The model's own code fails.
        EmbeddingError: It gives other shapes than it promises.
        OSError: The cache can't be written.
    """
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    metadata = facts.metadata
    protocol = setup.protocol.for_task(metadata.task_name, metadata.evaluation_params)
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=workspace.cache_dir) as folder:
        place = dataclasses.replace(workspace, cache_dir=Path(folder), progress=SILENT)
        cut = _cut(facts)
        written = _write_task(cut, place)
        started = time.perf_counter()
        task = load_task(written, workspace=place)
        checked = time.perf_counter()
        task = with_rate(task, model.sample_rate, workspace=place)
        resampled = time.perf_counter()
        applied, wanted = dataclasses.replace(setup, protocol=protocol).on(
            model, task.task_type, dtype
        )
        store, shards = _embed(model, task, wanted, embed_s, place)
        # Of layers that have probes of their own, one tells what all take.
        layers = len(applied.protocol.layers or store.layers) or 1
        probes = layers if applied.protocol.reads == "layers" else 1
        one = dataclasses.replace(applied, protocol=_of_one_layer(applied.protocol))
        sample = _Sample(cut, one, layers // probes, place)
        noise = sample.store_of_noise(store)
        clip_s = cut.clip_s
        audio_s = sum(map(len, task.splits.values())) * clip_s
        clips = sum(len(shard.clips) for shard in shards)
        return DryRun(
            check_s=(checked - started) / audio_s,
            resample_s=(resampled - checked) / audio_s,
            embed_s=sum(shard.seconds for shard in shards) / (clips * clip_s),
            clips=clips,
            clip_s=clip_s,
            embedding_size=store.manifest.embedding_size,
            frames_per_s=sample.frames_per_s(store),
            layers=max(1, len(store.layers)),
            layers_read=layers // probes,
            probes=probes,
            peak_memory_mb=store.manifest.peak_memory_mb,
            stacks=tuple(_times(probes, stack) for stack in sample.train(noise)),
            result_s=probes * sample.result_s(noise),
        )


def _of_one_layer(protocol: Protocol) -> Protocol:
    """What each layer's own probes are trained by; another protocol as it is."""
    return protocol.of_one_layer() if protocol.reads == "layers" else protocol


def _times(probes: int, stack: StackTime) -> StackTime:
    return StackTime(stack.points, probes * stack.epoch_s, probes * stack.alone_s)


def _cut(facts: TaskFacts) -> TaskFacts:
    """The same audio in more clips, where they are long."""
    clip_s = min(facts.clip_s, _LONGEST_S)
    times = facts.clip_s / clip_s
    folds = [
        FoldSizes(*(math.ceil(times * size) for size in (fold.train, fold.valid, fold.test)))
        for fold in facts.folds
    ]
    return dataclasses.replace(facts, clip_s=clip_s, folds=tuple(folds))


def _embed(
    model: Model, task: PreparedTask, wanted: Wanted, budget_s: float, workspace: Workspace
) -> tuple[EmbeddingStore, list[ShardRecord]]:
    """Embeds more and more of the sample while there is time.

    Returns:
        The last embeddings, and the shards of which the time counts.
    """

    def part(count: int) -> tuple[EmbeddingStore, list[ShardRecord]]:
        train = dict(itertools.islice(task.splits["train"].items(), count))
        some = dataclasses.replace(task, splits={**task.splits, "train": train})
        store = finish_store(model, some, wanted, workspace)
        # Later ones wait until these are written, which is long for a sample.
        return store, [shard for shard in store.manifest.shards if shard.split == "train"]

    count = 1
    store, timed = part(count)
    batch = store.manifest.batch
    # Where a GPU is given several batches at once, the first of these is computed twice.
    most = batch if times_larger(model.device) > 1 else max(_BATCHES, _BATCHES * batch)
    most = min(len(task.splits["train"]), most)
    spent_s = last_s = timed[0].seconds
    while count < most and spent_s + _GROWTH * last_s < budget_s:
        count = min(most, _GROWTH * count)
        count -= count % batch if count > batch else 0
        store, timed = part(count)
        last_s = sum(shard.seconds for shard in timed)
        spent_s += last_s
    return store, timed


def _write_task(facts: TaskFacts, workspace: Workspace) -> Path:
    """Writes a task of noise, with one clip each to validate and to test on."""
    count = int(_AUDIO_BYTES / (2 * facts.clip_s * facts.source_rate))
    count = max(2, workspace.workers, min(_MOST_CLIPS, count))
    folder = workspace.path("sample-1-plan")
    samples = max(1, round(facts.clip_s * facts.source_rate))
    noise = 0.1 * _FULL_SCALE * np.random.default_rng(_SEED).standard_normal(samples)
    kind, vocabulary = facts.metadata.task_type, [str(i) for i in range(facts.n_labels)]
    for split, size in {"train": count, "valid": 1, "test": 1}.items():
        files = {f"{split}{i}.wav": kind.made_up(i, vocabulary) for i in range(size)}
        for name in files:
            path = folder / str(facts.source_rate) / split / name
            write_wav16(path, noise.astype(np.int16), facts.source_rate, durable=False)
        (folder / f"{split}.json").write_text(json.dumps(files, default=dataclasses.asdict))
    params = dict(facts.metadata.evaluation_params or {})
    params.pop(PARAM_GRID, None)  # which has been applied to the protocol
    fixed = facts.metadata.sample_duration is not None
    changes = {
        "split_mode": "trainvaltest",
        "nfolds": None,
        "splits": TRAIN_VALID_TEST,
        "sample_duration": facts.clip_s if fixed else None,
        "evaluation_params": params,
    }
    metadata = facts.metadata.model_copy(update=changes)
    (folder / METADATA).write_text(metadata.model_dump_json())
    rows = [f"{i},{i}" for i in range(facts.n_labels)]
    (folder / VOCABULARY).write_text("\n".join(["idx,label", *rows, ""]))
    return folder


@dataclass(frozen=True)
class _Sample:
    """A sample of a task that needn't exist.

    Attributes:
        facts: The task, of which long clips are cut.
        setup: With the protocol as applied to it.
        layers: Layers that a probe learns from at once.
    """

    facts: TaskFacts
    setup: ProbeSetup
    layers: int
    workspace: Workspace

    def frames_per_s(self, store: EmbeddingStore) -> float:
        """Frames per second of embedded audio; 0 for scene embeddings."""
        return (store.manifest.shards[0].frames or (0,))[0] / self.facts.clip_s

    def store_of_noise(self, embedded: EmbeddingStore) -> EmbeddingStore:
        """Embeddings of noise: for training, a batch or all of the task's first fold.

        For validation it is the same part of the fold.
        """
        facts, frames_per_s = self.facts, self.frames_per_s(embedded)
        fold, rows = facts.folds[0], n_rows(1, self.facts, frames_per_s)
        wanted = math.ceil(self.setup.protocol.batch_size / rows)
        train = max(min(fold.train, wanted), 2 // rows)
        sizes = {
            "train": train,
            "valid": math.ceil(fold.valid * min(1.0, train / fold.train)),
            "test": max(1, min(fold.test, _TEST_CELLS // (rows * facts.n_labels))),
        }
        rng = np.random.default_rng(_SEED)
        splits = {
            split: {f"{split}{i}.wav": self._labels(i, rng) for i in range(size)}
            for split, size in sizes.items()
        }
        centres_ms = (np.arange(rows) + 0.5) * 1000 / max(frames_per_s, 1e-9)
        timed = frames_per_s > 0
        size = embedded.manifest.embedding_size
        weighted = self.setup.protocol.reads_layers
        shape = (self.layers, size) if weighted else (size,)
        records = []
        for split, files in splits.items():
            x = rng.standard_normal((len(files) * rows, *shape), dtype=np.float32)
            records.append(
                write_shard(
                    embedded.folder / SHARDS,
                    Shard(split, 0, tuple(files), (), embedded.manifest.batch),
                    x.astype(embedded.manifest.dtype),
                    np.tile(centres_ms.astype(np.float32), len(files)) if timed else None,
                    (rows,) * len(files) if timed else None,
                    audio_s=0.0,
                    seconds=0.0,
                    device="cpu",
                )
            )
        held = (self.setup.protocol.layers or embedded.layers) if weighted else ()
        manifest = embedded.manifest.model_copy(update={"shards": tuple(records), "layers": held})
        task = dataclasses.replace(embedded.task, splits=splits)
        return EmbeddingStore(embedded.folder, manifest, task)

    def _labels(self, number: int, rng: np.random.Generator) -> Items:
        """Labels in turn, or as many events as the task has."""
        facts = self.facts
        if facts.kind != "event":
            vocabulary = [str(i) for i in range(facts.n_labels)]
            return facts.metadata.task_type.made_up(number, vocabulary)
        count = rng.poisson(facts.clip_s * facts.events_per_s)
        onsets_ms = 1000 * facts.clip_s * rng.random(count)
        labels = rng.integers(facts.n_labels, size=count)
        return tuple(
            Event(str(label), onset_ms, onset_ms + _EVENT_MS)
            for label, onset_ms in zip(labels.tolist(), onsets_ms.tolist(), strict=True)
        )

    def train(self, store: EmbeddingStore) -> Iterator[StackTime]:
        """Trains each shape of networks, and one of them alone where folds follow the first."""
        protocol = self.setup.protocol
        for positions in by_shape(protocol.networks):
            points = [protocol.networks[i] for i in positions]
            every = self._epoch_s(store, points)
            several = len(points) > 1 and len(self.facts.folds) > 1
            alone = self._epoch_s(store, points[:1]) if several else every
            yield StackTime(tuple(points), every, alone)

    def _epoch_s(self, store: EmbeddingStore, points: Sequence[GridPoint]) -> float:
        """Seconds of an epoch on the task's first fold, from the first validation to the second.

        Until the first one, the networks warm up.
        """
        seeds, (fold,) = self.setup.seeds, store.task.folds()
        told: list[tuple[int, float]] = []

        def update(done: int, total: int | None = None, text: str = "") -> None:  # noqa: ARG001
            told.append((done, time.perf_counter()))

        plan = plan_of(
            store,
            self._short(points, validations=2),
            seeds=seeds,
            precision=self.setup.precision,
            workspace=self.workspace,
        )
        plan = dataclasses.replace(plan, update=update)
        learn(plan, 0, fold, dict.fromkeys(seeds, range(len(points))))
        # Where seeds don't fit into memory together, some are trained after the others.
        pairs = [(a, b) for a, b in itertools.pairwise(told) if b[0] > a[0]]
        seconds = sum(end_s - start_s for (_, start_s), (_, end_s) in pairs)
        longer = self.facts.folds[0].train / len(store.task.splits["train"])
        return longer * seconds / min(points[0].check_every, _CHECK_EVERY)

    def _short(self, points: Sequence[GridPoint], validations: int) -> Protocol:
        """The same training of some points, until so many validations."""
        protocol = self.setup.protocol
        every = min(points[0].check_every, _CHECK_EVERY)
        length = {"check_every": every, "max_epochs": validations * every, "patience": validations}
        return protocol.model_copy(
            update={
                "grid": tuple(point.model_copy(update=length) for point in points),
                "task_changes": {},
                "nan_ends_point": False,
                "racing": None,
                "subset": None,
            }
        )

    def result_s(self, store: EmbeddingStore) -> float:
        """Seconds to score, resample and write the test splits of all folds."""
        protocol = self.setup.protocol
        (fitted,) = fit_probes(
            store,
            self._short(protocol.networks[:1], validations=1) if protocol.networks else protocol,
            seeds=self.setup.seeds[:1],
            precision=self.setup.precision,
            workspace=self.workspace,
        )
        folder = self.workspace.path("result")
        started = time.perf_counter()
        write_result(score(fitted), fitted, folder)
        write_uncertainty(folder, store.task.name, self.workspace)
        seconds = time.perf_counter() - started
        tested = sum(fold.test for fold in self.facts.folds)
        return seconds * tested / len(store.task.splits["test"])
