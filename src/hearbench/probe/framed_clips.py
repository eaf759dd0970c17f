"""Clips as training data whose frames are summed by attention, in memory or read piece by piece.

A batch hands out its frames in pieces of bounded size: clips of about the same length side by side,
and one that is longer than a piece in several. Kept or read again, pieces are cut alike, so what is
computed with them is the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from hearbench.embeddings.ranges import ClipFrames
from hearbench.probe.data import BatchSpec
from hearbench.probe.grid import batch_bounds
from hearbench.probe.network import Predictor
from hearbench.probe.outputs import Outputs
from hearbench.probe.reading import Piece
from hearbench.probe.scenes import SceneData, check_enough_clips
from hearbench.probe.standardize import Moments, Standardizer
from hearbench.probe.transfer import read_ahead, room_bytes, stream_to
from hearbench.tasks.task_type import Targets

__all__ = ["FramedClips", "framed_data"]

# Numbers (clips x frames x size) of a piece: small enough for a processor's cache, and on a GPU
# large enough to be worth the launch.
_PIECE = 1 << 21
_PIECE_GPU = 1 << 24


@dataclass(frozen=True)
class FramedClips:
    """Some clips, as frames.

    Attributes:
        clips: The clips in their order.
        y: Labels as a loss wants them.
        inputs: How embeddings are prepared.
        kept: (sum of frames, size) all frames, prepared, on the device; None where they are read
            whenever they are needed.
    """

    clips: Sequence[ClipFrames]
    y: torch.Tensor
    inputs: Standardizer
    kept: torch.Tensor | None = None

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n_clips,) how many frames each has."""
        return np.array([len(clip) for clip in self.clips], dtype=np.int64)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """(n_clips,) where each begins among all frames."""
        return np.cumsum(self.lengths) - self.lengths

    def batches(
        self, bounds: Sequence[tuple[int, int]], order: npt.NDArray[np.int64] | None
    ) -> Iterator[tuple[FramedBatch, torch.Tensor]]:
        """The clips in batches; see `hearbench.probe.scenes.KeptClips.batches`."""
        order = np.arange(len(self.clips)) if order is None else order
        for start, end in bounds:
            which = order[start:end]
            yield FramedBatch(self, which), self.y[torch.from_numpy(which).to(self.y.device)]

    def predict(self, predictor: Predictor, which: Sequence[int] | None = None) -> torch.Tensor:
        """Logits (networks, n_labels, n_clips)."""
        return predictor.predict(FramedBatch(self, np.arange(len(self.clips))), which)

    def keep(self) -> FramedClips:
        """The same with all frames in memory."""
        size = len(self.inputs.mean)
        kept = torch.empty((int(self.lengths.sum()), size), device=self.inputs.mean.device)
        first = 0
        for (x,) in stream_to(kept.device, ((x,) for x in _blocks(self.clips))):
            kept[first : first + len(x)] = self.inputs(x)
            first += len(x)
        return FramedClips(self.clips, self.y, self.inputs, kept)


