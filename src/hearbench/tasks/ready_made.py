"""The benchmark's prepared tasks, downloaded as they were published.

Zenodo record 6332517 (release 2021.3) holds one archive per task at 48 kHz. An archive unpacks to
``<anything>/tasks/<task>-<version>-<mode>/``; the task's own folder goes to the cache.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import logging
import tempfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from hearbench.errors import DownloadError, HearError, TaskError, UnknownNameError
from hearbench.files import SYNTAX_ERRORS, TEMPORARY_PREFIX
from hearbench.registry import did_you_mean
from hearbench.tasks.archives import unpack_archive
from hearbench.tasks.archives.unpacking import UnwritableError, is_about_the_place
from hearbench.tasks.catalog import catalog_folder, catalog_names, catalog_task
from hearbench.tasks.check import METADATA, read_task_folder
from hearbench.tasks.fetch import (
    RemoteFile,
    RetryPolicy,
    TooLittleRoomError,
    fetch_each,
)
from hearbench.tasks.inventory import md5_digests
from hearbench.tasks.locate import TASKS_FOLDER
from hearbench.tasks.record import ArchiveRecord, Known, find_md5s, load_record, pin, recall
from hearbench.tasks.spec import TaskMetadata, is_plain_name
from hearbench.tasks.subsets import task_subsets
from hearbench.workspace import Workspace

__all__ = [
    "Outcome",
    "fetch_each_ready_made",
    "fetch_ready_made",
    "ready_made_file",
    "ready_made_folders",
    "ready_made_names",
    "unpublished",
]

_DOWNLOADS = Path("downloads", "ready-made")
_BLOCK_BYTES = 1 << 20


def ready_made_names() -> tuple[str, ...]:
    """Folder names (``<task>-<version>-<mode>``) of the tasks that the record has.

    They are the 20 of the leaderboard, in the order of its columns.
    """
    return load_record().folders


def ready_made_folders(name: str, *, elsewhere: bool = False) -> tuple[str, ...]:
    """Folder names of the tasks that a name stands for.

    Args:
        name: A task of the catalog, perhaps with ``-<mode>``; a named subset, as ``hear-11``; or
            ``leaderboard`` for all of `ready_made_names`.
        elsewhere: Whether tasks may be had from a mirror or a folder, so that the record needn't
            have them.

    Raises:
        UnknownNameError: There is no such task, or the record doesn't have it.
    """
    if name == "leaderboard":
        return ready_made_names()
    subsets = task_subsets()
    if name in subsets:
        return subsets[name].tasks
    folder = catalog_folder(name)
    if folder is None:
        known = [*catalog_names(), *subsets]
        raise UnknownNameError(
            f"There is no task {name!r} in the catalog. {did_you_mean(name, known)}"
        )
    if not elsewhere and folder not in ready_made_names():
        raise unpublished(folder)
    return (folder,)


def ready_made_file(folder_name: str, workspace: Workspace) -> RemoteFile:
    """A task's archive by what is known of it without asking the network."""
    record = load_record()
    return record.remote(folder_name, recall(folder_name, record, workspace))


def unpublished(folder_name: str, record: ArchiveRecord | None = None) -> UnknownNameError:
    """The error for a task that the record doesn't have, which says what to do instead."""
    record = record or load_record()
    found = catalog_task(folder_name)
    if found is None:
        return UnknownNameError(
            f"There is no ready-made task {folder_name!r}. "
            f"{did_you_mean(folder_name, list(record.folders))}"
        )
    spec, mode = found
    modes = {spec.folder_name(other) for other in spec.modes}
    others = [other for other in record.folders if other in modes]
    return UnknownNameError(
        f"{folder_name} isn't published ready-made"
        + (f", only {', '.join(others)}" if others else "")
        + f"; `hearbench prepare {spec.name} --mode {mode}` makes it from its corpus."
    )


