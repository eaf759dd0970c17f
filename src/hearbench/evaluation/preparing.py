"""Preparing tasks from their corpora as units of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from hearbench.errors import HearError, TaskError
from hearbench.evaluation.task_ref import TaskRef
from hearbench.execution.executor import Flow

if TYPE_CHECKING:
    from hearbench.execution.executor import Context
    from hearbench.execution.remote_cache import Exchange
    from hearbench.workspace import Workspace

__all__ = ["PrepareCorpus", "Prepared", "preparing"]

Prepared = dict[tuple[str, str], "TaskRef | str"]
"""By name and mode, how a task is found, or why it couldn't be prepared."""


@dataclass(frozen=True)
class PrepareCorpus:
    """Prepares tasks of the catalog that are made from one corpus, so that it is had once.

    Attributes:
        tasks: Names and modes.
        out: Folder that takes ``tasks/``; None for the cache of whoever does it.
        corpus_dirs: Folders that may hold the corpus's files.
        trust_corpus: Whether files of another MD5 are taken.
        skip_corrupt: Whether clips that can't be decoded are left out.
        sample_rates: In Hz; none for the corpus's highest.
        sent: Whether the tasks are left at the exchange.
    """

    needs_device: ClassVar[bool] = False
    at_home: ClassVar[bool] = False
    tasks: tuple[tuple[str, str], ...]
    out: str | None
    corpus_dirs: tuple[str, ...]
    trust_corpus: bool
    skip_corrupt: bool
    sample_rates: tuple[int, ...]
    sent: bool

    def label(self) -> str:
        """What it does."""
        return f"preparing {', '.join(f'{name} ({mode})' for name, mode in self.tasks)}"

    def run(self, context: Context) -> object:
        """Prepares what is missing; returns a `TaskRef` or a message per task, a tuple."""
        workspace, exchange = context.workspace, context.exchange
        return tuple(self._attempt(name, mode, workspace, exchange) for name, mode in self.tasks)

    def _attempt(
        self, name: str, mode: str, workspace: Workspace, exchange: Exchange
    ) -> TaskRef | str:
        """One that fails doesn't keep the others from it."""
        from hearbench.tasks.from_corpus import prepare_from_corpus
        from hearbench.tasks.store import load_task

        out = workspace.cache_dir if self.out is None else Path(self.out)
        try:
            if self.out is not None and not out.is_dir():
                raise TaskError(f"{out} isn't there on the node that would write to it.")
            folder = prepare_from_corpus(
                name,
                out,
                mode=mode,
                corpus_dirs=[Path(place) for place in self.corpus_dirs],
                trust_corpus=self.trust_corpus,
                sample_rates=self.sample_rates,
                skip_corrupt=self.skip_corrupt,
                workspace=workspace,
            )
            task = load_task(folder, workspace=workspace)
            return TaskRef.sent(task, exchange) if self.sent else TaskRef.on_disk(task)
        except HearError as error:
            return str(error)


def preparing(units: Sequence[PrepareCorpus], prepared: Prepared) -> dict[str, Flow]:
    """A flow per unit, by what it does.

    Args:
        units: All different.
        prepared: Takes what came of each task.
    """

    def flow(unit: PrepareCorpus) -> Flow:
        (values,) = yield [unit]
        if isinstance(values, tuple):
            prepared.update(zip(unit.tasks, values, strict=True))

    return {unit.label(): flow(unit) for unit in units}
