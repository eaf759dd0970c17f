"""The two kinds of task, as far as a probe has to tell them apart.

A kind knows what a fold's training data is, how networks read it, and what is predicted from a
trained one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hearbench.embeddings.ranges import (
    ClipFrames,
    LayerFrames,
    clip_frames,
    layer_frames,
    layer_rows,
    scene_rows,
)
from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import ProbeError
from hearbench.metrics import get_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.probe.data import (
    BatchSpec,
    TrainingData,
    published_order,
)
from hearbench.probe.events import DEFAULT_POSTPROCESSING, Postprocessing, postprocessing_grid
from hearbench.probe.framed_clips import FramedClips, framed_data
from hearbench.probe.frames import (
    LabelledClip,
    events_in_parts,
    frame_data,
    gather_rows,
    predict_frames,
)
from hearbench.probe.grid import GridPoint, GridResult
from hearbench.probe.layers import check_reading
from hearbench.probe.network import Predictor, ProbeStack
from hearbench.probe.objective import Objective
from hearbench.probe.outputs import Outputs, outputs_of
from hearbench.probe.precision import exact_float32
from hearbench.probe.predictions import EventFoldPrediction, FoldPrediction, SceneFoldPrediction
from hearbench.probe.protocol import Protocol
from hearbench.probe.randomness import stream_seed
from hearbench.probe.reading import Attention, Reading, WeightedLayers
from hearbench.probe.scenes import ClipRows, OrderedClips, predict_clips, scene_data, whole
from hearbench.probe.standardize import Standardizer
from hearbench.probe.subset import training_clips
from hearbench.tasks.clips import Event
from hearbench.tasks.store import FoldSplit, PreparedTask
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, Targets, TaskType

__all__ = ["Chosen", "TaskKind", "kind_of"]

# From here on test probabilities stay on disk.
_LARGE_BYTES = 1 << 28

_ROWS = 4096  # embeddings that are looked at at once


@dataclass(frozen=True)
class Chosen:
    """What predicts the test split.

    Attributes:
        predictor: A single network or way to ask neighbours.
        inputs: How embeddings are prepared for it.
    """

    predictor: Predictor
    inputs: Standardizer


@dataclass(frozen=True)
class TaskKind:
    """A task as a probe sees it.

    Attributes:
        protocol: The protocol as it is applied to the task.
        device: A torch device.
        max_memory_bytes: Memory that embeddings may take.
    """

    store: EmbeddingStore
    protocol: Protocol
    device: str
    max_memory_bytes: int

    @property
    def task(self) -> PreparedTask:
        """The store's task."""
        return self.store.task

    @property
    def n_labels(self) -> int:
        """Size of the vocabulary."""
        return len(self.task.vocabulary)

    def outputs(self, fold: FoldSplit) -> Outputs:
        """What the outputs of a fold's networks stand for."""
        # A disturbed task may have the clips that are scored alone.
        task, subset = self.task.clean, self.protocol.subset

        def train() -> Targets:
            chosen = training_clips(task, fold, subset)
            return np.concatenate([task.targets(split)[own] for split, own in chosen.items()])

        return outputs_of(task.metadata.prediction_type, train)

    @property
    def objective(self) -> Objective:
        """What is optimised on validation."""
        score = get_score(self.task.task_type, self.task.metadata.evaluation[0])
        return Objective(
            score,
            score.maximise,
            on_loss=not self.task.metadata.use_scoring_for_early_stopping,
            nan_ends_point=self.protocol.nan_ends_point,
            reads=score.reads,
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers that are read side by side; empty where there is one alone."""
        if self.protocol.reads != "weighted":
            return ()
        return self.protocol.layers or self.store.layers

    def reading(self, inputs: Standardizer, point: GridPoint) -> Reading:
        """How networks of a shape read the embeddings of a fold, which were prepared so."""
        if self.layers:
            return WeightedLayers(
                inputs.offset,
                len(self.layers),
                absolute=self.protocol.layer_weights == "abs",
                linear=point.hidden_layers == 0,
            )
        return Reading(inputs.offset)

    def layer_weights(self, chosen: Chosen | None) -> tuple[float, ...]:
        """The weights of the layers that a network has learned; empty if it has none."""
        stack = None if chosen is None else chosen.predictor
        if not isinstance(stack, ProbeStack) or not isinstance(stack.reading, WeightedLayers):
            return ()
        return tuple(stack.reading.shares(stack.snapshot(0)).tolist())

    def training(self, fold: FoldSplit, dtype: torch.dtype) -> TrainingData:
        """One fold's training data, with products in that precision."""
        raise NotImplementedError

    def blocks(self, split: str) -> Iterator[npt.NDArray[np.float32]]:
        """All embeddings (n, size) of a split, in blocks of bounded size."""
        raise NotImplementedError

    def predict(
        self,
        fold: FoldSplit,
        chosen: Chosen | None,
        outcome: GridResult,
        seconds: float,
        folder: Path,
    ) -> FoldPrediction:
        """The test split by what was chosen; None if no grid point was validated.

        Large predictions are put into the folder.
        """
        raise NotImplementedError

    @cached_property
    def orders(self) -> dict[str, list[int]]:
        """Positions of the clips of each split, in the order of the published code."""
        sizes = {split: len(clips) for split, clips in self.task.splits.items()}
        return published_order(sizes)

    def batch_spec(self, fold: FoldSplit, dtype: torch.dtype) -> BatchSpec:
        """How a fold's batches are made."""
        # The same random orders for every seed of a training.
        shuffle = stream_seed("order", fold.test) if self.protocol.shuffle else None
        return BatchSpec(
            batch_size=self.protocol.batch_size,
            device=self.device,
            dtype=dtype,
            max_memory_bytes=self.max_memory_bytes,
            standardise=self.protocol.standardise,
            shuffle=shuffle,
        )

    def train_order(self, fold: FoldSplit) -> list[tuple[str, list[int]]]:
        """The training clips by split, in the protocol's order; a part of them if it says so."""
        subset = self.protocol.subset
        if subset is None:
            return [(split, self.orders[split]) for split in fold.train]
        chosen = {s: set(c) for s, c in training_clips(self.task, fold, subset).items()}
        return [(s, [i for i in self.orders[s] if i in chosen[s]]) for s in fold.train]


class _SceneKind(TaskKind):
    """Tasks with labels per clip."""

    def training(self, fold: FoldSplit, dtype: torch.dtype) -> TrainingData:
        ordered = self.train_order(fold)
        return scene_data(
            OrderedClips(
                [(self._rows(split), np.asarray(order, dtype=np.int64)) for split, order in ordered]
            ),
            self._train_targets(fold),
            self._rows(fold.valid),
            self.task.targets(fold.valid),
            outputs=self.outputs(fold),
            spec=self.batch_spec(fold, dtype),
        )

    def blocks(self, split: str) -> Iterator[npt.NDArray[np.float32]]:
        rows = self._rows(split)
        for start in range(0, len(rows), _ROWS):
            yield rows.read(np.arange(start, min(start + _ROWS, len(rows))))

    def _rows(self, split: str) -> ClipRows:
        if self.layers:
            return layer_rows(self.store, split, self.layers)
        return scene_rows(self.store, split)

    def _train_targets(self, fold: FoldSplit) -> Targets:
        ordered = self.train_order(fold)
        return np.concatenate([self.task.targets(split)[order] for split, order in ordered])

    def _logits(
        self,
        chosen: Chosen,
        fold: FoldSplit,
        outputs: Outputs,  # noqa: ARG002 (frames have them beside them)
    ) -> torch.Tensor:
        return predict_clips(chosen.predictor, chosen.inputs, whole(self._rows(fold.test)))

    @exact_float32()
    def predict(
        self,
        fold: FoldSplit,
        chosen: Chosen | None,
        outcome: GridResult,
        seconds: float,
        folder: Path,  # noqa: ARG002 (clips are few enough for memory)
    ) -> SceneFoldPrediction:
        targets = self.task.targets(fold.test)
        clips = tuple(self.store.clips(fold.test))
        if chosen is None:
            probabilities, loss = np.full(targets.shape, np.nan, dtype=np.float32), math.nan
        else:
            outputs = self.outputs(fold)
            logits = self._logits(chosen, fold, outputs)
            of_each = chosen.predictor.losses(logits, outputs.tensor(targets, self.device))
            loss = float(of_each[0])
            probabilities = outputs.predictions(logits[0])
            if not np.isfinite(probabilities).all():
                probabilities, loss = np.full_like(probabilities, np.nan), math.nan
        return SceneFoldPrediction(
            fold=fold,
            clips=clips,
            probabilities=probabilities,
            targets=targets,
            loss=loss,
            outcome=outcome,
            seconds=seconds,
        )


class _AttentiveKind(_SceneKind):
    """Tasks with labels per clip whose frames are summed by attention."""

    def reading(self, inputs: Standardizer, point: GridPoint) -> Reading:  # noqa: ARG002 (for all)
        return Attention(inputs.offset)

    def training(self, fold: FoldSplit, dtype: torch.dtype) -> TrainingData:
        clips = {split: clip_frames(self.store, split) for split in (*fold.train, fold.valid)}
        train = [clips[split][i] for split, order in self.train_order(fold) for i in order]
        return framed_data(
            (train, self._train_targets(fold)),
            (clips[fold.valid], self.task.targets(fold.valid)),
            outputs=self.outputs(fold),
            spec=self.batch_spec(fold, dtype),
        )

    def blocks(self, split: str) -> Iterator[npt.NDArray[np.float32]]:
        return _frame_blocks(clip_frames(self.store, split))

    def _logits(self, chosen: Chosen, fold: FoldSplit, outputs: Outputs) -> torch.Tensor:
        y = outputs.tensor(self.task.targets(fold.test), self.device)
        clips = FramedClips(clip_frames(self.store, fold.test), y, chosen.inputs)
        return clips.predict(chosen.predictor)


class _EventKind(TaskKind):
    """Tasks with labels in time."""

    @cached_property
    def postprocessing(self) -> tuple[Postprocessing, ...]:
        own = postprocessing_grid(self.task.metadata.evaluation_params)
        # Only the default gives way, not what the task itself names.
        return self.protocol.postprocessing or own if own is DEFAULT_POSTPROCESSING else own

    def training(self, fold: FoldSplit, dtype: torch.dtype) -> TrainingData:
        clips = {split: self._clips(split) for split in (*fold.train, fold.valid)}
        return frame_data(
            [clips[split][i] for split, order in self.train_order(fold) for i in order],
            clips[fold.valid],
            self.task.vocabulary,
            grid=self.postprocessing,
            spec=self.batch_spec(fold, dtype),
        )

    @exact_float32()
    def predict(
        self,
        fold: FoldSplit,
        chosen: Chosen | None,
        outcome: GridResult,
        seconds: float,
        folder: Path,
    ) -> EventFoldPrediction:
        clips = self._clips(fold.test)
        bounds = np.cumsum([0, *(len(clip.frames) for clip in clips)], dtype=np.int64)
        times = np.concatenate([clip.frames.timestamps_ms for clip in clips])
        shape = (len(times), self.n_labels)
        reference = EventArrays.from_clips([clip.events for clip in clips], self.task.vocabulary)
        estimate, loss = EventArrays.from_rows(()), math.nan
        probabilities = np.broadcast_to(np.float32(np.nan), shape)
        if chosen is not None and outcome.postprocessing is not None:
            found, found_loss = self._probabilities(fold, chosen, clips, shape, folder)
            if not math.isnan(found_loss):
                probabilities, loss = found, found_loss
                estimate = events_in_parts(probabilities, bounds, times, outcome.postprocessing)
        return EventFoldPrediction(
            fold=fold,
            clips=tuple(clip.frames.clip for clip in clips),
            bounds=bounds,
            timestamps_ms=times,
            probabilities=probabilities,
            reference=reference,
            estimate=estimate,
            loss=loss,
            outcome=outcome,
            seconds=seconds,
        )

    def _probabilities(
        self,
        fold: FoldSplit,
        chosen: Chosen,
        clips: list[LabelledClip],
        shape: tuple[int, int],
        folder: Path,
    ) -> tuple[npt.NDArray[np.float32], float]:
        """Probabilities of all frames, and their loss: NaN if a probability isn't finite."""
        place = None
        if 4 * shape[0] * shape[1] >= _LARGE_BYTES:
            folder.mkdir(parents=True, exist_ok=True)
            place = folder / f"{fold.test}.probabilities.npy"
        losses = []

        def pieces() -> Iterator[npt.NDArray[np.float32]]:
            predicted = predict_frames(chosen.predictor, chosen.inputs, clips, self.task.vocabulary)
            for piece, loss in predicted:
                losses.append(loss * len(piece) if np.isfinite(piece).all() else math.nan)
                yield piece

        probabilities = gather_rows(pieces(), shape, place)
        return probabilities, sum(losses) / max(1, shape[0])

    def blocks(self, split: str) -> Iterator[npt.NDArray[np.float32]]:
        return _frame_blocks(self._frames(split))

    def _frames(self, split: str) -> Sequence[ClipFrames | LayerFrames]:
        if self.layers:
            return layer_frames(self.store, split, self.layers)
        return clip_frames(self.store, split)

    def _clips(self, split: str) -> list[LabelledClip]:
        files = self.task.splits[split]
        clips = []
        for frames in self._frames(split):
            events = [event for event in files[frames.clip] if isinstance(event, Event)]
            clips.append(LabelledClip(frames, events))
        return clips


def _frame_blocks(
    clips: Sequence[ClipFrames | LayerFrames],
) -> Iterator[npt.NDArray[np.float32]]:
    for clip in clips:
        for start in range(0, len(clip), _ROWS):
            yield clip.read(start, min(start + _ROWS, len(clip)))


_KINDS: dict[TaskType, type[TaskKind]] = {
    SCENE: _SceneKind,
    REGRESSION: _SceneKind,
    EVENT: _EventKind,
}


def kind_of(
    store: EmbeddingStore,
    protocol: Protocol,
    *,
    device: str,
    max_memory_bytes: int,
) -> TaskKind:
    """The kind of a store's task.

    Raises:
        ProbeError: An event task isn't multilabel, or the protocol can't be trained on it.
    """
    task = store.task
    check_reading(protocol, task)
    if protocol.reads == "layers":
        raise ProbeError(
            f"{protocol.name} trains a probe for every layer. `hearbench.evaluate` does that; or "
            "use protocol.of_one_layer() on the embeddings of each layer."
        )
    if protocol.reads == "weighted" and not store.layers:
        raise ProbeError(
            f"{protocol.name} needs the layers of {store.manifest.model.name}, and its embeddings "
            f"of {task.name} are of one layer. `hearbench.evaluate` embeds what a protocol needs; "
            'or use embed(model, task, layers="all").'
        )
    possible = task.task_type.prediction_types
    if task.metadata.prediction_type not in possible:
        raise ProbeError(
            f"{task.name} is {task.task_type.noun} with prediction_type "
            f"{task.metadata.prediction_type!r}; it must be {' or '.join(map(repr, possible))}. "
            "Change task_metadata.json."
        )
    kind = _AttentiveKind if protocol.reads == "attentive" else _KINDS[task.task_type]
    return kind(store, protocol, device, max_memory_bytes)
