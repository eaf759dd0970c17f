"""Frames as training data: read from the store in blocks, in memory or not.

The frames of the training clips, clip after clip in the protocol's order, are one long sequence
that batches are cut from. Where it fits into the memory that is allowed it is kept, on the device
that computes; where not, every epoch reads it again, ahead of the computation. Both go through the
same code, so the batches, and with them the result, are the same bit for bit.

A protocol that shuffles puts the clips in another order in every epoch, and mixes the frames of
as many clips as make some tens of thousands: all at once would have to be in memory. What is kept
of it, before it is mixed, is in the host's memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from hearbench.embeddings.align import frame_labels
from hearbench.embeddings.ranges import ClipFrames, LayerFrames
from hearbench.errors import ProbeError
from hearbench.files import atomic_write, mapped_rows, write_npy_head
from hearbench.metrics.blocks import blocks_of
from hearbench.metrics.event_lists import EventArrays, concatenate_events
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.probe.data import Batch, BatchSpec, epoch_order
from hearbench.probe.events import Postprocessing, best_postprocessing, events_from_frames
from hearbench.probe.grid import batch_bounds
from hearbench.probe.network import Predictor
from hearbench.probe.objective import Objective, Validation
from hearbench.probe.outputs import MULTILABEL, Outputs
from hearbench.probe.standardize import Moments, Standardizer
from hearbench.probe.transfer import read_ahead, room_bytes, stream_to
from hearbench.tasks.clips import Event

__all__ = [
    "FrameData",
    "LabelledClip",
    "events_in_parts",
    "frame_data",
    "gather_rows",
    "predict_frames",
]

_PIECE_FRAMES = 4096
# Frames that are mixed where the order is random.
_MIXED_FRAMES = 1 << 16
# Cells (networks x frames x labels) of a validation that are held at once, a byte each; or four
# where all clips are scored together by their probabilities.
_CELLS = 1 << 26
# Cells (frames x labels) whose events are looked for at once.
_EVENT_CELLS = 1 << 24


@dataclass(frozen=True)
class LabelledClip:
    """A clip's frames and events."""

    frames: ClipFrames | LayerFrames
    events: Sequence[Event]