@dataclass(frozen=True)
class FramedBatch:
    """Some of the clips as frames, see `hearbench.probe.reading.Frames`.

    Attributes:
        source: All clips.
        which: (n,) positions of the clips among them.
    """

    source: FramedClips
    which: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.which)

    def split(self, count: int) -> list[FramedBatch]:
        """The same in batches of so many clips."""
        starts = range(0, len(self), count)
        return [FramedBatch(self.source, self.which[i : i + count]) for i in starts]

    def pieces(self) -> Iterator[Piece]:
        """All frames, each once, in the same pieces whenever they are asked for."""
        device = self.source.inputs.mean.device
        cuts = self._cuts(_PIECE if device.type == "cpu" else _PIECE_GPU)
        if self.source.kept is not None:
            for cut in cuts:
                yield self._piece(cut, self._kept(self.source.kept, cut))
            return
        read = ((self._read(cut),) for cut in cuts)
        for cut, (x,) in zip(cuts, stream_to(device, read), strict=True):
            yield self._piece(cut, self.source.inputs(x))

    def _cuts(self, numbers: int) -> list[_Cut]:
        """Ranges of frames of clips that are gone through at once, the shortest clips first."""
        most = max(1, numbers // len(self.source.inputs.mean))
        lengths = self.source.lengths[self.which]
        order = np.argsort(lengths, kind="stable")
        cuts: list[_Cut] = []
        begin = 0
        while begin < len(order):
            # As many clips as fit at the length of the longest, which is the last.
            longest = lengths[order[begin : begin + most]]
            fits = np.flatnonzero(np.arange(1, len(longest) + 1) * longest <= most)
            count = int(fits[-1]) + 1 if len(fits) else 1
            clips = order[begin : begin + count]
            own = lengths[clips]
            starts = range(0, int(own[-1]), most)
            cuts += [_Cut(clips, first, np.minimum(own - first, most)) for first in starts]
            begin += count
        return cuts

    def _piece(self, cut: _Cut, x: torch.Tensor) -> Piece:
        own = None if cut.is_full else torch.from_numpy(cut.lengths).to(x.device)
        return Piece(torch.from_numpy(cut.clips).to(x.device), x, own)

    def _kept(self, kept: torch.Tensor, cut: _Cut) -> torch.Tensor:
        begins = self.source.starts[self.which[cut.clips]] + cut.first
        longest = int(cut.lengths[-1])
        if cut.is_full and (np.diff(begins) == longest).all():
            rows = kept[begins[0] : begins[0] + len(begins) * longest]
            return rows.view(len(begins), longest, -1)
        frames = np.minimum(np.arange(longest), cut.lengths[:, None] - 1) + begins[:, None]
        return kept[torch.from_numpy(frames).to(kept.device)]

    def _read(self, cut: _Cut) -> npt.NDArray[np.float32]:
        size = len(self.source.inputs.mean)
        x = np.zeros((len(cut.clips), int(cut.lengths[-1]), size), dtype=np.float32)
        for row, i, length in zip(x, self.which[cut.clips], cut.lengths, strict=True):
            row[:length] = self.source.clips[i].read(cut.first, cut.first + int(length))
        return x


@dataclass(frozen=True)
class _Cut:
    """Frames of clips from a first one on.

    Attributes:
        clips: (n,) positions in the batch, the shortest clip first.
        lengths: (n,) frames of each.
    """

    clips: npt.NDArray[np.int64]
    first: int
    lengths: npt.NDArray[np.int64]

    @property
    def is_full(self) -> bool:
        """Whether all have the same number of frames."""
        return bool(self.lengths[0] == self.lengths[-1])


def _blocks(clips: Sequence[ClipFrames]) -> Iterator[npt.NDArray[np.float32]]:
    """All frames, in blocks of bounded size."""
    for clip in clips:
        most = max(1, _PIECE // clip.size)
        for start in range(0, len(clip), most):
            yield clip.read(start, min(start + most, len(clip)))


def framed_data(
    train: tuple[Sequence[ClipFrames], Targets],
    valid: tuple[Sequence[ClipFrames], Targets],
    *,
    outputs: Outputs,
    spec: BatchSpec,
) -> SceneData:
    """One fold of a scene task whose clips are frames.

    Args:
        train: The training clips in the protocol's order, and their targets (n_clips,
            n_labels).
        valid: The same of the clips that are validated on.
        outputs: What a network's outputs stand for.
        spec: How batches are made. Training clips have priority over those of validation for
            memory.

    Raises:
        ProbeError: There are fewer than two training clips, or none to validate on.
        EmbeddingError: The store is damaged.
    """
    check_enough_clips(len(train[0]), len(valid[0]))
    size = train[0][0].size
    moments = Moments(size)
    for x in read_ahead(_blocks(train[0])):
        moments.add(x, squares=spec.standardise)
    inputs = Standardizer.of(moments, spec.device, standardise=spec.standardise)
    room = room_bytes(spec.device, spec.max_memory_bytes)
    framed = []
    for clips, targets in (train, valid):
        one = FramedClips(clips, outputs.tensor(targets, spec.device), inputs)
        needed = 4 * size * int(one.lengths.sum())
        if needed <= room:
            one, room = one.keep(), room - needed
        framed.append(one)
    return SceneData(
        train=framed[0],
        bounds=batch_bounds(len(train[0]), spec.batch_size),
        valid=framed[1],
        valid_targets=valid[1],
        inputs=inputs,
        outputs=outputs,
        shuffle=spec.shuffle,
    )
