"""The work of ``hearbench prepare``, one function per kind of source, with progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from hearbench.errors import HearError
from hearbench.registry import did_you_mean
from hearbench.workspace import Workspace

if TYPE_CHECKING:
    from hearbench.tasks.spec import SplitMode
    from hearbench.tasks.store import PreparedTask

__all__ = ["CatalogSource", "OwnSettings", "prepare_csv", "prepare_hf", "rates_of"]


@dataclass(frozen=True)
class OwnSettings:
    """What the options say about a corpus of one's own."""

    name: str | None
    version: str
    mode: str
    duration_s: float | None
    scores: tuple[str, ...]
    split_mode: str | None
    nfolds: int | None
    multilabel: bool
    sample_rates: tuple[int, ...]

    def checked_name(self) -> str:
        """The task's name, which has no default.

        Raises:
            HearError: It wasn't given.
        """
        if self.name is None:
            raise HearError("A task of one's own needs a name: add --name, as in --name birds.")
        return self.name

    def checked_split_mode(self) -> SplitMode | None:
        """The split mode, which a number of folds implies.

        Raises:
            HearError: There is no such mode.
        """
        from hearbench.tasks.spec import SplitMode

        wanted = self.split_mode
        if wanted is None and self.nfolds is not None:
            wanted = "new_split_kfold"
        modes = get_args(SplitMode)
        if wanted is not None and wanted not in modes:
            raise HearError(
                f"There is no split mode {wanted!r}. {did_you_mean(wanted, list(modes))}"
            )
        return next((known for known in modes if known == wanted), None)


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
        from hearbench.tasks.from_corpus import prepare_from_corpus

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
            return _read_back(folder, workspace)

        return work


def rates_of(names: Sequence[str], rates: Sequence[str]) -> tuple[list[str], tuple[int, ...]]:
    """Tells tasks from rates, which may also stand behind one ``--sample-rate`` in a row.

    Raises:
        HearError: A rate is no integer.
    """
    found = [part for text in rates for part in text.split(",")]
    if found:
        found += [name for name in names if name.isdecimal()]
        names = [name for name in names if not name.isdecimal()]
    for text in found:
        if not text.isdecimal():
            raise HearError(f"--sample-rate {text}: a rate is a whole number of Hz, as 16000.")
    return list(names), tuple(dict.fromkeys(int(text) for text in found))


def prepare_csv(
    csv: Path,
    audio: Path | None,
    own: OwnSettings,
    out: Path,
    skip_corrupt: bool,
    workspace: Workspace,
) -> PreparedTask:
    """Prepares a task from a list of clips.

    Raises:
        HearError: The list, the options or some audio can't be used.
    """
    from hearbench.tasks.from_csv import prepare_from_csv

    if audio is None:
        raise HearError("--from-csv needs --audio, the folder that its paths are relative to.")
    name, split_mode = own.checked_name(), own.checked_split_mode()
    folder = prepare_from_csv(
        csv,
        audio,
        name,
        out,
        version=own.version,
        mode=own.mode,
        duration_s=own.duration_s,
        scores=own.scores,
        sample_rates=own.sample_rates,
        split_mode=split_mode,
        nfolds=own.nfolds if own.nfolds is not None else 5,
        multilabel=own.multilabel,
        skip_corrupt=skip_corrupt,
        workspace=workspace,
    )
    return _read_back(folder, workspace)


def prepare_hf(
    source: str,
    own: OwnSettings,
    out: Path,
    *,
    label_column: str | None,
    audio_column: str,
    config: str | None,
    revision: str | None,
    splits: Mapping[str, str],
    fold_column: str | None,
    skip_corrupt: bool,
    workspace: Workspace,
) -> PreparedTask:
    """Prepares a task from a Hugging Face dataset.

    Raises:
        HearError: The dataset, the options or some audio can't be used.
    """
    from hearbench.tasks.from_hf import prepare_from_hf

    if label_column is None:
        raise HearError("--from-hf needs --label-column, the column that holds the labels.")
    name, split_mode = own.checked_name(), own.checked_split_mode()
    folder = prepare_from_hf(
        source,
        name,
        out,
        label_column=label_column,
        audio_column=audio_column,
        config=config,
        revision=revision,
        splits=splits or None,
        fold_column=fold_column,
        version=own.version,
        mode=own.mode,
        duration_s=own.duration_s,
        scores=own.scores,
        sample_rates=own.sample_rates,
        split_mode=split_mode,
        nfolds=own.nfolds if own.nfolds is not None else 5,
        multilabel=own.multilabel,
        skip_corrupt=skip_corrupt,
        workspace=workspace,
    )
    return _read_back(folder, workspace)


def _read_back(folder: Path, workspace: Workspace) -> PreparedTask:
    """What was written, read and checked like any other task."""
    from hearbench.tasks.store import load_task

    return load_task(folder, workspace=workspace)
