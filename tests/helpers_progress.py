"""Progress that is noted, and that may interrupt what it is told by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from hearbench.progress import Progress, Update
from hearbench.workspace import Workspace


class State(NamedTuple):
    """How far a stage was."""

    stage: str
    done: int
    total: int | None
    text: str


class Noted(Progress):
    """Keeps all that it is told.

    Args:
        hook: Called with every state; what it raises comes out of the function that told it.
    """

    def __init__(self, hook: Callable[[State], object] = lambda _state: None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.opened: list[str] = []
        self.states: list[State] = []
        self._hook = hook

    def line(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def stage(self, what: str, unit: str = "", total: int | None = None) -> Iterator[Update]:  # noqa: ARG002
        in_all = total
        self.opened.append(what)

        def update(done: int, total: int | None = None, text: str = "") -> None:
            state = State(what, done, in_all if total is None else total, text)
            self.states.append(state)
            self._hook(state)

        yield update

    @property
    def counts(self) -> list[tuple[int, int | None]]:
        """What was done and in all, state by state."""
        return [(state.done, state.total) for state in self.states]

    @property
    def stages(self) -> list[str]:
        """Stages with any news, in the order of the first."""
        return list(dict.fromkeys(state.stage for state in self.states))


class StoppedError(Exception):
    """What stops a function in a test."""


def stopping(workspace: Workspace, after: int) -> Workspace:
    """A workspace whose progress raises `StoppedError` when it is told the n-th state."""

    def stop(_state: State) -> None:
        if len(noted.states) == after:
            raise StoppedError

    noted = Noted(stop)
    return noting(workspace, noted)


class Counts(list[tuple[int, int | None]]):
    """An update that keeps what was done and in all."""

    def __call__(self, done: int, total: int | None = None, text: str = "") -> None:  # noqa: ARG002
        self.append((done, total))


def noting(workspace: Workspace, progress: Progress) -> Workspace:
    """A workspace whose progress goes elsewhere."""
    return replace(workspace, progress=progress)