def fetch_ready_made(
    folder_name: str,
    *,
    workspace: Workspace,
    corpus_dirs: Sequence[Path] = (),
    policy: RetryPolicy | None = None,
    record: ArchiveRecord | None = None,
) -> Path:
    """Downloads a prepared task into the cache and returns its folder there.

    A task that is there is returned at once. The archive lies in
    ``<cache>/downloads/ready-made/`` until it is unpacked. One whose md5 isn't known is taken
    from a mirror alone, with a warning, and only if all of it can be unpacked and the task in it
    has nothing wrong; its md5 is then remembered.

    Args:
        folder_name: ``<task>-<version>-<mode>``.
        workspace: The cache, the mirror, and who shows progress.
        corpus_dirs: Folders in which the archive may lie; it is left there.
        record: Where the archives are, if not where they were published.

    Raises:
        UnknownNameError: The record has no such task.
        DownloadError: The archive can't be had, or isn't the one that was published.
        TaskError: It can't be unpacked, or holds something else.
    """
    (outcome,) = fetch_each_ready_made(
        [folder_name],
        workspace=workspace,
        corpus_dirs=corpus_dirs,
        policy=policy,
        record=record,
    )
    if isinstance(outcome.result, HearError):
        raise outcome.result
    return outcome.result


class Outcome(NamedTuple):
    """The outcome for a task, or for several that failed for one reason.

    Attributes:
        result: The folder of the only one, or what went wrong.
    """

    names: tuple[str, ...]
    result: Path | HearError


def fetch_each_ready_made(
    folder_names: Sequence[str],
    *,
    workspace: Workspace,
    corpus_dirs: Sequence[Path] = (),
    policy: RetryPolicy | None = None,
    record: ArchiveRecord | None = None,
) -> Iterator[Outcome]:
    """Downloads prepared tasks, several at a time, and unpacks one after the other.

    What goes wrong with one keeps no other from being had. Mirror and record are asked for md5s
    once. See :func:`fetch_ready_made` for the rest.

    Args:
        folder_names: ``<task>-<version>-<mode>`` each; every one counts once.
        workspace: The cache, the mirror, and who shows progress.
        corpus_dirs: Folders in which archives may lie; they are left there.
        record: Where the archives are, if not where they were published.

    Yields:
        Every task in one outcome, as soon as that is known.
    """
    work = _Work(workspace, corpus_dirs, policy, record or load_record())
    missing = []
    for name in dict.fromkeys(folder_names):
        target = work.target(name)
        if not is_plain_name(name):
            yield Outcome((name,), unpublished(name, work.record))
        elif (target / METADATA).is_file():
            yield Outcome((name,), target)
        elif target.exists():
            error = TaskError(
                f"{target} is there but holds no finished task. Finish its preparation or remove "
                "it, then run the same again."
            )
            yield Outcome((name,), error)
        else:
            missing.append(name)
    wanted = yield from work.look_up(missing)
    for one in wanted:
        if one.handed_in is not None:
            yield work.take(one, one.handed_in)
    yield from work.fetch([one for one in wanted if one.handed_in is None])


@dataclass(frozen=True)
class _Wanted:
    name: str
    known: Known | None
    handed_in: Path | None


