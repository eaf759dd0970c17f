"""Distances as a set-up: what the distances between scene embeddings say, with nothing trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hearbench.distance import DistanceResult, check_distances, distance_scores
from hearbench.evaluation.one_file import OneFileSetup

if TYPE_CHECKING:
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Job
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = ["Distances"]


@dataclass(frozen=True)
class Distances(OneFileSetup[DistanceResult]):
    """Distances between the scene embeddings of a task's test clips, written to distance.json."""

    RECORD: ClassVar[type[DistanceResult]] = DistanceResult

    def check(self, task: PreparedTask) -> None:
        """Refuses event tasks."""
        check_distances(task)

    def is_whole(self, result: DistanceResult) -> bool:
        """Whether a result has the scores of every distance; those of old versions don't."""
        return any(name.startswith("cosine_") for name in result.scores)

    def scored(self, job: Job, store: EmbeddingStore, workspace: Workspace) -> DistanceResult:  # noqa: ARG002
        """Measures the distances."""
        return distance_scores(store, workspace=workspace)
