"""Fetching several files into a folder."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from pathlib import Path

from hearkit.errors import DownloadError
from hearkit.settings import Settings
from hearkit.tasks.fetch.part import free_bytes, part_size
from hearkit.tasks.fetch.remote import (
    RemoteFile,
    RetryPolicy,
    StoppedError,
    TransferError,
    place_of,
)
from hearkit.tasks.fetch.transfer import Transfer
from hearkit.tasks.inventory import md5_digests, remember_md5

__all__ = ["ByteProgress", "fetch"]

ByteProgress = Callable[[str, int, int | None], None]
"""Called as ``progress(name, bytes done, bytes in all if known)`` from the caller's thread."""

_LOOK_S = 0.1  # between two looks at how far the transfers are
_GRACE_S = 2.0  # for transfers to end that were told to stop


def fetch(
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    settings: Settings,
    at_once: int = 4,
    progress: ByteProgress | None = None,
    policy: RetryPolicy | None = None,
) -> list[Path]:
    """Fetches files into a folder and returns their paths, in order.

    Files that are there already are checked and kept, never overwritten. Others lie beside
    their place as ``<name>.part`` until they are complete and right; if the run ends before, the
    next one goes on from there.

    Args:
        files: What to fetch.
        folder: Where to; it is made.
        settings: The mirror that replaces the files' own places, if any, and the cache that
            remembers md5s of what is there.
        at_once: Transfers at the same time.
        progress: Told of the bytes, several times a second.
        policy: When to try again; by default about five times in a row, over half a minute.

    Raises:
        DownloadError: Files that are there aren't what they should be, the disk has too little
            room, or files can't be fetched. It names all of them. After a first file has failed
            no other is begun, and those that are on their way keep what they have.
    """
    _check_names(files)
    each = list(dict.fromkeys(files))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = _missing(each, folder, settings)
        if progress is not None:
            for file in each:
                if file not in missing:
                    size = (folder / file.name).stat().st_size
                    progress(file.name, size, size)
        _check_room(missing, folder)
    except OSError as error:
        raise DownloadError(f"Files can't be fetched into {folder}: {error}.") from error
    if missing:
        crew = _Crew(missing, folder, settings.mirror, policy or RetryPolicy())
        crew.run(at_once, progress)
        for file in missing:
            if file.md5 is not None:
                remember_md5(folder, file.name, file.md5.lower(), settings)
    return [folder / file.name for file in files]


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


def _missing(files: Sequence[RemoteFile], folder: Path, settings: Settings) -> list[RemoteFile]:
    """The files that aren't there yet; those that are must be right."""
    there = [file for file in files if (folder / file.name).exists()]
    wrong = []
    to_hash: list[tuple[RemoteFile, str]] = []
    for file in there:
        path = folder / file.name
        size = path.stat().st_size
        if not path.is_file():
            wrong.append(f"- {file.name} is no file")
        elif file.size_bytes is not None and size != file.size_bytes:
            wrong.append(f"- {file.name} has {size} bytes, expected are {file.size_bytes}")
        elif file.md5 is not None:
            to_hash.append((file, file.md5.lower()))
    digests = md5_digests(folder, [file.name for file, _ in to_hash], settings)
    for (file, expected), md5 in zip(to_hash, digests, strict=True):
        if md5 != expected:
            wrong.append(f"- {file.name} has the md5 {md5}, expected is {expected}")
    if wrong:
        raise DownloadError(
            "\n".join(
                [
                    f"What lies in {folder} isn't what should be there:",
                    *wrong,
                    "Nothing was changed. Move these files away and run the same again, which "
                    "downloads them.",
                ]
            )
        )
    return [file for file in files if file not in there]


def _check_room(files: Sequence[RemoteFile], folder: Path) -> None:
    needed = sum(
        max(0, file.size_bytes - part_size(folder / file.name))
        for file in files
        if file.size_bytes is not None
    )
    free = free_bytes(folder)
    if needed > free:
        raise DownloadError(
            f"There is too little room for {', '.join(file.name for file in files)}: {needed} "
            f"bytes are needed, and the disk of {folder} has {free} free. Make room, or choose "
            "another folder, and run the same again."
        )


