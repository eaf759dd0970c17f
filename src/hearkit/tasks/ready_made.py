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
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from hearkit.errors import DownloadError, TaskError, UnknownNameError
from hearkit.files import TEMPORARY_PREFIX
from hearkit.registry import did_you_mean
from hearkit.settings import Settings
from hearkit.tasks.archives import unpack_archive
from hearkit.tasks.check import METADATA, read_task_folder
from hearkit.tasks.fetch import ByteProgress, RemoteFile, RetryPolicy, fetch
from hearkit.tasks.inventory import md5_digests
from hearkit.tasks.locate import TASKS_FOLDER
from hearkit.tasks.record import Known, Record, find_md5, load_record, pin, recall
from hearkit.tasks.spec import TaskMetadata, is_plain_name

__all__ = ["fetch_ready_made", "ready_made_file", "ready_made_names"]

_DOWNLOADS = Path("downloads", "ready-made")
_BLOCK_BYTES = 1 << 20


def ready_made_names() -> tuple[str, ...]:
    """Folder names (``<task>-<version>-<mode>``) of the tasks that the record has.

    They are the 20 of the leaderboard, in the order of its columns.
    """
    return load_record().folders


def ready_made_file(folder_name: str, settings: Settings) -> RemoteFile:
    """A task's archive by what is known of it without asking the network."""
    record = load_record()
    return record.remote(folder_name, recall(folder_name, record, settings))


def fetch_ready_made(
    folder_name: str,
    *,
    settings: Settings,
    corpus_dirs: Sequence[Path] = (),
    progress: ByteProgress | None = None,
    policy: RetryPolicy | None = None,
    record: Record | None = None,
) -> Path:
    """Downloads a prepared task into the cache and returns its folder there.

    A task that is there is returned at once. The archive lies in
    ``<cache>/downloads/ready-made/`` until it is unpacked. One whose md5 nobody knows is taken
    from a mirror alone, with a warning, and only if all of it can be unpacked and the task in it
    has nothing wrong; its md5 is then remembered.

    Args:
        folder_name: ``<task>-<version>-<mode>``.
        settings: The cache and the mirror.
        corpus_dirs: Folders in which the archive may lie; it is left there.
        progress: Told of the bytes of the archive under its name, then of those that are
            unpacked under the task's.
        policy: When to try again.
        record: Where the archives are, if not where they were published.

    Raises:
        UnknownNameError: The record has no such task.
        DownloadError: The archive can't be had, or isn't the one that was published.
        TaskError: It can't be unpacked, or holds something else.
    """
    record = record or load_record()
    if not is_plain_name(folder_name):
        raise _unknown(folder_name, record)
    target = settings.cache_dir / TASKS_FOLDER / folder_name
    if (target / METADATA).is_file():
        return target
    if target.exists():
        raise TaskError(
            f"{target} is there but holds no finished task. Finish its preparation or remove it, "
            "then run the same again."
        )
    name = record.archive_name(folder_name)
    handed_in = next((path / name for path in corpus_dirs if (path / name).is_file()), None)
    unneeded = handed_in is not None or settings.mirror is not None
    in_passing = unneeded or folder_name not in record.folders
    found = find_md5(folder_name, record, settings, in_passing=in_passing, policy=policy)
    known = found if isinstance(found, Known) else None
    remote = record.remote(folder_name, known)
    if isinstance(found, str):
        if not unneeded:
            raise _not_to_be_checked(folder_name, remote, record, found)
        logging.getLogger(__name__).warning(
            "The md5 of %s isn't known (%s); it is taken if nothing else is wrong with it.",
            name,
            found,
        )
    if handed_in is not None:
        _check_handed_in(handed_in, known, settings)
        _unpack(handed_in, target, settings, known, progress)
        return target
    folder = settings.cache_dir / _DOWNLOADS
    (archive,) = fetch([remote], folder, settings=settings, progress=progress, policy=policy)
    try:
        _unpack(archive, target, settings, known, progress)
    except TaskError:
        if known is None:  # it may be the wrong file, which must not be taken for right again
            archive.unlink(missing_ok=True)
        raise
    if known is None:
        (md5,) = md5_digests(folder, [name], settings)
        size_bytes = archive.stat().st_size
        seen = Known(md5=md5, size_bytes=size_bytes, source=f"the first one of {settings.mirror}")
        pin({name: seen}, settings)
    archive.unlink(missing_ok=True)
    return target


def _unknown(folder_name: str, record: Record) -> UnknownNameError:
    return UnknownNameError(
        f"There is no ready-made task {folder_name!r}. "
        f"{did_you_mean(folder_name, list(record.folders))}"
    )


def _not_to_be_checked(folder_name: str, remote: RemoteFile, record: Record, why: str) -> Exception:
    if folder_name not in record.folders:
        return _unknown(folder_name, record)
    return DownloadError(
        f"{remote.name} isn't downloaded, since its md5 isn't known: {why}. Try again when that "
        f"can be read; or download {remote.url} by hand, and hand in the folder that holds it "
        "with --corpus-dir."
    )


def _check_handed_in(archive: Path, known: Known | None, settings: Settings) -> None:
    if known is None:
        return
    (md5,) = md5_digests(archive.parent, [archive.name], settings)
    if md5 != known.md5:
        raise DownloadError(
            f"{archive} has the md5 {md5}, but {known.md5} by {known.source}. It isn't used; "
            "replace it, or take it away to have it downloaded."
        )


def _unpack(
    archive: Path,
    target: Path,
    settings: Settings,
    known: Known | None,
    progress: ByteProgress | None,
) -> None:
    """Makes the task's folder of its archive; one without a known md5 is looked at closely."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=target.parent) as work:
            content = Path(work) / "content"
            if known is None:
                _read_to_the_end(archive)
            told = partial(progress, target.name) if progress is not None else None
            unpack_archive(archive, content, progress=told)
            folder = _task_in(content, archive, target.name)
            if known is None:
                # What is remembered of files here is of no use anywhere else.
                here = dataclasses.replace(settings, cache_dir=Path(work) / "cache")
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
        raise TaskError(f"{archive} can't be unpacked to {target}: {error}.") from error


def _read_to_the_end(archive: Path) -> None:
    """Lets gzip compare its checksum, which comes last, behind the end of the tar."""
    try:
        with gzip.open(archive) as file:
            while file.read(_BLOCK_BYTES):
                pass
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TaskError(
            f"The archive {archive} is damaged or no .tar.gz: {error}. Get it again from a source "
            "that you trust."
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
    except ValueError as error:
        raise TaskError(f"{METADATA} in the archive {archive} is no JSON: {error}.") from error
    if metadata.name != folder_name:
        raise TaskError(
            f"The archive {archive} should hold the task {folder_name}, but its {METADATA} says "
            f"that it is {metadata.name}. It isn't used; get the right one."
        )
    return folders[0]
