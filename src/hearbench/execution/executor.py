"""The interface of what runs units, and the backend that is this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from hearbench.errors import HearError
from hearbench.execution.exchange import Exchange, OneDisk
from hearbench.execution.units import Unit
from hearbench.progress import Update
from hearbench.workspace import Workspace

__all__ = ["Executor", "Flow", "Outcome", "ThisProcess", "drive", "outcome_of"]

Flow = Generator[Sequence[Unit], Sequence[object], None]
"""What is to be done one after the other: yields units that may run at the same time, and is
sent what they gave, in their order."""


@dataclass(frozen=True)
class Outcome:
    """What came of a unit.

    Attributes:
        value: What it gave.
        error: Why it couldn't be done; None if it was.
    """

    value: object = None
    error: str | None = None


class Executor(Protocol):
    """Runs units, in any order and any number at a time."""

    def submit(self, unit: Unit) -> None:
        """Takes a unit; returns before it is done."""
        ...

    def wait(self) -> tuple[Unit, Outcome]:
        """The next unit that is done, of those submitted; there must be one."""
        ...


class ThisProcess:
    """Runs units in this process, one after the other.

    Args:
        workspace: For the units.
        exchange: Likewise.
    """

    def __init__(self, workspace: Workspace, exchange: Exchange | None = None) -> None:
        self._workspace = workspace
        self._exchange = exchange or OneDisk()
        self._waiting: deque[Unit] = deque()

    def submit(self, unit: Unit) -> None:
        """Takes a unit."""
        self._waiting.append(unit)

    def wait(self) -> tuple[Unit, Outcome]:
        """Runs the oldest."""
        unit = self._waiting.popleft()
        return unit, outcome_of(unit, self._workspace, self._exchange)


def outcome_of(unit: Unit, workspace: Workspace, exchange: Exchange) -> Outcome:
    """Runs a unit here; what the user can mend becomes a message, and the rest is raised."""
    try:
        return Outcome(unit.run(workspace, exchange))
    except HearError as error:
        return Outcome(error=str(error))


K = TypeVar("K", bound=Hashable)


def drive(
    executor: Executor, flows: Mapping[K, Flow], update: Update | None = None
) -> dict[K, str]:
    """Runs flows side by side, each step as soon as the one before it is done.

    A unit that several flows ask for runs once.

    Args:
        executor: Runs the units.
        flows: By name.
        update: Receives the units done, those known so far, and what the latest did.

    Returns:
        Why those ended early that did, by name. A flow ends with its first unit that fails; the
        others go on.
    """
    driving = _Driving(executor, dict(flows))
    for key in flows:
        driving.proceed(key, None)
    while driving.running:
        unit, outcome = executor.wait()
        driving.settle(unit, outcome)
        if update is not None:
            update(len(driving.done), len(driving.done) + len(driving.running), unit.label())
    return driving.errors


@dataclass
class _Driving(Generic[K]):
    """Flows, what each waits for, and what is known of units."""

    executor: Executor
    flows: dict[K, Flow]
    steps: dict[K, Sequence[Unit]] = field(default_factory=dict)
    done: dict[Unit, Outcome] = field(default_factory=dict)
    running: set[Unit] = field(default_factory=set)
    errors: dict[K, str] = field(default_factory=dict)

    def settle(self, unit: Unit, outcome: Outcome) -> None:
        """Takes note of a unit that is done, and goes on with what waited for it alone."""
        self.running.discard(unit)
        self.done[unit] = outcome
        for key, step in list(self.steps.items()):
            if unit not in step:
                continue
            if outcome.error is not None:
                self._fail(key, outcome.error)
            elif all(other in self.done for other in step):
                self.proceed(key, [self.done[other].value for other in step])

    def proceed(self, key: K, values: Sequence[object] | None) -> None:
        """Goes on with a flow until it waits for something, or ends."""
        flow = self.flows[key]
        while True:
            try:
                step = tuple(next(flow) if values is None else flow.send(values))
            except StopIteration:
                self.steps.pop(key, None)
                return
            for unit in dict.fromkeys(step):
                if unit not in self.done and unit not in self.running:
                    self.running.add(unit)
                    self.executor.submit(unit)
            failed = [self.done[unit] for unit in step if unit in self.done]
            error = next((outcome.error for outcome in failed if outcome.error), None)
            if error is not None:
                self._fail(key, error)
                return
            if any(unit not in self.done for unit in step):
                self.steps[key] = step
                return
            values = [self.done[unit].value for unit in step]

    def _fail(self, key: K, error: str) -> None:
        self.errors[key] = error
        self.flows[key].close()
        self.steps.pop(key, None)