@dataclass(frozen=True)
class _Work:
    workspace: Workspace
    corpus_dirs: Sequence[Path]
    policy: RetryPolicy | None
    record: ArchiveRecord

    def target(self, name: str) -> Path:
        return self.workspace.path(TASKS_FOLDER, name)

    def look_up(self, names: Sequence[str]) -> Generator[Outcome, None, list[_Wanted]]:
        """Finds the md5s; returns the tasks that can be had, and yields the others."""
        try:
            known = {name: recall(name, self.record, self.workspace) for name in names}
        except DownloadError as error:
            yield Outcome(tuple(names), error)
            return []
        handed_in = {name: self._handed_in(name) for name in names}
        unknown = [name for name in names if known[name] is None]
        # Those that can't be had without an md5; for others it is only asked in passing.
        needy = {
            name for name in unknown if self.workspace.mirror is None and handed_in[name] is None
        }
        refused: set[str] = set()
        reasons: dict[str, list[str]] = {}
        if unknown:
            try:
                found = find_md5s(
                    unknown,
                    self.record,
                    self.workspace,
                    in_passing=needy.isdisjoint(self.record.folders),
                    policy=self.policy,
                )
            except DownloadError as error:
                yield Outcome(tuple(unknown), error)
                refused.update(unknown)
                found = {}
            for name, value in found.items():
                if isinstance(value, Known):
                    known[name] = value
                elif name in needy and name not in self.record.folders:
                    yield Outcome((name,), unpublished(name, self.record))
                    refused.add(name)
                else:
                    reasons.setdefault(value, []).append(name)
        for why, alike in reasons.items():
            some = [name for name in alike if name in needy]
            if some:
                yield Outcome(tuple(some), self._not_to_be_checked(some, why))
                refused.update(some)
            others = [self.record.archive_name(name) for name in alike if name not in needy]
            if others:
                logging.getLogger(__name__).warning(
                    "The md5 of %s isn't known (%s); what comes is taken if nothing else is wrong "
                    "with it.",
                    ", ".join(others),
                    why,
                )
        return [
            _Wanted(name, known[name], handed_in[name]) for name in names if name not in refused
        ]

    def fetch(self, wanted: Sequence[_Wanted]) -> Iterator[Outcome]:
        """Downloads and unpacks tasks that weren't handed in."""
        if not wanted:
            return
        folder = self.workspace.path(_DOWNLOADS)
        name = wanted[0].name if len(wanted) == 1 else "NAME"
        try:
            results = fetch_each(
                [self.record.remote(one.name, one.known) for one in wanted],
                folder,
                workspace=self.workspace,
                policy=self.policy,
                hand_in=f"hearbench tasks download {name} --corpus-dir DIR",
            )
        except TooLittleRoomError as error:
            if len(wanted) == 1:
                yield Outcome((name,), error)
            else:  # an archive is removed once it is unpacked, so that the next one may fit
                for one in wanted:
                    yield from self.fetch([one])
            return
        except DownloadError as error:
            yield Outcome(tuple(one.name for one in wanted), error)
            return
        failed: dict[DownloadError, list[str]] = {}
        for one, result in zip(wanted, results, strict=True):
            if isinstance(result, DownloadError):
                failed.setdefault(result, []).append(one.name)
        for failure, names in failed.items():
            if len(names) == 1 and names[0] not in self.record.folders:
                more = f"{failure}\n{unpublished(names[0], self.record)}"
                yield Outcome((names[0],), DownloadError(more))
            else:
                yield Outcome(tuple(names), failure)
        for one, result in zip(wanted, results, strict=True):
            if isinstance(result, Path):
                yield self.take(one, result)

    def take(self, one: _Wanted, archive: Path) -> Outcome:
        """Unpacks an archive; one that was downloaded is removed then."""
        try:
            if one.handed_in is not None:
                _check_handed_in(archive, one.known, self.workspace)
                self._unpack(one, archive)
            else:
                self._take_download(one, archive)
        except HearError as error:
            return Outcome((one.name,), error)
        except OSError as error:
            return Outcome((one.name,), TaskError(f"{archive} can't be used: {error}."))
        return Outcome((one.name,), self.target(one.name))

    def _take_download(self, one: _Wanted, archive: Path) -> None:
        try:
            self._unpack(one, archive)
        except UnwritableError as error:
            raise UnwritableError(
                f"{error} The archive is kept at {archive}; the same command goes on with it."
            ) from error
        except TaskError as error:
            if one.known is not None:
                raise
            # It may be the wrong file, which must not be taken for right again.
            archive.unlink(missing_ok=True)
            raise TaskError(
                f"{error} {archive} was removed, since nothing tells whether it is the right "
                "file; the same command downloads it again."
            ) from error
        if one.known is None:
            (md5,) = md5_digests(archive.parent, [archive.name], self.workspace)
            source = f"the first one of {self.workspace.mirror}"
            size_bytes = archive.stat().st_size
            seen = Known(md5=md5, size_bytes=size_bytes, source=source)
            pin({archive.name: seen}, self.workspace)
        archive.unlink(missing_ok=True)

    def _unpack(self, one: _Wanted, archive: Path) -> None:
        _unpack_published(
            archive,
            self.target(one.name),
            trusted=one.known is not None,
            workspace=self.workspace,
        )

    def _handed_in(self, name: str) -> Path | None:
        paths = (folder / self.record.archive_name(name) for folder in self.corpus_dirs)
        return next((path for path in paths if path.is_file()), None)

    def _not_to_be_checked(self, names: Sequence[str], why: str) -> DownloadError:
        if len(names) == 1:
            remote = self.record.remote(names[0], None)
            return DownloadError(
                f"{remote.name} isn't downloaded, since its md5 isn't known: {why}. Try again "
                f"when that can be read; or download {remote.url} by hand, and hand in the folder "
                f"that holds it: hearbench tasks download {names[0]} --corpus-dir DIR"
            )
        return DownloadError(
            f"{len(names)} archives aren't downloaded, since their md5s aren't known: {why}. Try "
            f"again when that can be read; or download them from {self.record.place} by hand, and "
            "hand in the folder that holds them: hearbench tasks download NAME --corpus-dir DIR"
        )


