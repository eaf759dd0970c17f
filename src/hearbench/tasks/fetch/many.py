"""Fetching several files into a folder, or a small text into memory."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from hearbench.errors import DownloadError
from hearbench.progress import Progress, Update
from hearbench.tasks.fetch.part import free_bytes, part_size
from hearbench.tasks.fetch.remote import (
    RemoteFile,
    RetryPolicy,
    StoppedError,
    TransferError,
    place_of,
)
from hearbench.tasks.fetch.transfer import Transfer
from hearbench.tasks.inventory import md5_digests, remember_md5
from hearbench.workspace import Workspace

__all__ = ["TooLittleRoomError", "fetch", "fetch_each", "read_remote"]

# The command that takes files downloaded by hand, unless another is named.
_HAND_IN = "hearbench prepare TASK --corpus-dir DIR"
_LOOK_S = 0.1  # between two looks at how far the transfers are
_GRACE_S = 2.0  # for transfers to end that were told to stop


class _Stages:
    """A stage for every file that is on its way; all end together."""

    def __init__(self, progress: Progress, running: ExitStack) -> None:
        self._progress = progress
        self._running = running
        self._updates: dict[str, Update] = {}

    def update(self, name: str, done: int, size: int | None) -> None:
        if name not in self._updates:
            stage = self._progress.stage(f"downloading {name}", "bytes")
            self._updates[name] = self._running.enter_context(stage)
            self._updates[name](0)  # small files are there before anyone looks
        self._updates[name](done, size)


class _Pool:
    """Threads that fetch files into a folder.

    They are daemons and not a ThreadPoolExecutor's, which Python waits for at its end: after an
    interruption from the keyboard no one should have to wait for a server that stalls.

    Args:
        mirror: An address that replaces the files' own, if any.
        at_once: Most transfers at the same time.
        hand_in: The command that takes a folder with files downloaded by hand, for messages.
        keep_going: Whether the others are fetched after one has failed, unless they would
            fail alike.
    """

    def __init__(
        self,
        folder: Path,
        mirror: str | None,
        policy: RetryPolicy,
        *,
        at_once: int = 4,
        hand_in: str = _HAND_IN,
        keep_going: bool = False,
    ) -> None:
        self.folder = folder
        self.keep_going = keep_going
        self._mirror = mirror
        self._policy = policy
        self._at_once = at_once
        self._hand_in = hand_in
        self._stop = threading.Event()
        self._todo: queue.SimpleQueue[RemoteFile] = queue.SimpleQueue()
        self._outcomes: dict[RemoteFile, Future[Path]] = {}
        self._bytes: dict[str, tuple[int, int | None]] = {}  # written by the threads

    def run(
        self, files: Sequence[RemoteFile], progress: Progress
    ) -> dict[RemoteFile, DownloadError]:
        """Fetches all that it can, once, and returns the errors of the others.

        Files that share a cause share an error, which names all of them.
        """
        for file in files:
            self._outcomes[file] = Future()
            self._todo.put(file)
        for _ in range(min(max(1, self._at_once), len(files))):
            threading.Thread(target=self._work, name="hearbench-fetch", daemon=True).start()
        try:
            with ExitStack() as stages:
                self._watch(_Stages(progress, stages))
        finally:
            self._stop.set()
        failures = self._failures()
        alone = {}
        if self.keep_going:
            alone = {
                file: self._error({file: failure})
                for file, failure in failures.items()
                if not failure.common
            }
            failures = {file: failure for file, failure in failures.items() if file not in alone}
        if not failures:
            return alone
        left = self._left({*failures, *alone})
        together = self._error(failures, left)
        return {**alone, **dict.fromkeys([*failures, *left], together)}

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
                self.folder,
                policy=self._policy,
                stop=self._stop,
                report=partial(self._note, file.name),
            )
            try:
                outcome.set_result(transfer.run())
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it again
                alone = isinstance(error, TransferError) and not error.common
                if not (self.keep_going and alone):
                    self._stop.set()
                outcome.set_exception(error)

    def _note(self, name: str, done: int, size: int | None) -> None:
        self._bytes[name] = (done, size)

    def _watch(self, stages: _Stages) -> None:
        """Waits for all to end, or once they are to stop, for those that were begun."""
        waiting = set(self._outcomes.values())
        until: float | None = None
        try:
            while waiting and (until is None or time.monotonic() < until):
                done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                for name, state in list(self._bytes.items()):
                    stages.update(name, *state)
                failed = any(outcome.exception() is not None for outcome in done)
                if until is None and failed and self._stop.is_set():
                    until = time.monotonic() + _GRACE_S
                if until is not None:
                    waiting = {outcome for outcome in waiting if outcome.running()}
        except BaseException:
            # Also an interruption: what is on its way may write down what it has.
            self._stop.set()
            wait([one for one in waiting if one.running()], timeout=_GRACE_S)
            raise

    def _failures(self) -> dict[RemoteFile, TransferError]:
        """Why files failed; what is no failure of a transfer is a bug, and raised as it is."""
        failures = {}
        for file, outcome in self._outcomes.items():
            error = outcome.exception() if outcome.done() else None
            if isinstance(error, TransferError):
                failures[file] = error
            elif isinstance(error, StoppedError):
                if error.why is not None:
                    failures[file] = TransferError(error.why, common=True)
            elif error is not None:
                raise error
        return failures

    def _left(self, failed: Collection[RemoteFile]) -> list[RemoteFile]:
        return [
            file
            for file, outcome in self._outcomes.items()
            if file not in failed and (not outcome.done() or outcome.exception() is not None)
        ]

    def _error(
        self, failures: Mapping[RemoteFile, TransferError], left: Sequence[RemoteFile] = ()
    ) -> DownloadError:
        of = 1 if self.keep_going and not left and len(failures) == 1 else len(self._outcomes)
        lines = [f"{len(failures)} of {of} files can't be fetched:"]
        for file, failure in failures.items():
            lines.append(f"- {file.name} from {place_of(file, self._mirror)}: {failure}")
        if left:
            lines.append(
                f"Not fetched yet: {', '.join(file.name for file in left)}. The same command goes "
                f"on with {'it' if len(left) == 1 else 'them'}."
            )
        by_hand = [file.name for file, failure in failures.items() if failure.by_hand]
        if by_hand:
            it = "it" if len(by_hand) == 1 else "them"
            lines.append(
                f"If that doesn't pass, download {', '.join(by_hand)} by hand and put {it} into "
                f"{self.folder}, or hand in the folder that holds {it}: {self._hand_in}"
            )
        return DownloadError("\n".join(lines))


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
    pool = _Pool(folder, workspace.mirror, policy or RetryPolicy(), at_once=at_once)
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
    hand_in: str = _HAND_IN,
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
    pool = _Pool(
        folder,
        workspace.mirror,
        policy or RetryPolicy(),
        at_once=at_once,
        hand_in=hand_in,
        keep_going=True,
    )
    return _fetched(files, pool, workspace)


def _fetched(
    files: Sequence[RemoteFile], pool: _Pool, workspace: Workspace
) -> list[Path | DownloadError]:
    """Fetches files, and gives for each its path, or why it can't be fetched."""
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
