"""A task of the catalog, prepared from its raw corpus.

The corpus is found in the user's folders or downloaded, checked, and unpacked. Every file must have
the MD5 that the catalog gives for it, so that the task is made from exactly the official audio.
Unpacked corpora lie in the cache, named by their archives' content.

Corpora of TensorFlow Datasets have no archive to download. They are found in the user's folders:
first an export (an archive per split, or ``<split>_labels.csv`` beside ``audio/``), then the
original corpus.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench.digest import digest_json, short
from hearbench.errors import HearError, TaskError
from hearbench.files import atomic_folder
from hearbench.progress import Update
from hearbench.tasks.archives import is_archive, unpack_archive, unpack_split_zip
from hearbench.tasks.catalog import catalog_names, catalog_task, get_spec
from hearbench.tasks.catalog.schema import Download, TaskSpec
from hearbench.tasks.clips import Clip
from hearbench.tasks.corpora import CorpusPart, RawCorpus, get_parser
from hearbench.tasks.fetch import RemoteFile, fetch
from hearbench.tasks.inventory import md5_digests
from hearbench.tasks.prepare import Origin, prepare_task
from hearbench.tasks.problems import Problems
from hearbench.tasks.subsets import expand_subsets
from hearbench.workspace import Workspace

__all__ = ["CatalogSource", "FoundCorpus", "catalog_tasks", "obtain_corpus", "prepare_from_corpus"]

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


def catalog_tasks(names: Sequence[str], mode: str | None = None) -> list[tuple[str, str]]:
    """Lists names and modes of tasks of the catalog, each once.

    Args:
        names: Names of tasks, perhaps with ``-<mode>``; ``all`` stands for all of the catalog,
            and ``hear-11`` and the like for a named subset.
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
    for name in expand_subsets(names):
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
    source: CatalogSource | None = None,
    *,
    mode: str | None = None,
    workspace: Workspace | None = None,
) -> Path:
    """Makes a task of the catalog with exactly the official files, splits and labels.

    Args:
        name: Name of the task; see :func:`hearbench.tasks.catalog.catalog_names`.
        out: Folder that takes ``tasks/<name>-<version>-<mode>/``.
        source: Where its corpus is; by default it is downloaded.
        mode: Which part of the task; by default the one that its specification names.
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
    source = source or CatalogSource()
    spec = get_spec(name)
    mode = spec.default_mode if mode is None else mode
    recipe = spec.recipe(mode, source.sample_rates)
    recipe.refuse_bad()
    parse = get_parser(spec.corpus)
    found = obtain_corpus(
        spec,
        mode,
        corpus_dirs=source.corpus_dirs,
        trust_corpus=source.trust_corpus,
        workspace=workspace,
    )
    with workspace.progress.stage(f"{name}: reading the corpus", "rows") as update:
        rows = _read(parse(found.corpus), update)
    return prepare_task(
        rows,
        recipe,
        out,
        skip_corrupt=source.skip_corrupt,
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


_ENDINGS = (".zip", ".tar.gz")


@dataclass(frozen=True)
class FoundCorpus:
    """A raw corpus and its origin.

    Attributes:
        files: Name and MD5 of every file that it was made from; with ``official_md5`` where the
            catalog has another.
        trusted: Whether files were taken although their MD5 isn't the catalog's.
    """

    corpus: RawCorpus
    files: tuple[Mapping[str, str], ...] = ()
    trusted: bool = False

    def origin(self) -> Origin:
        """The origin of a task made of the corpus: a digest, and what its metadata records."""
        record: dict[str, Any] = {"files": [dict(file) for file in self.files]}
        if self.trusted:
            record["trusted"] = True
        if self.corpus.notes:
            record["notes"] = list(self.corpus.notes)
        md5s = [file["md5"] for file in self.files]
        digest = digest_json(md5s) if md5s else None
        return Origin(digest, {"corpus": record})


def obtain_corpus(
    spec: TaskSpec,
    mode: str,
    *,
    corpus_dirs: Sequence[Path] = (),
    trust_corpus: bool = False,
    workspace: Workspace,
) -> FoundCorpus:
    """Brings together the raw corpus of a task.

    Args:
        corpus_dirs: Folders that may hold the downloads under the names of their addresses, or,
            for tasks of TensorFlow Datasets, an export or the original corpus. What isn't there
            is downloaded.
        trust_corpus: Takes files whose MD5 isn't the catalog's as well.
        workspace: Where the cache is, the mirror, and who shows progress.

    Raises:
        TaskError: A file isn't what the catalog says, can't be unpacked, or there is nowhere to
            get it from.
        DownloadError: Files can't be downloaded.
    """
    for folder in corpus_dirs:
        if not folder.is_dir():
            why = "is a file, not a folder" if folder.exists() else "is not there"
            raise TaskError(f"The corpus folder {folder} {why}.")
    downloads = spec.downloads_of(mode)
    if not downloads:
        return _of_tfds(spec, mode, corpus_dirs, workspace)
    remote = [file for download in downloads for file in _remote_files(download)]
    found = _in_folders(remote, corpus_dirs)
    md5s = _md5s(found, workspace)
    wrong = _check_md5s(spec, remote, found, md5s, trust_corpus)
    missing = [file for file in remote if file.name not in found]
    if missing:
        folder = workspace.path("downloads", spec.corpus)
        fetched = fetch(missing, folder, workspace=workspace)
        paths = {file.name: path for file, path in zip(missing, fetched, strict=True)}
        found.update(paths)
        md5s.update(_md5s(paths, workspace))
    parts = [
        CorpusPart(
            _unpacked(
                spec,
                [found[file.name] for file in _remote_files(download)],
                [md5s[file.name] for file in _remote_files(download)],
                workspace,
            ),
            download.split,
            download.name,
        )
        for download in downloads
    ]
    return FoundCorpus(
        RawCorpus(tuple(parts), spec.options),
        tuple(
            {"name": file.name, "md5": md5s[file.name]}
            | ({"official_md5": str(file.md5)} if file.name in wrong else {})
            for file in remote
        ),
        trusted=bool(wrong),
    )


def _remote_files(download: Download) -> list[RemoteFile]:
    if download.parts:
        return [RemoteFile(part.file_name, part.url, part.md5) for part in download.parts]
    return [RemoteFile(download.file_name, str(download.url), download.md5)]


def _in_folders(files: Sequence[RemoteFile], folders: Sequence[Path]) -> dict[str, Path]:
    """The files that the user has; of several of one name, those of the first folder.

    Raises:
        TaskError: Something is there under a file's name, but it's no file.
    """
    problems = Problems()
    for file in files:
        for path in (folder / file.name for folder in folders):
            if os.path.lexists(path) and not path.is_file():
                what = "a folder" if path.is_dir() else "no file that can be read"
                problems.add("files of the corpus that are none", f"{path} is {what}")
    if problems:
        raise problems.error(
            "The corpus can't be taken from there; wrong are:",
            "Put the file there as it was downloaded, or take this away to have it downloaded.",
        )
    return {
        file.name: folder / file.name
        for file in files
        for folder in reversed(folders)
        if (folder / file.name).is_file()
    }


def _md5s(paths: dict[str, Path], workspace: Workspace) -> dict[str, str]:
    return {
        name: md5_digests(path.parent, [path.name], workspace)[0] for name, path in paths.items()
    }


def _check_md5s(
    spec: TaskSpec,
    files: Sequence[RemoteFile],
    found: dict[str, Path],
    md5s: dict[str, str],
    trust: bool,
) -> set[str]:
    """The names of the files that are taken although their MD5 is another."""
    wrong = {
        file.name
        for file in files
        if file.name in found and file.md5 not in {None, md5s[file.name]}
    }
    if not wrong or trust:
        return wrong
    problems = Problems(examples=20)
    for file in files:
        if file.name in wrong:
            problems.add(
                "files with another MD5 than the catalog's",
                f"\n  {found[file.name]} has {md5s[file.name]}, not {file.md5}",
            )
    raise problems.error(
        f"{spec.name} can't be prepared from these:",
        "Scores of a task that was made from other audio don't compare with anybody's. Take these "
        "files away to have the official ones downloaded, or take them as they are with "
        "--trust-corpus, which the task's metadata then says.",
    )


def _unpacked(
    spec: TaskSpec, paths: Sequence[Path], md5s: Sequence[str], workspace: Workspace
) -> Path:
    """The folder of an archive's content, made once; a plain file gets a folder of its own."""
    last = paths[-1]
    stem = last.name.split(".")[0]
    folder = workspace.path("corpora", f"{stem}-{short(digest_json(list(md5s)))}")
    if folder.is_dir():
        return folder
    if len(paths) == 1 and not is_archive(last.name):
        with atomic_folder(folder) as temporary:
            _link(last.resolve(), temporary / last.name)
        return folder
    with workspace.progress.stage(f"{spec.name}: unpacking {last.name}", "bytes") as update:
        if len(paths) > 1:
            unpack_split_zip(paths, folder, update=update)
        else:
            unpack_archive(last, folder, update=update)
    return folder


