"""Fetching several files into a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hearbench.errors import DownloadError
from hearbench.tasks.fetch.crew import Crew
from hearbench.tasks.fetch.part import free_bytes, part_size
from hearbench.tasks.fetch.remote import RemoteFile, RetryPolicy
from hearbench.tasks.inventory import md5_digests, remember_md5
from hearbench.workspace import Workspace

__all__ = ["TooLittleRoomError", "fetch", "fetch_each"]

_HAND_IN = "hearbench prepare TASK --corpus-dir DIR"


class TooLittleRoomError(DownloadError):
    """Files that don't fit on the disk together."""


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    workspace: Workspace,
    at_once: int = 4,
    policy: RetryPolicy | None = None,
    hand_in: str = _HAND_IN,
) -> list[Path]:
    """Fetches files into a folder and returns their paths, in order.

    Files that are there already are checked and kept, never overwritten. Others lie beside
    their place as ``<name>.part`` until they are complete and right; if the run ends before, the
    next one goes on from there.

    Args:
        files: What to fetch.
        folder: Where to; it is made.
        workspace: The mirror that replaces the files' own places, if any, the cache that
            remembers md5s of what is there, and who shows progress.
        at_once: Transfers at the same time.
        policy: When to try again; by default about five times in a row, over half a minute.
        hand_in: The command that takes a folder with what was downloaded by hand, for messages.

    Raises:
        DownloadError: Files that are there aren't what they should be, the disk has too little
            room, or files can't be fetched. It names all of them. After a first file has failed
            no other is begun, and those that are on their way keep what they have.
    """
    each = _distinct(files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing, wrong = _looked_at(each, folder, workspace)
        if wrong:
            raise _not_right(folder, wrong.values())
        _check_room(missing, folder)
    except OSError as error:
        raise DownloadError(f"Files can't be fetched into {folder}: {error}.") from error
    if missing:
        chosen = policy or RetryPolicy()
        crew = Crew(missing, folder, workspace.mirror, chosen, hand_in=hand_in, keep_going=False)
        for failure in crew.run(at_once, workspace.progress).values():
            raise failure
        _remember(missing, folder, workspace)
    return [folder / file.name for file in files]


def fetch_each(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    workspace: Workspace,
    at_once: int = 4,
    policy: RetryPolicy | None = None,
    hand_in: str = _HAND_IN,
) -> list[Path | DownloadError]:
    """Fetches as many files into a folder as can be; see :func:`fetch` for how.

    Returns:
        Per file its path, or why it can't be had. Only a cause that concerns all, as a host
        that doesn't answer or a full disk, keeps others from being fetched; they then have the
        very same error.

    Raises:
        TooLittleRoomError: They don't fit on the disk together. Nothing was fetched.
        DownloadError: The folder can't be used.
    """
    each = _distinct(files)
    errors: dict[RemoteFile, DownloadError] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing, wrong = _looked_at(each, folder, workspace)
        errors |= {file: _not_right(folder, [line]) for file, line in wrong.items()}
        _check_room(missing, folder)
    except OSError as error:
        raise DownloadError(f"Files can't be fetched into {folder}: {error}.") from error
    if missing:
        chosen = policy or RetryPolicy()
        crew = Crew(missing, folder, workspace.mirror, chosen, hand_in=hand_in, keep_going=True)
        errors |= crew.run(at_once, workspace.progress)
        _remember([file for file in missing if file not in errors], folder, workspace)
    return [errors.get(file, folder / file.name) for file in files]


def _distinct(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    _check_names(files)
    return list(dict.fromkeys(files))


def _remember(files: Iterable[RemoteFile], folder: Path, workspace: Workspace) -> None:
    for file in files:
        if file.md5 is not None:
            remember_md5(folder, file.name, file.md5.lower(), workspace)


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
