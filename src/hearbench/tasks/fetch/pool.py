"""Threads that fetch several files into a folder."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from hearbench.errors import DownloadError
from hearbench.progress import Progress, Update
from hearbench.tasks.fetch.remote import (
    RemoteFile,
    RetryPolicy,
    StoppedError,
    TransferError,
    place_of,
)
from hearbench.tasks.fetch.transfer import Transfer

__all__ = ["HAND_IN", "Pool"]

# The command that takes files downloaded by hand, unless another is named.
HAND_IN = "hearbench prepare TASK --corpus-dir DIR"
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


class Pool:
    """Threads that fetch files into a folder.

    They are daemons and not a ThreadPoolExecutor's, which Python waits for at its end: after an
    interruption from the keyboard no one should have to wait for a server that stalls.

    Args:
        folder: An existing folder.
        mirror: An address that replaces the files' own, if any.
        policy: When to try again.
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
        hand_in: str = HAND_IN,
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
