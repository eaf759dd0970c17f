"""A task of the catalog, prepared from its raw corpus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hearbench.progress import Update
from hearbench.tasks.catalog import get_spec
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import get_parser
from hearbench.tasks.corpus import obtain_corpus
from hearbench.tasks.prepare import prepare_task
from hearbench.workspace import Workspace

__all__ = ["prepare_from_corpus"]

_ROWS_BETWEEN_NEWS = 1000


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