class _Crew:
    """Threads that fetch files.

    They are daemons and not a ThreadPoolExecutor's, which Python waits for at its end: after an
    interruption from the keyboard nobody should have to wait for a server that stalls.
    """

    def __init__(
        self, files: Sequence[RemoteFile], folder: Path, mirror: str | None, policy: RetryPolicy
    ) -> None:
        self._files = files
        self._folder = folder
        self._mirror = mirror
        self._policy = policy
        self._stop = threading.Event()
        self._todo: queue.SimpleQueue[RemoteFile] = queue.SimpleQueue()
        self._outcomes: dict[RemoteFile, Future[Path]] = {file: Future() for file in files}
        self._bytes: dict[str, tuple[int, int | None]] = {}  # written by the threads

    def run(self, at_once: int, progress: ByteProgress | None) -> None:
        """Fetches all, or raises a DownloadError that names those that failed."""
        for file in self._files:
            self._todo.put(file)
        for _ in range(min(max(1, at_once), len(self._files))):
            threading.Thread(target=self._work, name="hearkit-fetch", daemon=True).start()
        try:
            self._watch(progress)
        finally:
            self._stop.set()
        failures = self._failures()
        if failures:
            raise self._error(failures)

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                file = self._todo.get_nowait()
            except queue.Empty:
                return
            outcome = self._outcomes[file]
            outcome.set_running_or_notify_cancel()
            transfer = Transfer(
                file,
                place_of(file, self._mirror),
                self._folder,
                policy=self._policy,
                stop=self._stop,
                report=partial(self._note, file.name),
            )
            try:
                outcome.set_result(transfer.run())
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it again
                self._stop.set()
                outcome.set_exception(error)

    def _note(self, name: str, done: int, size: int | None) -> None:
        self._bytes[name] = (done, size)

    def _watch(self, progress: ByteProgress | None) -> None:
        """Waits for all to end, or for those that were begun once one has failed."""
        shown: dict[str, tuple[int, int | None]] = {}
        waiting = set(self._outcomes.values())
        until: float | None = None
        try:
            while waiting and (until is None or time.monotonic() < until):
                done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                self._show(shown, progress)
                if until is None and any(outcome.exception() is not None for outcome in done):
                    until = time.monotonic() + _GRACE_S
                if until is not None:
                    waiting = {outcome for outcome in waiting if outcome.running()}
        except BaseException:
            # Also an interruption: what is on its way may write down what it has.
            self._stop.set()
            wait([one for one in waiting if one.running()], timeout=_GRACE_S)
            raise

    def _show(
        self, shown: dict[str, tuple[int, int | None]], progress: ByteProgress | None
    ) -> None:
        if progress is None:
            return
        for name, state in list(self._bytes.items()):
            if shown.get(name) != state:
                shown[name] = state
                progress(name, *state)

    def _failures(self) -> dict[RemoteFile, TransferError]:
        """Why files failed; what is no failure of a transfer is a bug, and raised as it is."""
        failures = {}
        for file, outcome in self._outcomes.items():
            error = outcome.exception() if outcome.done() else None
            if isinstance(error, TransferError):
                failures[file] = error
            elif isinstance(error, StoppedError):
                if error.why is not None:
                    failures[file] = TransferError(error.why)
            elif error is not None:
                raise error
        return failures

    def _error(self, failures: Mapping[RemoteFile, TransferError]) -> DownloadError:
        lines = [f"{len(failures)} of {len(self._files)} files can't be fetched:"]
        for file, failure in failures.items():
            lines.append(f"- {file.name} from {place_of(file, self._mirror)}: {failure}")
        left = [
            file.name
            for file, outcome in self._outcomes.items()
            if file not in failures and (not outcome.done() or outcome.exception() is not None)
        ]
        if left:
            lines.append(
                f"Not fetched yet: {', '.join(left)}. The same command goes on with "
                f"{'it' if len(left) == 1 else 'them'}."
            )
        by_hand = [file.name for file, failure in failures.items() if failure.by_hand]
        if by_hand:
            it = "it" if len(by_hand) == 1 else "them"
            lines.append(
                f"If that doesn't pass, download {', '.join(by_hand)} by hand and put {it} into "
                f"{self._folder}, or hand in the folder that holds {it} with --corpus-dir."
            )
        return DownloadError("\n".join(lines))
