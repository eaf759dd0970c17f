"""One evaluation shared by several processes, as in a Slurm array, on a common disk or by a URL."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from hearbench.digest import digest_json, short
from hearbench.errors import HearError
from hearbench.execution.executor import Context, Outcome, Step, outcome_of
from hearbench.execution.remote_cache import UrlExchange
from hearbench.locks import only_one
from hearbench.workspace import Workspace

__all__ = ["Shard", "shard_of"]

_LOOK_S = 0.5
_LOCKS = "execution"
# Whoever has a step in hand by a URL says so again and again, and is taken for lost if it doesn't.
_BEAT_S, _LOST_S = 10.0, 60.0


class Shard:
    """One of several processes that run the same evaluation and share its steps.

    Each begins at another place in the list of steps, takes steps that no other process has in
    hand, and waits for those that others have: so they may start at different times, or one after
    the other, and what a process that was killed had begun is done by another one. A step that is
    done already finds its result in the cache, or by the URL.

    Args:
        number: Which process this is, from 1.
        workspace: The process's device and threads, and the cache: all have the same one, unless
            there is an exchange.
        exchange: By what processes with caches of their own get what others have made. Each of
            them then writes all results.
    """

    parallel = True

    def __init__(
        self, number: int, count: int, workspace: Workspace, exchange: UrlExchange | None = None
    ) -> None:
        self.context = Context(workspace, exchange)
        self._number = number
        self._count = count
        self._waiting: list[Step] = []
        self._claims: _Claims = _Locks(workspace) if exchange is None else _Notes(exchange)

    def submit(self, step: Step) -> None:
        """Takes a step."""
        self._waiting.append(step)

    def wait(self) -> tuple[Step, Outcome]:
        """The next step that is done, by this process or another."""
        while True:
            for step in self._order():
                if step.at_home:
                    return self._done(step)
                with self._claims.claimed(short(digest_json(repr(step))), step.label()) as alone:
                    if alone:
                        return self._done(step)
            time.sleep(_LOOK_S)

    def _order(self) -> Sequence[Step]:
        """Steps from where this shard begins; at last what only ends an evaluation."""
        begin = (self._number - 1) * len(self._waiting) // self._count
        turned = [*self._waiting[begin:], *self._waiting[:begin]]
        return sorted(turned, key=lambda step: step.at_home)

    def _done(self, step: Step) -> tuple[Step, Outcome]:
        self._waiting.remove(step)
        return step, outcome_of(step, self.context)


class _Claims(Protocol):
    """Says which steps are in a process's hands."""

    def claimed(self, name: str, label: str) -> AbstractContextManager[bool]:
        """Tries to have a step in hand while the block runs; yields whether this process has it."""
        ...


class _Locks:
    """Claims of processes that see the same cache."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def claimed(self, name: str, label: str) -> AbstractContextManager[bool]:
        """Holds a lock, which ends with its process."""
        return only_one(self._workspace.path(_LOCKS, f"{name}.lock"), label)


class _Notes:
    """Claims of processes that share nothing but a URL.

    There are no locks at most such places. Two processes that look at the same moment may both have
    a step, which costs time and nothing else, as a step may run twice. No two clocks are compared:
    a claim is given up when it hasn't changed for a while by the clock of whoever looks at it.
    """

    def __init__(self, exchange: UrlExchange) -> None:
        self._exchange = exchange
        self._seen: dict[str, tuple[str, float]] = {}

    @contextmanager
    def claimed(self, name: str, label: str) -> Iterator[bool]:
        """Leaves a note that is written again and again."""
        place = f"{_LOCKS}/{name}"
        if not self._is_free(place):
            yield False
            return
        own = f"{uuid.uuid4().hex} {label}"
        self._exchange.write_note(place, own)
        if self._exchange.note(place) != own:
            yield False
            return
        done = threading.Event()
        beating = threading.Thread(target=self._beat, args=(place, own, done), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            done.set()
            beating.join()
            # What stays is taken for a lost process's, and keeps others waiting for a minute.
            with suppress(HearError):
                self._exchange.remove_note(place)

    def _is_free(self, place: str) -> bool:
        note, now = self._exchange.note(place), time.monotonic()
        if note is None:
            self._seen.pop(place, None)
            return True
        if self._seen.get(place, ("", now))[0] != note:
            self._seen[place] = note, now
        return now - self._seen[place][1] > _LOST_S

    def _beat(self, place: str, own: str, done: threading.Event) -> None:
        beats = 0
        while not done.wait(_BEAT_S):
            beats += 1
            # At worst another process takes this one for lost, and does the same.
            with suppress(HearError):
                self._exchange.write_note(place, f"{own} {beats}")


def shard_of(text: str) -> tuple[int, int]:
    """Number and count of shards from a text such as ``3/16``.

    Raises:
        HearError: The text is another.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise HearError(f"--shard {text}: use I/N, as 3/16 for the third of 16, or merge.")
    return int(match[1]), int(match[2])
