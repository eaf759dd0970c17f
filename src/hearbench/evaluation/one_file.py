"""Set-ups whose result is one file in the task's folder, beside those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from hearbench.evaluation.existing import existing
from hearbench.evaluation.job import Setup
from hearbench.evaluation.results import Made, UntrainedResult
from hearbench.results.damage import write_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.job import Job
    from hearbench.workspace import Workspace

__all__ = ["OneFileSetup"]

R = TypeVar("R", bound=UntrainedResult)


class OneFileSetup(Setup, Generic[R]):
    """A set-up that makes one record of embeddings, and keeps one that exists.

    Attributes:
        RECORD: Its class.
    """

    RECORD: ClassVar[type[UntrainedResult]]

    def scored(self, job: Job, store: EmbeddingStore, workspace: Workspace) -> R:
        """The result, before it is written.

        Raises:
            HearError: It can't be made.
        """
        raise NotImplementedError

    def is_whole(self, result: R) -> bool:  # noqa: ARG002
        """Whether a result that exists has all that a new one would have; else it is made again."""
        return True

    def differences(self, job: Job, result: R) -> list[str]:
        """In what a result that exists was made from something else, in words."""
        return job.inputs.differences(result)

    def is_finished(self, job: Job) -> bool:
        """Tells whether the file exists, made from the same inputs."""
        return self._existing(job) is not None

    def kept(self, job: Job, workspace: Workspace) -> Made:
        """The result that exists."""
        path = job.folder / self.RECORD.FILE
        workspace.progress.line(
            f"{job.task.name}: kept {path}, which was made from the same inputs"
        )
        return Made(results=[(path, self.RECORD.read(path))])

    def make(
        self,
        job: Job,
        store: EmbeddingStore,
        workspace: Workspace,
        further: Sequence[EmbeddingStore] = (),  # noqa: ARG002
    ) -> Made:
        """Makes the result and writes it; other files of the folder stay."""
        result = self.scored(job, store, workspace)
        path = write_stored(result, job.folder)
        workspace.progress.line(f"{job.task.name}: wrote {path}")
        return Made(results=[(path, result)])

    def _existing(self, job: Job) -> R | None:
        read: Callable[[Path], Any] = self.RECORD.read
        found: R | None = existing(
            job.folder / self.RECORD.FILE,
            read,
            lambda result: self.differences(job, result),
            overwrite=job.overwrite,
        )
        return found if found is not None and self.is_whole(found) else None