def _link(source: Path, target: Path) -> None:
    """Another name for a file, or a copy where the file system has no second names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _of_tfds(
    spec: TaskSpec,
    mode: str,
    corpus_dirs: Sequence[Path],
    workspace: Workspace,
) -> FoundCorpus:
    """The parts of a corpus that has no address, from the user's folders."""
    parts: list[CorpusPart] = []
    files: list[dict[str, str]] = []
    plain = False
    for split, path in _find_tfds_parts(spec, mode, corpus_dirs):
        if path.is_dir():
            plain = True
            parts.append(CorpusPart(path, split))
            continue
        (md5,) = md5_digests(path.parent, [path.name], workspace)
        parts.append(CorpusPart(_unpacked(spec, [path], [md5], workspace), split))
        files.append({"name": path.name, "md5": md5})
    # Of plain folders only the files' contents tell what they are.
    return FoundCorpus(RawCorpus(tuple(parts), spec.options), () if plain else tuple(files))


def _find_tfds_parts(
    spec: TaskSpec, mode: str, folders: Sequence[Path]
) -> list[tuple[str | None, Path]]:
    """The archives or folders that hold the corpus, each with its split if it is of one alone.

    Raises:
        TaskError: The folders hold nothing of the kind; the message says what is looked for.
    """
    for folder in folders:
        for parts in (_archives(spec, folder), _export(spec, folder), _original(spec, folder)):
            if parts:
                return parts
    name, splits = _name_and_splits(spec)
    wanted = [
        f"an export with an archive for every split ({name}-{splits[0]}.zip, ...)",
        f"a folder with an export ({splits[0]}_labels.csv beside audio/, ...)",
    ]
    if spec.originals:
        wanted.append(f"the original corpus ({', '.join(spec.originals)})")
    where = ", ".join(map(str, folders)) or "no folder was named"
    raise TaskError(
        f"The corpus of {spec.folder_name(mode)} has no place to be downloaded from. Name a folder "
        f"with --corpus-dir that holds {', '.join(wanted[:-1])} or {wanted[-1]}. Looked in: "
        f"{where}. `hearbench list tasks` tells which tasks are published ready-made."
    )


