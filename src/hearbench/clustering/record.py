"""What a result of clustering holds, as it stands in ``clustering.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hearbench.distance.record import DistanceSummary
from hearbench.embeddings.manifest import ModelRecord, TaskRecord
from hearbench.records import Record, StoredRecord
from hearbench.results.record import EmbeddingsRecord, Number

__all__ = ["CLUSTERING_FILE", "ClusteringResources", "ClusteringResult", "ClusteringSplit"]

CLUSTERING_FILE = "clustering.json"


class ClusteringSplit(Record):
    """One test split.

    Attributes:
        test: Name of the split.
        n_clips: Its clips.
        n_clustered: Those that were clustered: all, or a sample of so many.
        n_clusters: Number of clusters, which is that of different labels among these clips.
        starts: V-measure of each start of k-means, in the order of their seeds.
        chosen: Position of the start whose clusters are tightest, which is the one that is scored.
    """

    test: str
    n_clips: int
    n_clustered: int
    n_clusters: int
    starts: tuple[Number, ...]
    chosen: int


class ClusteringResources(Record):
    """What it took; all that may differ between two runs of the same thing.

    Attributes:
        created: When the result was written, UTC, ISO 8601.
        embed_s: Seconds to embed the task.
        cluster_s: Seconds to cluster and to score.
        audio_s: Seconds of audio that were embedded, those of other splits included.
        embed_peak_memory_mb: Peak resident memory while embedding, MiB, where known.
        embeddings_path: Where the embeddings were kept.
    """

    created: str
    embed_s: float
    cluster_s: float
    audio_s: float
    embed_peak_memory_mb: float | None
    embeddings_path: str


class ClusteringResult(StoredRecord):
    """How well clusters of one model's embeddings agree with one task's labels.

    Attributes:
        format_version: Of this layout.
        hearbench_version: That made it.
        model: Which model, with digests of its weights and source.
        task: Which task, with the digest of its content at the model's rate.
        n_labels: Size of the vocabulary.
        embeddings: Which embeddings.
        seed: Seed of the first start of k-means, and of the sample of clips of large splits.
        versions: Versions of the libraries that computed.
        level: Confidence level of the intervals.
        primary_score: ``kmeans_v_measure``.
        scores: By name: ``v_measure``, ``ari`` and ``nmi``, each by ``kmeans`` and by ``ward``.
        splits: Test splits in the order of the task's folds.
        notes: What a reader of the scores should know, in sentences.
        resources: Time and memory.
    """

    FILE = CLUSTERING_FILE
    WHAT = "a result of clustering"

    format_version: Literal[1] = 1
    hearbench_version: str
    model: ModelRecord
    task: TaskRecord
    n_labels: int
    embeddings: EmbeddingsRecord
    seed: int
    versions: dict[str, str]
    level: float = Field(gt=0, lt=1)
    primary_score: str
    scores: dict[str, DistanceSummary] = Field(min_length=1)
    splits: tuple[ClusteringSplit, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    resources: ClusteringResources
