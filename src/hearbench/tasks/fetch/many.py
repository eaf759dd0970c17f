"""Fetching several files into a folder, or a small text into memory."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from hearbench.errors import DownloadError
from hearbench.tasks.fetch.part import free_bytes, part_size
from hearbench.tasks.fetch.pool import HAND_IN, Pool
from hearbench.tasks.fetch.remote import RemoteFile, RetryPolicy, TransferError
from hearbench.tasks.fetch.transfer import Transfer
from hearbench.tasks.inventory import md5_digests, remember_md5
from hearbench.workspace import Workspace

__all__ = ["TooLittleRoomError", "fetch", "fetch_each", "read_remote"]

# A record's description or a list of check sums has a few kB.
_MOST_BYTES = 16 << 20


class TooLittleRoomError(DownloadError):
    """Files that don't fit on the disk together."""


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    workspace: Workspace,
    at_once: int = 4,
    policy: RetryPolicy | None = None,
) -> list[Path]:
    """Fetches files into a folder, which it makes, and returns their paths in order.

    Files that exist already are checked and kept, never overwritten. Others lie beside their
    place as ``<name>.part`` until they are complete and right; if the run ends before, the next
    one resumes there.

    Args:
        workspace: Gives the mirror that replaces the files' own addresses, and the cache of MD5s.
        at_once: Most transfers at the same time.
        policy: When to try again; by default about five times in a row, over half a minute.

    Raises:
        DownloadError: Files that exist aren't what they should be, the disk has too little
            room, or files can't be fetched. It names all of them. After a first file has failed
            no other is begun, and those in transfer keep what they have.
    """
    pool = Pool(folder, workspace.mirror, policy or RetryPolicy(), at_once=at_once)
    for outcome in _fetched(files, pool, workspace):
        if isinstance(outcome, DownloadError):
            raise outcome
    return [folder / file.name for file in files]


def fetch_each(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    workspace: Workspace,
    at_once: int = 4,
    policy: RetryPolicy | None = None,
    hand_in: str = HAND_IN,
) -> list[Path | DownloadError]:
    """Fetches as many files into a folder as it can; see :func:`fetch` for how.

    Args:
        workspace: Gives the mirror that replaces the files' own addresses, and the cache of MD5s.
        at_once: Most transfers at the same time.
        policy: When to try again; by default about five times in a row, over half a minute.
        hand_in: The command that takes a folder with files downloaded by hand, for messages.

    Returns:
        For each file its path, or why it can't be fetched. Only a cause that concerns all, such
        as a host that doesn't answer or a full disk, stops the others; they then have the very
        same error.

    Raises:
        TooLittleRoomError: They don't fit on the disk together. Nothing was fetched.
        DownloadError: The folder can't be used.
    """
    pool = Pool(
        folder,
        workspace.mirror,
        policy or RetryPolicy(),
        at_once=at_once,
        hand_in=hand_in,
        keep_going=True,
    )
    return _fetched(files, pool, workspace)


def _fetched(
    files: Sequence[RemoteFile], pool: Pool, workspace: Workspace
) -> list[Path | DownloadError]:
    """For each file its path, or why it can't be fetched."""
    _check_names(files)
    folder = pool.folder
    errors: dict[RemoteFile, DownloadError] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing, wrong = _looked_at(list(dict.fromkeys(files)), folder, workspace)
        if wrong and not pool.keep_going:
            raise _not_right(folder, wrong.values())
        errors |= {file: _not_right(folder, [line]) for file, line in wrong.items()}
        _check_room(missing, folder)
    except OSError as error:
        raise DownloadError(f"Files can't be fetched into {folder}: {error}.") from error
    if missing:
        errors |= pool.run(missing, workspace.progress)
        for file in missing:
            if file.md5 is not None and file not in errors:
                remember_md5(folder, file.name, file.md5.lower(), workspace)
    return [errors.get(file, folder / file.name) for file in files]


def _check_names(files: Sequence[RemoteFile]) -> None:
    known: dict[str, RemoteFile] = {}
    for file in files:
        if file.name in {"", ".", ".."} or set(file.name) & {"/", "\\", "\0"}:
            raise DownloadError(f"{file.name!r} can't name a file to fetch from {file.url}.")
        if known.setdefault(file.name, file) != file:
            raise DownloadError(
                f"Two different files are to be fetched under the name {file.name}: {file.url} "
                f"and {known[file.name].url}. Fetch them into two folders."
            )


def _looked_at(
    files: Sequence[RemoteFile], folder: Path, workspace: Workspace
) -> tuple[list[RemoteFile], dict[RemoteFile, str]]:
    """The files that aren't there yet, and what is wrong with those that are."""
    there = [file for file in files if (folder / file.name).exists()]
    wrong: dict[RemoteFile, str] = {}
    to_hash: list[tuple[RemoteFile, str]] = []
    for file in there:
        path = folder / file.name
        size = path.stat().st_size
        if not path.is_file():
            wrong[file] = f"- {file.name} is no file"
        elif file.size_bytes is not None and size != file.size_bytes:
            wrong[file] = f"- {file.name} has {size} bytes, expected are {file.size_bytes}"
        elif file.md5 is not None:
            to_hash.append((file, file.md5.lower()))
    digests = md5_digests(folder, [file.name for file, _ in to_hash], workspace)
    for (file, expected), md5 in zip(to_hash, digests, strict=True):
        if md5 != expected:
            wrong[file] = f"- {file.name} has the md5 {md5}, expected is {expected}"
    return [file for file in files if file not in there], wrong


def _not_right(folder: Path, wrong: Iterable[str]) -> DownloadError:
    return DownloadError(
        "\n".join(
            [
                f"What lies in {folder} isn't what should be there:",
                *wrong,
                "Nothing was changed. Move these files away and run the same again, which "
                "downloads them.",
            ]
        )
    )


def _check_room(files: Sequence[RemoteFile], folder: Path) -> None:
    needed = sum(
        max(0, file.size_bytes - part_size(folder / file.name))
        for file in files
        if file.size_bytes is not None
    )
    free = free_bytes(folder)
    if needed > free:
        raise TooLittleRoomError(
            f"There is too little room for {', '.join(file.name for file in files)}: {needed} "
            f"bytes are needed, and the disk of {folder} has {free} free. Make room, or choose "
            "another folder, and run the same again."
        )


def read_remote(url: str, *, policy: RetryPolicy | None = None) -> bytes:
    """Reads all that lies at an address.

    Raises:
        TransferError: It can't be had, or is far too long; the message says why.
    """

    def refuse_much(done: int, size: int | None) -> None:
        if max(done, size or 0) > _MOST_BYTES:
            raise TransferError(f"has more than {_MOST_BYTES >> 20} MiB, which can't be right")

    with tempfile.TemporaryDirectory(prefix="hearbench-") as folder:
        transfer = Transfer(
            RemoteFile("content", url),
            url,
            Path(folder),
            policy=policy or RetryPolicy(),
            stop=threading.Event(),
            report=refuse_much,
        )
        return transfer.run().read_bytes()
