"""A model on a task, and what is to be made of its embeddings there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearbench.embeddings.kinds import HasLayers, Wanted

if TYPE_CHECKING:
    from hearbench.embeddings.kinds import Dtype
    from hearbench.embeddings.store import EmbeddingStore
    from hearbench.evaluation.existing import Inputs
    from hearbench.evaluation.results import Made
    from hearbench.evaluation.task_ref import TaskRef
    from hearbench.execution.executor import Step
    from hearbench.models.ref import ModelRef
    from hearbench.tasks.store import PreparedTask
    from hearbench.tasks.task_type import TaskType
    from hearbench.workspace import Workspace

__all__ = ["Embeddings", "Job", "Setup"]


@dataclass(frozen=True)
class Job:
    """A model on a task, and where its results go.

    Attributes:
        folder: ``OUT/MODEL/TASK``.
        inputs: What identifies the embeddings.
        overwrite: Whether results that were made from other inputs are replaced.
    """

    folder: Path
    task: PreparedTask
    inputs: Inputs
    overwrite: bool = False


@dataclass(frozen=True)
class Embeddings:
    """Which embeddings a job needs, named so that any process can make them.

    Attributes:
        digest: Digest of the model for the kind of task.
        sample_rate: That of the model, in Hz.
        wanted: Which of the model's embeddings.
    """

    model: ModelRef
    digest: str
    sample_rate: int
    task: TaskRef
    wanted: Wanted


class Setup:
    """A way to make results of a task's embeddings: probes, few labels, distances, zero-shot."""

    def check(self, task: PreparedTask) -> None:
        """Finds out before hours of embedding what would fail after them.

        Raises:
            UnsuitableTaskError: The set-up has no use for this kind of task.
            HearError: The task or the set-up can't be used.
        """

    def on(self, model: HasLayers, kind: TaskType, dtype: Dtype) -> tuple[Setup, Wanted]:  # noqa: ARG002
        """The set-up as it is applied to a model, and which embeddings it takes.

        Args:
            dtype: Type of the embeddings on disk.

        Raises:
            ModelError: The model doesn't give such embeddings.
        """
        return self, Wanted.of(kind, dtype)

    def further(self, embeddings: Embeddings) -> Sequence[Embeddings]:  # noqa: ARG002
        """Which embeddings it needs besides those of the task.

        Args:
            embeddings: Those of the task.
        """
        return ()

    def is_finished(self, job: Job) -> bool:  # noqa: ARG002
        """Tells whether all of its results exist, made from the same inputs.

        Raises:
            ResultError: One was made from others, and isn't to be overwritten.
        """
        return False

    def kept(self, job: Job, workspace: Workspace) -> Made:
        """The results of a job that is finished."""
        raise NotImplementedError

    def before(self, job: Job, embeddings: Embeddings) -> Sequence[Step]:  # noqa: ARG002
        """What the model itself has to give beside embeddings, before the task is embedded.

        Args:
            embeddings: Those that it takes, for other processes.

        Returns:
            Steps that may run at once; each returns the folder that it leaves, relative to the
            cache.
        """
        return ()

    def waves(
        self,
        job: Job,  # noqa: ARG002
        embeddings: Embeddings,  # noqa: ARG002
        stores: Mapping[Embeddings, str],  # noqa: ARG002
    ) -> Iterator[Sequence[Step]]:
        """What other processes can do of it: steps that may run at once, wave after wave.

        Args:
            embeddings: Those that it takes, for other processes.
            stores: The folders of these and of those that it needs besides, relative to the cache.
        """
        yield from ()

    def make(
        self,
        job: Job,
        store: EmbeddingStore,
        workspace: Workspace,
        further: Sequence[EmbeddingStore] = (),
    ) -> Made:
        """Makes what is missing, from the embeddings and what steps have left in the cache.

        Args:
            further: The embeddings that it needs besides, in the order of `further`.

        Raises:
            HearError: It can't be made or written.
        """
        raise NotImplementedError
