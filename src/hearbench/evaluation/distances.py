"""Distances as a set-up: what the distances between scene embeddings say, with nothing trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearbench.distance import (
    DISTANCE_FILE,
    DistanceResult,
    check_distances,
    distance_scores,
    write_distances,
)
from hearbench.evaluation.existing import existing
from hearbench.evaluation.job import Setup
from hearbench.evaluation.results import Made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Job
    from hearbench.tasks.store import PreparedTask
    from hearbench.workspace import Workspace

__all__ = ["Distances"]


@dataclass(frozen=True)
class Distances(Setup):
    """Distances between the scene embeddings of a task's test clips, written to distance.json."""

    def check(self, task: PreparedTask) -> None:
        """Refuses event tasks."""
        check_distances(task)

    def is_finished(self, job: Job) -> bool:
        """Tells whether ``distance.json`` exists, made from the same inputs."""
        return self._existing(job) is not None

    def kept(self, job: Job, workspace: Workspace) -> Made:
        """The result that exists."""
        path = job.folder / DISTANCE_FILE
        workspace.progress.line(
            f"{job.task.name}: kept {path}, which was made from the same inputs"
        )
        return Made(results=[(path, DistanceResult.read(path))])

    def make(
        self,
        job: Job,
        store: EmbeddingStore,
        workspace: Workspace,
        further: Sequence[EmbeddingStore] = (),  # noqa: ARG002
    ) -> Made:
        """Measures the distances and writes the result; other files of the folder stay."""
        result = distance_scores(store, workspace=workspace)
        path = write_distances(result, job.folder)
        workspace.progress.line(f"{job.task.name}: wrote {path}")
        return Made(results=[(path, result)])

    def _existing(self, job: Job) -> DistanceResult | None:
        return existing(
            job.folder / DISTANCE_FILE,
            DistanceResult.read,
            job.inputs.differences,
            overwrite=job.overwrite,
        )