def _check_handed_in(archive: Path, known: Known | None, workspace: Workspace) -> None:
    if known is None:
        return
    (md5,) = md5_digests(archive.parent, [archive.name], workspace)
    if md5 != known.md5:
        raise DownloadError(
            f"{archive} has the md5 {md5}, but {known.md5} by {known.source}. It isn't used; "
            "replace it, or take it away to have it downloaded."
        )


def _unpack_published(
    archive: Path,
    target: Path,
    *,
    trusted: bool,
    workspace: Workspace,
) -> None:
    """Makes a task's folder of its archive.

    Args:
        archive: A ``.tar.gz`` that holds ``<anything>/tasks/<name of target>/``.
        target: The task's folder, which appears once it is complete.
        trusted: Whether its content is known to be the published one; if not, all of it is
            looked at closely.
        workspace: How many threads look, and who shows progress.

    Raises:
        TaskError: It can't be unpacked, or holds something else.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=target.parent) as work:
            content = Path(work) / "content"
            if not trusted:
                _read_to_the_end(archive)
            with workspace.progress.stage(f"unpacking {target.name}", "bytes") as update:
                update(0)
                unpack_archive(archive, content, update=update)
            folder = _task_in(content, archive, target.name)
            if not trusted:
                # What is remembered of files here is of no use anywhere else.
                here = dataclasses.replace(workspace, cache_dir=Path(work) / "cache")
                problems = read_task_folder(folder, here).problems
                if problems:
                    raise problems.error(
                        f"The archive {archive} can't be used; wrong are:",
                        "Get it again from a source that you trust.",
                    )
            try:
                folder.rename(target)
            except OSError:
                if not (target / METADATA).is_file():  # or another process was faster
                    raise
    except OSError as error:
        kind = UnwritableError if is_about_the_place(error) else TaskError
        raise kind(f"{archive} can't be unpacked to {target}: {error}.") from error


def _read_to_the_end(archive: Path) -> None:
    """Lets gzip compare its checksum, which comes last, behind the end of the tar."""
    try:
        with gzip.open(archive) as file:
            while file.read(_BLOCK_BYTES):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TaskError(
            f"The archive {archive} is damaged or no .tar.gz: {error}. Get it again from a source "
            "that you trust.",
            code="damaged",
        ) from error


def _task_in(content: Path, archive: Path, folder_name: str) -> Path:
    """The only task in an unpacked archive, which must be the one that was wanted."""
    folders = [path.parent for path in content.rglob(METADATA)]
    shown = ", ".join(sorted(path.name for path in folders[:10])) or "none"
    if len(folders) != 1 or folders[0].name != folder_name:
        raise TaskError(
            f"The archive {archive} should hold the task {folder_name}, but the tasks in it are: "
            f"{shown}. It isn't used; get the right one."
        )
    try:
        text = (folders[0] / METADATA).read_text(encoding="utf-8-sig")
        metadata = TaskMetadata.model_validate(json.loads(text))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise TaskError(f"{METADATA} in the archive {archive} can't be used: {wrong}.") from error
    except SYNTAX_ERRORS as error:
        raise TaskError(f"{METADATA} in the archive {archive} is no JSON: {error}.") from error
    if metadata.name != folder_name:
        raise TaskError(
            f"The archive {archive} should hold the task {folder_name}, but its {METADATA} says "
            f"that it is {metadata.name}. It isn't used; get the right one."
        )
    return folders[0]