@dataclass(frozen=True)
class _Piece:
    """Some frames of one clip: embeddings (n, size), labels (n, n_labels)."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.uint8]


def _pieces(clips: Sequence[LabelledClip], labels: Mapping[str, int]) -> Iterator[_Piece]:
    for clip in clips:
        for start, stop in _cuts(clip):
            times = clip.frames.timestamps_ms[start:stop]
            yield _Piece(clip.frames.read(start, stop), frame_labels(clip.events, times, labels))


def _pieces_on(
    device: torch.device, clips: Sequence[LabelledClip], labels: Sequence[str]
) -> Iterator[Batch]:
    """The same as tensors, the labels uint8."""
    index = {label: i for i, label in enumerate(labels)}
    read = ((piece.x, piece.y) for piece in _pieces(clips, index))
    return ((x, y) for x, y in stream_to(device, read))


def _mixed(pieces: Iterator[_Piece], generator: np.random.Generator) -> Iterator[_Piece]:
    """The same frames, each run of about `_MIXED_FRAMES` in a random order."""
    held: list[_Piece] = []
    while piece := next(pieces, None):
        held.append(piece)
        if sum(len(one.x) for one in held) >= _MIXED_FRAMES:
            yield _mix(held, generator)
            held = []
    if held:
        yield _mix(held, generator)


def _mix(pieces: Sequence[_Piece], generator: np.random.Generator) -> _Piece:
    order = generator.permutation(sum(len(piece.x) for piece in pieces))
    x, y = (np.concatenate([getattr(piece, key) for piece in pieces]) for key in ("x", "y"))
    return _Piece(x[order], y[order])


def _cuts(clip: LabelledClip) -> Iterator[tuple[int, int]]:
    n_frames = len(clip.frames)
    for start in range(0, n_frames, _PIECE_FRAMES):
        yield start, min(start + _PIECE_FRAMES, n_frames)


class _Batches:
    """An epoch's batches, each time again.

    Attributes:
        clips: The training clips, in the protocol's order.
        labels: Positions in the vocabulary.
        inputs: How embeddings are prepared.
        bounds: Where each batch begins and ends in the sequence of frames.
        dtype: Type of the embeddings.
        shuffle: Names the random orders; None keeps the order.
        kept: The clips' frames where they are in memory.
    """

    def __init__(
        self,
        clips: Sequence[LabelledClip],
        labels: Mapping[str, int],
        inputs: Standardizer,
        spec: BatchSpec,
        *,
        keep: bool,
    ) -> None:
        self.clips = clips
        self.labels = labels
        self.inputs = inputs
        self.bounds = batch_bounds(sum(len(clip.frames) for clip in clips), spec.batch_size)
        self.dtype = spec.dtype
        self.shuffle = spec.shuffle
        # Batches that are the same in every epoch are kept as they are, others frame by frame.
        self._kept_batches: list[Batch] | None = None
        self._kept_pieces: list[list[_Piece]] | None = None
        if keep and self.shuffle is None:
            self._kept_batches = list(self._batches(_pieces(clips, labels)))
        elif keep:
            self._kept_pieces = [list(_pieces([clip], labels)) for clip in clips]

    def epoch(self, number: int) -> Iterable[Batch]:
        """The batches of an epoch, from 1."""
        if self._kept_batches is not None:
            return self._kept_batches
        order = list(range(len(self.clips)))
        if self.shuffle is not None:
            order = epoch_order(len(self.clips), self.shuffle, number).tolist()
        if self._kept_pieces is not None:
            kept = self._kept_pieces
            pieces: Iterator[_Piece] = itertools.chain.from_iterable(kept[i] for i in order)
        else:
            pieces = _pieces([self.clips[i] for i in order], self.labels)
        if self.shuffle is not None:
            # Another stream than the clips' order.
            pieces = _mixed(pieces, np.random.default_rng([self.shuffle, number, 1]))
        return self._batches(pieces)

    def _batches(self, pieces: Iterator[_Piece]) -> Iterator[Batch]:
        for x, y in stream_to(self.inputs.mean.device, self._arrays(pieces)):
            yield self.inputs(x).to(self.dtype), y

    def _arrays(
        self, pieces: Iterator[_Piece]
    ) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        size, n_labels = len(self.inputs.mean), len(self.labels)
        piece, used = next(pieces), 0
        for start, stop in self.bounds:
            x = np.empty((stop - start, size), dtype=np.float32)
            y = np.empty((stop - start, n_labels), dtype=np.float32)
            filled = 0
            while filled < len(x):
                if used == len(piece.x):
                    piece, used = next(pieces), 0
                count = min(len(x) - filled, len(piece.x) - used)
                x[filled : filled + count] = piece.x[used : used + count]
                y[filled : filled + count] = piece.y[used : used + count]
                filled, used = filled + count, used + count
            yield x, y


@dataclass(frozen=True)
class FrameData:
    """One fold of an event task.

    Attributes:
        batches: The training batches, in memory or not.
        inputs: How embeddings were prepared.
        valid: The clips that are validated on.
        valid_pieces: Their frames and labels (uint8), piece by piece, if they are kept on the
            device; else None.
        reference: Their events.
        grid: The ways from frames to events that are tried.
        resident: Whether the training frames are in memory.
    """

    batches: _Batches
    inputs: Standardizer
    labels: tuple[str, ...]
    valid: Sequence[LabelledClip]
    valid_pieces: Sequence[Batch] | None
    reference: EventArrays
    grid: Sequence[Postprocessing]
    resident: bool
    outputs: Outputs = MULTILABEL

    @property
    def n_batches(self) -> int:
        """Training steps per epoch."""
        return len(self.batches.bounds)

    def epoch(self, number: int) -> Iterable[Batch]:
        """Embeddings (batch, n_features) and float32 labels (batch, n_labels) of an epoch."""
        return self.batches.epoch(number)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return len(self.labels)

    def validate(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        """Validates some networks; each with the best of the ways from frames to events.

        A score of probabilities is the same for all ways. Of these the first of
        `best_postprocessing` is taken, for the other scores.
        """
        if objective.reads == "frames":
            return self._validate_frames(stack, which, objective)
        found: list[list[list[EventArrays]]] = [[[] for _ in self.grid] for _ in which]
        losses = torch.zeros(len(which), dtype=torch.float64)
        for clips, above, group_losses in self._groups(stack, which, objective.on_loss):
            bounds, times = self._times(clips)
            losses += group_losses
            for k in range(len(which)):
                for way, events in enumerate(
                    events_from_frames(above[k], bounds, times, self.grid)
                ):
                    found[k][way].append(events.shifted(clips.start))
        return [
            self._validation(
                [
                    objective.function(self.reference, concatenate_events(parts), self.labels)
                    for parts in ways
                ],
                loss,
                objective,
            )
            for ways, loss in zip(found, losses.tolist(), strict=True)
        ]

    def _validate_frames(
        self, stack: Predictor, which: Sequence[int], objective: Objective
    ) -> list[Validation]:
        bounds, times = self._times(slice(0, len(self.valid)))
        at_once = max(1, _CELLS // max(1, len(times) * self.n_labels))
        validations = []
        for start in range(0, len(which), at_once):
            some = which[start : start + at_once]
            losses = torch.zeros(len(some), dtype=torch.float64)
            parts = []
            for _, probabilities, group_losses in self._groups(
                stack, some, objective.on_loss, dtype=torch.float32
            ):
                parts.append(probabilities)
                losses += group_losses
            for k, loss in enumerate(losses.tolist()):
                own = np.concatenate([part[k] for part in parts])
                frames = FrameArrays(own, bounds, times)
                score = objective.function(self.reference, frames, self.labels)
                validations.append(self._validation([score] * len(self.grid), loss, objective))
        return validations

    def _validation(self, scores: Sequence[float], loss: float, objective: Objective) -> Validation:
        """What a network got by the ways from frames to events, and its summed loss."""
        best = best_postprocessing(self.grid, scores, maximise=objective.maximise)
        n_frames = sum(len(clip.frames) for clip in self.valid)
        score = loss / max(1, n_frames) if objective.on_loss else scores[best]
        return Validation(score, self.grid[best])

    def _times(self, clips: slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Bounds (n_clips + 1,) and timestamps (n_frames,) of some clips that are validated on."""
        own = [clip.frames.timestamps_ms for clip in self.valid[clips]]
        bounds = np.cumsum([0, *map(len, own)], dtype=np.int64)
        return bounds, np.concatenate(own)

    def _groups(
        self,
        stack: Predictor,
        which: Sequence[int],
        with_losses: bool,
        *,
        dtype: torch.dtype = torch.bool,
    ) -> Iterator[tuple[slice, npt.NDArray[Any], torch.Tensor]]:
        """Some clips at a time: whether each label is on, and summed losses, per network.

        Losses are 0 where no one asks for them.

        Args:
            dtype: ``torch.float32`` for probabilities.
        """
        lengths = np.array([len(clip.frames) for clip in self.valid], dtype=np.int64)
        device = self.inputs.mean.device
        pieces = (
            iter(self.valid_pieces)
            if self.valid_pieces is not None
            else _pieces_on(device, self.valid, self.labels)
        )
        for clips in blocks_of(lengths * self.n_labels * len(which), _CELLS):
            n_frames = int(lengths[clips].sum())
            # Fetched once they are whole, so that a GPU doesn't wait after every piece.
            answers = torch.empty((len(which), n_frames, self.n_labels), dtype=dtype, device=device)
            lost: list[tuple[torch.Tensor, int]] = []
            filled = 0
            while filled < n_frames:
                x, y = next(pieces)
                logits = stack.predict(self.inputs(x), which)
                answer = torch.sigmoid(logits)
                if dtype is torch.bool:
                    answer = answer > 0.5
                answer = answer.permute(0, 2, 1)
                part = answers[:, filled : filled + len(x)]
                if device.type == "cpu":  # where NumPy transposes much faster than PyTorch
                    part.numpy()[...] = answer.numpy()
                else:
                    part.copy_(answer)
                if with_losses:
                    lost.append((stack.losses(logits, y.float()), len(x)))
                filled += len(x)
            losses = torch.zeros(len(which), dtype=torch.float64)
            for piece_losses, count in lost:
                losses += piece_losses.cpu().double() * count
            yield clips, answers.cpu().numpy(), losses


