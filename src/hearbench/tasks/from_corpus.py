"""A task of the catalog, prepared from its raw corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import HearError
from hearbench.progress import Update
from hearbench.tasks.catalog import catalog_names, get_spec
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import get_parser
from hearbench.tasks.corpus import obtain_corpus
from hearbench.tasks.naming import catalog_task
from hearbench.tasks.prepare import prepare_task
from hearbench.tasks.store import PreparedTask, load_task
from hearbench.workspace import Workspace

__all__ = ["CatalogSource", "catalog_tasks", "prepare_from_corpus"]

_ROWS_BETWEEN_NEWS = 1000


@dataclass(frozen=True)
class CatalogSource:
    """The folders of raw corpora, and how they are taken.

    Attributes:
        corpus_dirs: Folders that may hold the corpora's files; what isn't there is downloaded.
        trust_corpus: Whether files of another MD5 are taken; the metadata says so.
        skip_corrupt: Whether clips that can't be decoded are left out; the metadata names them.
        sample_rates: Rates in Hz to write; by default the corpus's highest.
    """

    corpus_dirs: tuple[Path, ...] = ()
    trust_corpus: bool = False
    skip_corrupt: bool = False
    sample_rates: tuple[int, ...] = ()

    def prepare(self, name: str, mode: str, out: Path, workspace: Workspace) -> PreparedTask:
        """Prepares a task from here and reads it back; see `prepare_from_corpus`.

        Raises:
            HearError: It can't be prepared.
        """
        folder = prepare_from_corpus(
            name,
            out,
            mode=mode,
            corpus_dirs=self.corpus_dirs,
            trust_corpus=self.trust_corpus,
            sample_rates=self.sample_rates,
            skip_corrupt=self.skip_corrupt,
            workspace=workspace,
        )
        return load_task(folder, workspace=workspace)


def catalog_tasks(names: Sequence[str], mode: str | None = None) -> list[tuple[str, str]]:
    """Lists names and modes of tasks of the catalog, each once.

    Args:
        names: Names of tasks, perhaps with ``-<mode>``; ``all`` stands for all of the catalog.
        mode: The mode of all of them; by default each task's usual one.

    Raises:
        UnknownNameError: There is no such task or mode.
        HearError: A name says another mode than ``mode``.
    """
    if "all" in names:
        specs = [get_spec(name) for name in catalog_names()]
        return [
            (spec.name, spec.default_mode if mode is None else mode)
            for spec in specs
            if mode is None or mode in spec.modes
        ]
    wanted = []
    for name in names:
        found = catalog_task(name)
        if found is None:
            found = get_spec(name), ""  # says that there is none, and what was meant
        spec, its_mode = found
        if name == spec.name and mode is not None:
            its_mode = mode
        elif mode not in {None, its_mode}:
            raise HearError(f"{name} says the mode {its_mode}, and --mode {mode}; drop one.")
        spec.mode(its_mode)
        wanted.append((spec.name, its_mode))
    return list(dict.fromkeys(wanted))


def prepare_from_corpus(
    name: str,
    out: Path,
    *,
    mode: str | None = None,
    corpus_dirs: Sequence[Path] = (),
    trust_corpus: bool = False,
    sample_rates: Sequence[int] = (),
    skip_corrupt: bool = False,
    workspace: Workspace | None = None,
) -> Path:
    """Makes a task of the catalog with exactly the official files, splits and labels.

    Args:
        name: Name of the task; see :func:`hearbench.tasks.catalog.catalog_names`.
        out: Folder that takes ``tasks/<name>-<version>-<mode>/``.
        mode: Which part of the task; by default the one that its specification names.
        corpus_dirs: Folders that may hold the corpus's files; what isn't there is downloaded.
        trust_corpus: Takes files whose MD5 isn't the catalog's as well; the metadata says so.
        sample_rates: Rates in Hz to write; by default the corpus's highest.
        skip_corrupt: Leaves out clips that can't be decoded; the metadata names them.
        workspace: Where the cache is, how many threads, and who shows progress; by default from
            the environment.

    Returns:
        The task's folder.

    Raises:
        UnknownNameError: There is no such task or mode.
        TaskError: The corpus isn't what it should be, or the folder can't be written.
        DownloadError: Files can't be downloaded.
    """
    workspace = workspace or Workspace.from_environment()
    spec = get_spec(name)
    mode = spec.default_mode if mode is None else mode
    recipe = spec.recipe(mode, tuple(sample_rates))
    recipe.refuse_bad()
    parse = get_parser(spec.corpus)
    found = obtain_corpus(
        spec,
        mode,
        corpus_dirs=corpus_dirs,
        trust_corpus=trust_corpus,
        workspace=workspace,
    )
    with workspace.progress.stage(f"{name}: reading the corpus", "rows") as update:
        rows = _read(parse(found.corpus), update)
    return prepare_task(
        rows,
        recipe,
        out,
        skip_corrupt=skip_corrupt,
        origin=found.origin(),  # once the parser has noted what there is to note
        workspace=workspace,
    )


def _read(clips: Iterable[Clip], update: Update) -> list[Clip]:
    rows = []
    for clip in clips:
        rows.append(clip)
        if len(rows) % _ROWS_BETWEEN_NEWS == 0:
            update(len(rows))
    return rows
