"""What a reader of scores should know of the embeddings that they come from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.frames import clip_frames
from hearbench.embeddings.kinds import EMBEDDED
from hearbench.embeddings.scenes import scene_rows
from hearbench.embeddings.store import EmbeddingStore
from hearbench.probe.protocol import Protocol
from hearbench.probe.standardize import LARGE, SMALL
from hearbench.tasks.task_type import EVENT, SCENE

__all__ = ["embedding_notes"]

_ROWS = 4096


def embedding_notes(store: EmbeddingStore, protocol: Protocol) -> tuple[str, ...]:
    """Test splits whose embeddings are all alike, or too large or small for a network.

    Args:
        store: The embeddings.
        protocol: As applied to the task.
    """
    what = EMBEDDED[store.manifest.task_type].rows
    constant, largest = [], 0.0
    for split in dict.fromkeys(fold.test for fold in store.task.folds()):
        first: npt.NDArray[np.float32] | None = None
        alike, count = True, 0
        for block in _BLOCKS[store.manifest.task_type](store, split):
            first = block[:1] if first is None else first
            alike = alike and bool((block == first).all())
            count += len(block)
            largest = max(largest, float(block.max()), -float(block.min()))
        if alike and count > 1:
            constant.append(split)
    notes = []
    if constant:
        notes.append(
            f"All {what} of {', '.join(constant)} have the same embedding, so nothing is told "
            "apart: the scores are those of a guess."
        )
    trained = protocol.networks and not protocol.standardise
    if trained and largest and not SMALL < largest < LARGE:
        notes.append(
            f"The largest number in the embeddings is {largest:.1e}. Networks are trained in "
            "float32, in which squares of such numbers overflow or vanish, so the scores may say "
            "nothing of the model. Scale its embeddings, or use hear2021-standardised or knn."
        )
    return tuple(notes)


def _of_clips(store: EmbeddingStore, split: str) -> Iterator[npt.NDArray[np.float32]]:
    rows = scene_rows(store, split)
    for start in range(0, len(rows), _ROWS):
        yield rows.read(np.arange(start, min(start + _ROWS, len(rows))))


def _of_frames(store: EmbeddingStore, split: str) -> Iterator[npt.NDArray[np.float32]]:
    for clip in clip_frames(store, split):
        for start in range(0, len(clip), _ROWS):
            yield clip.read(start, min(start + _ROWS, len(clip)))


_BLOCKS = {SCENE: _of_clips, EVENT: _of_frames}
