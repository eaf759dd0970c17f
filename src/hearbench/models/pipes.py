"""What comes out of another process: its answers, and the end of what it prints."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import IO

from hearbench.printable import printable

__all__ = ["Lines", "Tail"]

_LONGEST_LINE_BYTES = 4 << 20
_KEPT_BYTES = 16 << 10
_MOST_WAITING = 4
_SHOWN_LINES, _SHOWN_COLUMNS = 20, 300


class Lines:
    """Lines of a pipe, read by a thread of its own, so that waiting for one can end.

    Args:
        pipe: It is read until it ends.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        # Bounded, so that a process that writes without end waits instead of filling memory.
        self._queue: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._pipe = pipe
        self._dropping = False
        threading.Thread(target=self._read, name="hearbench-answers", daemon=True).start()

    def get(self, timeout_s: float) -> str | None:
        """The next line; None after the last.

        Raises:
            TimeoutError: None came in time.
        """
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None

    def finish(self) -> None:
        """Drops what no one has read, so that the thread can end with the pipe."""
        self._dropping = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def _read(self) -> None:
        with self._pipe as pipe:
            while line := pipe.readline(_LONGEST_LINE_BYTES):
                if not self._dropping:
                    self._queue.put(line.decode(errors="replace"))
        if not self._dropping:
            self._queue.put(None)


class Tail:
    """The end of what a pipe brings, in bounded memory.

    Args:
        pipe: It is read until it ends.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._kept = b""
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, name="hearbench-prints", daemon=True)
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Waits for the end of the pipe, which a process that outlives its parent may hold."""
        self._thread.join(timeout_s)

    def text(self, wanted: Callable[[str], bool] = bool) -> str:
        """The last lines, of those that are wanted, fit for a terminal."""
        lines = self._kept.decode(errors="replace").replace("\r", "\n").splitlines()
        shown = [printable(line).rstrip()[:_SHOWN_COLUMNS] for line in lines]
        return "\n".join([line for line in shown if line and wanted(line)][-_SHOWN_LINES:])

    def _read(self) -> None:
        with self._pipe as pipe:
            while chunk := pipe.read1(1 << 16):  # type: ignore[attr-defined]
                self._kept = (self._kept + chunk)[-_KEPT_BYTES:]