def _name_and_splits(spec: TaskSpec) -> tuple[str, tuple[str, ...]]:
    if spec.tfds is None:
        raise TaskError(f"The task {spec.name} names neither downloads nor a TFDS corpus.")
    return spec.tfds.name, spec.tfds.splits


def _archives(spec: TaskSpec, folder: Path) -> list[tuple[str | None, Path]]:
    name, splits = _name_and_splits(spec)
    found: list[tuple[str | None, Path]] = []
    for split in splits:
        paths = [folder / f"{name}-{split}{ending}" for ending in _ENDINGS]
        found.extend((split, path) for path in paths if path.is_file())
    return found if len(found) == len(splits) else []


def _export(spec: TaskSpec, folder: Path) -> list[tuple[str | None, Path]]:
    name, splits = _name_and_splits(spec)
    for place in (folder, folder / name, folder / spec.name):
        if all((place / f"{split}_labels.csv").is_file() for split in splits):
            return [(None, place)]
        if all((place / split / f"{split}_labels.csv").is_file() for split in splits):
            return [(split, place / split) for split in splits]
    return []


def _original(spec: TaskSpec, folder: Path) -> list[tuple[str | None, Path]]:
    for path in _matching(spec.originals, folder):
        if path.is_dir() or is_archive(path.name):
            return [(None, path)]
    return []


def _matching(patterns: Sequence[str], folder: Path) -> Iterator[Path]:
    for pattern in patterns:
        if folder.match(pattern):  # the corpus itself was named
            yield folder
        yield from sorted(folder.glob(pattern))