def frame_data(
    train: Sequence[LabelledClip],
    valid: Sequence[LabelledClip],
    labels: tuple[str, ...],
    *,
    grid: Sequence[Postprocessing],
    spec: BatchSpec,
) -> FrameData:
    """One fold of an event task.

    Args:
        train: The training clips in the protocol's order.
        valid: The clips that are validated on.
        grid: Ways from frames to events.
        spec: How batches are made. Training frames have priority over those of validation for
            memory.

    Raises:
        ProbeError: There are fewer than two training frames, or no clip to validate on.
        EmbeddingError: The store is damaged.
    """
    n_train = sum(len(clip.frames) for clip in train)
    if n_train < 2 or not valid:
        raise ProbeError(
            f"A probe needs at least 2 frames to train on and 1 clip to validate on, but has "
            f"{n_train} and {len(valid)}. Use a larger task or other splits."
        )
    index = {label: i for i, label in enumerate(labels)}
    size = train[0].frames.size
    moments = Moments(size)
    read = (clip.frames.read(start, stop) for clip in train for start, stop in _cuts(clip))
    for x in read_ahead(read):
        moments.add(x, squares=spec.standardise)
    inputs = Standardizer.of(moments, spec.device, standardise=spec.standardise)
    mixed = spec.shuffle is not None
    x_itemsize = 4 if mixed else spec.dtype.itemsize
    y_itemsize = 1 if mixed else 4
    train_bytes = n_train * (size * x_itemsize + len(labels) * y_itemsize)
    room = room_bytes(spec.device, spec.max_memory_bytes)
    # Frames that are mixed are kept by the host, whatever computes with them.
    resident = train_bytes <= (spec.max_memory_bytes if mixed else room)
    batches = _Batches(train, index, inputs, spec, keep=resident)
    n_valid = sum(len(clip.frames) for clip in valid)
    valid_bytes = n_valid * (4 * size + len(labels))
    elsewhere = mixed and torch.device(spec.device).type == "cuda"
    left = room - (train_bytes if resident and not elsewhere else 0)
    fits = valid_bytes <= left
    return FrameData(
        batches=batches,
        inputs=inputs,
        labels=labels,
        valid=valid,
        valid_pieces=list(_pieces_on(inputs.mean.device, valid, labels)) if fits else None,
        reference=EventArrays.from_clips([clip.events for clip in valid], labels),
        grid=grid,
        resident=resident,
    )


