"""Corpora of tasks of the catalog, as the options of ``hearbench prepare`` describe them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hearbench.tasks.from_corpus import prepare_from_corpus
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

__all__ = ["CatalogSource"]


@dataclass(frozen=True)
class CatalogSource:
    """Where the raw corpora of tasks of the catalog are, and how they are taken.

    Attributes:
        corpus_dirs: Folders that may hold their files.
        trust: Whether files of another MD5 are taken.
        skip_corrupt: Whether clips that can't be decoded are left out.
        sample_rates: Rates in Hz to write; none for the corpus's highest.
    """

    corpus_dirs: tuple[Path, ...]
    trust: bool
    skip_corrupt: bool
    sample_rates: tuple[int, ...]

    def prepare(self, out: Path, workspace: Workspace) -> Callable[[str, str], PreparedTask]:
        """A function that prepares a task, by its name, in a mode."""

        def work(name: str, mode: str) -> PreparedTask:
            folder = prepare_from_corpus(
                name,
                out,
                mode=mode,
                corpus_dirs=self.corpus_dirs,
                trust_corpus=self.trust,
                sample_rates=self.sample_rates,
                skip_corrupt=self.skip_corrupt,
                workspace=workspace,
            )
            return load_task(folder, workspace=workspace)

        return work
