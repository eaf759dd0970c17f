"""Clustering as a set-up: clusters of embeddings compared with labels, with nothing trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hearbench.clustering import ClusteringResult, check_clustering, clustering_scores
from hearbench.evaluation.one_file import OneFileSetup

if TYPE_CHECKING:
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Job
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = ["Clustering"]


@dataclass(frozen=True)
class Clustering(OneFileSetup[ClusteringResult]):
    """Clusters of the scene embeddings of a task's test clips, written to clustering.json."""

    RECORD: ClassVar[type[ClusteringResult]] = ClusteringResult

    def check(self, task: PreparedTask) -> None:
        """Refuses tasks whose clips haven't one label each."""
        check_clustering(task)

    def scored(self, job: Job, store: EmbeddingStore, workspace: Workspace) -> ClusteringResult:  # noqa: ARG002
        """Clusters the clips."""
        return clustering_scores(store, workspace=workspace)
