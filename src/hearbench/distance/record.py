"""What a result of distances holds, as it stands in ``distance.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.records import Record, StoredRecord
from hearbench.results.record import EmbeddingsRecord, Number, PartSummary

__all__ = [
    "DISTANCE_FILE",
    "DistanceResources",
    "DistanceResult",
    "DistanceSplit",
    "DistanceSummary",
    "IntervalRecord",
]

DISTANCE_FILE = "distance.json"


class IntervalRecord(Record):
    """Where a score of all clips of this kind may lie.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: float
    high: float


class DistanceSummary(PartSummary):
    """One score.

    Attributes:
        maximise: Whether higher is better.
        standard_error: Standard error of the mean over test clips; None where it isn't known.
        interval: Interval of the mean at the result's level; None where the error isn't known.
    """

    maximise: bool
    standard_error: float | None
    interval: IntervalRecord | None


class DistanceSplit(Record):
    """One test split.

    Attributes:
        test: Name of the split.
        n_clips: Its clips.
        n_queries: Those that at least one other clip is the same as.
        n_same: Pairs of clips that are the same.
        n_different: Pairs of clips that aren't.
        eer_threshold: The L1 distance at which the equal error rate is reached, or the largest
            below that.
    """

    test: str
    n_clips: int
    n_queries: int
    n_same: int
    n_different: int
    eer_threshold: Number


class DistanceResources(Record):
    """What it took; all that may differ between two runs of the same thing.

    Attributes:
        created: When the result was written, UTC, ISO 8601.
        embed_s: Seconds to embed the task.
        distance_s: Seconds to measure the distances and to score.
        split_s: Seconds of these per test split.
        audio_s: Seconds of audio that were embedded, those of other splits included.
        embed_peak_memory_mb: Peak resident memory while embedding, MiB, where known.
        distance_peak_memory_mb: Peak resident memory of the process that wrote the result, MiB.
        embeddings_path: Where the embeddings were kept.
    """

    created: str
    embed_s: float
    distance_s: float
    split_s: dict[str, float]
    audio_s: float
    embed_peak_memory_mb: float | None
    distance_peak_memory_mb: float | None
    embeddings_path: str


class DistanceResult(StoredRecord):
    """The distance scores of one model on one task, with all that made them.

    Attributes:
        format_version: Of this layout.
        hearbench_version: That made it.
        model: Which model, with digests of its weights and source.
        task: Which task, with the digest of its content at the model's rate.
        prediction_type: ``multiclass`` (the same: equal labels) or ``multilabel`` (at least one
            label in common).
        n_labels: Size of the vocabulary.
        embeddings: Which embeddings.
        distance: ``l1``, the sum of absolute differences, not normalised: that of the scores whose
            names have no prefix. Others are by Euclidean (``l2_``) and cosine distances.
        device: Where the distances were computed.
        versions: Versions of the libraries that computed.
        level: Confidence level of the intervals.
        seed: Seed of the sample of clips from which the intervals of large splits are.
        primary_score: The first of the scores.
        scores: By name.
        splits: Test splits in the order of the task's folds.
        notes: What a reader of the scores should know, in sentences.
        resources: Time and memory.
    """

    FILE = DISTANCE_FILE
    WHAT = "a result of distances"

    format_version: Literal[1] = 1
    hearbench_version: str
    model: ModelRecord
    task: TaskRecord
    prediction_type: str
    n_labels: int
    embeddings: EmbeddingsRecord
    distance: Literal["l1"] = "l1"
    device: str
    versions: dict[str, str]
    level: float = Field(gt=0, lt=1)
    seed: int
    primary_score: str
    scores: dict[str, DistanceSummary] = Field(min_length=1)
    splits: tuple[DistanceSplit, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    resources: DistanceResources
