"""Similarity of clips and texts, and means of scores with intervals over clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.embeddings.store import EmbeddingStore
from hearbench.errors import EmbeddingError
from hearbench.results.aggregate import mean_std
from hearbench.results.record import PartSummary
from hearbench.results.uncertainty import Range
from hearbench.stats.intervals import UNBOUNDED, bootstrap_interval
from hearbench.zero_shot.record import ZeroShotSummary

__all__ = [
    "LEVEL",
    "N_RESAMPLES",
    "SEED",
    "Clips",
    "Summary",
    "class_probabilities",
    "normalized",
    "part_summary",
]

LEVEL = 0.95
"""Confidence level of the intervals."""

N_RESAMPLES = 1000
"""Draws of the test clips for an interval."""

SEED = 0
"""Seed of the draws."""

_Floats = npt.NDArray[np.float64]


def class_probabilities(
    clips: npt.NDArray[np.floating], texts: npt.NDArray[np.floating], temperature: float | None
) -> npt.NDArray[np.float64]:
    """Probabilities of classes by the cosine similarity of clips with the classes' texts.

    Args:
        clips: (n_clips, size) embeddings.
        texts: (..., n_classes, size) embeddings.
        temperature: What similarities are divided by before the softmax over classes; None for the
            similarities as they are.

    Returns:
        (..., n_clips, n_classes). An embedding of zeros has a similarity of 0 with everything.
    """
    cosines: _Floats = normalized(clips) @ np.swapaxes(normalized(texts), -1, -2)
    return cosines if temperature is None else _softmax(cosines / temperature)


def _softmax(logits: _Floats) -> _Floats:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: _Floats = powers / powers.sum(axis=-1, keepdims=True)
    return found


def normalized(embeddings: npt.NDArray[np.floating]) -> _Floats:
    """Embeddings (..., size) scaled to length 1; one of zeros stays."""
    wide = embeddings.astype(np.float64)
    # A norm of tiny or huge numbers would be 0 or infinite.
    largest = np.abs(wide).max(axis=-1, keepdims=True)
    wide = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    found: _Floats = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return found


@dataclass(frozen=True)
class Clips:
    """Embeddings of a task's clips.

    Attributes:
        notes: Receives what a reader should know of them.
    """

    store: EmbeddingStore
    notes: list[str]

    def of(self, split: str) -> npt.NDArray[np.float32]:
        """The embeddings of a split's clips, (n_clips, size).

        Raises:
            EmbeddingError: Some aren't finite.
        """
        found = self.store.scene(split)
        if not np.isfinite(found).all():
            raise EmbeddingError(
                f"The embeddings of {self.store.task.name} by {self.store.manifest.model.name} "
                f"hold numbers that aren't finite in the split {split}, which are like no text. "
                f"Mend the model, delete {self.store.folder} and embed again."
            )
        zeros = int((~found.any(axis=1)).sum())
        if zeros:
            self.notes.append(
                f"{zeros} clips of {split} have an embedding of zeros, whose similarity with every "
                "text is taken to be 0."
            )
        return found


@dataclass(frozen=True)
class Summary:
    """Means over test splits, with intervals over their clips.

    Attributes:
        n_clips: Of each test split.
        bounds: Least and largest value that the score can take.
    """

    tests: Sequence[str]
    n_clips: Sequence[int]
    maximise: bool
    bounds: tuple[float, float] = UNBOUNDED

    def of(self, points: _Floats, replicates: _Floats) -> ZeroShotSummary:
        """One score.

        Args:
            points: (n_tests,).
            replicates: (n_tests, n_resamples).
        """
        there = ~np.isnan(points)
        part = part_summary(points, self.tests)
        interval = None
        # As for probes, a score that is infinite in a resample has no interval.
        if there.any() and np.isfinite(points[there]).all() and not np.isinf(replicates).any():
            found = bootstrap_interval(
                part.mean,
                replicates[there].mean(axis=0),
                n_clips=[n for n, defined in zip(self.n_clips, there, strict=True) if defined],
                level=LEVEL,
                bounds=self.bounds,
            )
            if not math.isnan(found.low):
                interval = Range(low=found.low, high=found.high)
        return ZeroShotSummary(
            mean=part.mean,
            std=part.std,
            per_fold=part.per_fold,
            maximise=self.maximise,
            interval=interval,
        )


def part_summary(points: _Floats, tests: Sequence[str]) -> PartSummary:
    """Scores (n_tests,) with their mean and deviation over test splits."""
    mean, std = mean_std(points.tolist())
    return PartSummary(mean=mean, std=std, per_fold=dict(zip(tests, points.tolist(), strict=True)))
