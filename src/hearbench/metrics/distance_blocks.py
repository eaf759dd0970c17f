"""Distances between clips, block by block, with whether each pair is the same.

The cosine distance of two clips is half the squared Euclidean distance of their embeddings at
length 1, so pairs are ordered by the latter, which is what is computed for it.

A pair is one uint32 key: the bits of its float32 distance shifted up by one, and in the lowest
bit whether the two clips are the same. The bits of non-negative floats are ordered as the floats
are, so keys are ordered by distance, and among equal distances those that differ come first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["SELF", "Distance", "Sameness", "key_blocks", "key_scale"]

Distance = Literal["l1", "l2", "cosine"]
"""Sum of absolute differences, Euclidean distance, and 1 minus the cosine of the angle."""

SELF = np.uint32(0xFFFFFFFF)
"""The key of a clip with itself: above that of every distance, an infinite one included."""

_PAIRS_PER_BLOCK = 1 << 21
# Twice the largest number of an embedding times its size is less than float32's largest.
_MOST_SUM = float(np.finfo(np.float32).max) / 4
_ONE = np.uint32(1)


@dataclass(frozen=True)
class Sameness:
    """Says which clips count as the same.

    Attributes:
        targets: (n_clips, n_labels) multi-hot.
        multilabel: Whether one label in common is enough; else the first labels must be equal.
        codes: (n_clips,) the first label, -1 without one.
    """

    targets: npt.NDArray[np.float32]
    multilabel: bool
    codes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, targets: npt.NDArray[np.integer], *, multilabel: bool) -> Sameness:
        """Makes it from multi-hot targets (n_clips, n_labels)."""
        labelled = (targets != 0).any(axis=1)
        codes = np.where(labelled, (targets != 0).argmax(axis=1), -1) if targets.size else None
        if codes is None:
            codes = np.full(len(targets), -1)
        kept = targets if multilabel else targets[:, :0]
        return cls((kept != 0).astype(np.float32), multilabel, codes.astype(np.int64))

    def rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether some clips are the same as each clip, (n_rows, n_clips)."""
        if self.multilabel:
            shared: npt.NDArray[np.float32] = self.targets[rows] @ self.targets.T
            return shared > 0
        own = self.codes[rows, None]
        same: npt.NDArray[np.bool_] = own == self.codes[None]
        return same & (own >= 0)


def _rows_per_block(n_clips: int) -> int:
    # So memory doesn't grow with the square of the clips.
    return max(1, _PAIRS_PER_BLOCK // max(1, n_clips))


def key_scale(embeddings: npt.NDArray[np.floating], distance: Distance = "l1") -> float:
    """The factor that embeddings are multiplied by before distances are taken.

    A power of two. For ``"l1"`` it is 1, or less where a sum of differences might not fit into
    float32. For ``"l2"`` it brings the largest number to between 1/2 and 1, so that no square
    leaves the range of float32. Cosines need none.
    """
    if not embeddings.size or distance == "cosine":
        return 1.0
    largest = max(float(embeddings.max()), -float(embeddings.min()))
    if distance == "l2":
        return 2.0 ** -math.frexp(largest)[1]
    if largest < _MOST_SUM / embeddings.shape[1]:
        return 1.0
    return 2.0 ** -math.frexp(4 * embeddings.shape[1])[1]


def _of_length_1(embeddings: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Embeddings divided by their lengths, and a number more: 1 for those of length 0."""
    wide = embeddings.astype(np.float64)
    # Squares of very large or small numbers leave the range.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    wide /= np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    wide /= np.where(lengths > 0, lengths, 1.0)
    return np.hstack([wide, lengths == 0]).astype(np.float32)


def key_blocks(
    embeddings: npt.NDArray[np.float32],
    sameness: Sameness,
    rows: npt.NDArray[np.int64],
    *,
    distance: Distance = "l1",
    device: str = "cpu",
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]]:
    """The keys of some clips with all clips.

    The distances of the next block are computed by torch's threads while a block is in use; they
    are those of the embeddings times `key_scale`.

    Args:
        embeddings: (n_clips, size), finite.
        sameness: Says which of these clips are the same.
        rows: Positions of the clips whose distances are wanted.
        distance: For ``"cosine"`` keys are those of Euclidean distances of embeddings of length 1;
            embeddings of length 0 are at a right angle to all others.
        device: The torch device that computes.

    Yields:
        The positions of a block's clips (n_rows,), and a new array of keys (n_rows, n_clips);
        that of a clip with itself is `SELF`.
    """
    import torch

    step = _rows_per_block(len(embeddings))
    scale = key_scale(embeddings, distance)
    if distance == "cosine":
        embeddings = _of_length_1(embeddings)
    elif scale != 1:
        embeddings = (embeddings.astype(np.float64) * scale).astype(np.float32)
    order = 1.0 if distance == "l1" else 2.0
    clips = torch.from_numpy(np.ascontiguousarray(embeddings, dtype=np.float32)).to(device)
    threads = torch.get_num_threads()

    def measure(block: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            queries = clips[torch.from_numpy(block).to(device)]
            # By products of matrices, which is faster, equal clips would be apart.
            mode = "donot_use_mm_for_euclid_dist"
            return torch.cdist(queries, clips, p=order, compute_mode=mode).cpu().numpy()

    blocks = [rows[start : start + step] for start in range(0, len(rows), step)]
    # The number of threads is a thread's own where torch uses OpenMP.
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as ahead:
        coming = ahead.submit(measure, blocks[0]) if blocks else None
        for i, block in enumerate(blocks):
            if coming is None:
                break
            distances = coming.result()
            coming = ahead.submit(measure, blocks[i + 1]) if i + 1 < len(blocks) else None
            keys = distances.view(np.uint32)
            np.left_shift(keys, _ONE, out=keys)
            np.bitwise_or(keys, sameness.rows(block), out=keys, casting="unsafe")
            keys[np.arange(len(block)), block] = SELF
            yield block, keys
