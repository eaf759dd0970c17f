"""One evaluation shared by several processes on a common disk, as in a Slurm array."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from hearbench.digest import digest_json, short
from hearbench.errors import HearError
from hearbench.execution.executor import Context, Outcome, Step, outcome_of
from hearbench.locks import only_one
from hearbench.workspace import Workspace

__all__ = ["Shard", "shard_of"]

_LOOK_S = 0.5
_LOCKS = "execution"


class Shard:
    """One of several processes that run the same evaluation and share its steps.

    All of them need the same cache. Each begins at another place in the list of steps, takes steps
    that no other process has in hand, and waits for those that others have: so they may start at
    different times, or one after the other, and what a process that was killed had begun is done
    by another one. A step that is done already finds its result in the cache.

    Args:
        number: Which process this is, from 1.
        count: How many there are.
        workspace: The process's device and threads, and the cache that all share.
    """

    parallel = True

    def __init__(self, number: int, count: int, workspace: Workspace) -> None:
        self.context = Context(workspace)
        self._number = number
        self._count = count
        self._waiting: list[Step] = []

    def submit(self, step: Step) -> None:
        """Takes a step."""
        self._waiting.append(step)

    def wait(self) -> tuple[Step, Outcome]:
        """The next step that is done, by this process or another."""
        while True:
            for step in self._order():
                if step.at_home:
                    return self._done(step)
                lock = self.context.workspace.path(_LOCKS, f"{short(digest_json(repr(step)))}.lock")
                with only_one(lock, step.label()) as alone:
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


def shard_of(text: str) -> tuple[int, int]:
    """Number and count of shards from a text such as ``3/16``.

    Raises:
        HearError: The text is another.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise HearError(f"--shard {text}: use I/N, as 3/16 for the third of 16, or merge.")
    return int(match[1]), int(match[2])