def predict_frames(
    stack: Predictor, inputs: Standardizer, clips: Sequence[LabelledClip], labels: tuple[str, ...]
) -> Iterator[tuple[npt.NDArray[np.float32], float]]:
    """Probabilities of a single network, piece by piece in the clips' order.

    Yields:
        (n, n_labels) float32 probabilities, and the mean loss on these frames.
    """
    for x, y in _pieces_on(inputs.mean.device, clips, labels):
        logits = stack.predict(inputs(x))
        probabilities = torch.sigmoid(logits[0]).T.contiguous().cpu().numpy()
        yield probabilities, float(stack.losses(logits, y.float())[0])


def gather_rows(
    pieces: Iterable[npt.NDArray[np.float32]], shape: tuple[int, int], place: Path | None
) -> npt.NDArray[np.float32]:
    """Pieces, one below the other.

    Args:
        pieces: (n, n_labels) each.
        shape: Shape of the whole array.
        place: A file that takes them; None for memory.

    Returns:
        An array of that shape, mapped and read-only if it is in a file. It is written through
        the file and not through the map, whose pages would count as memory of this process.
    """
    if place is None:
        result, filled = np.empty(shape, dtype=np.float32), 0
        for piece in pieces:
            result[filled : filled + len(piece)] = piece
            filled += len(piece)
        return result
    # Whoever has an earlier file mapped keeps it.
    with atomic_write(place) as file:
        write_npy_head(file, np.float32, shape)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype=np.float32).tobytes())
    mapped: npt.NDArray[np.float32] = np.lib.format.open_memmap(place, mode="r")
    return mapped


def events_in_parts(
    probabilities: npt.NDArray[np.float32],
    bounds: npt.NDArray[np.int64],
    timestamps_ms: npt.NDArray[np.float64],
    postprocessing: Postprocessing,
) -> EventArrays:
    """The events in frames, some clips at a time, so that a mapped array is never in memory whole.

    Args:
        probabilities: (n_frames, n_labels) probabilities.
        bounds: (n_clips + 1,) first frame of each clip, and the number of frames.
        timestamps_ms: (n_frames,).
    """
    found = []
    for clips in blocks_of(np.diff(bounds) * probabilities.shape[1], _EVENT_CELLS):
        start, stop = int(bounds[clips.start]), int(bounds[clips.stop])
        rows = mapped_rows(probabilities, start, stop)
        own = bounds[clips.start : clips.stop + 1] - start
        events = events_from_frames(rows, own, timestamps_ms[start:stop], [postprocessing])[0]
        found.append(events.shifted(clips.start))
    return concatenate_events(found) if found else EventArrays.from_rows(())
