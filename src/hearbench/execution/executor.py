"""Running the steps of long work: what a step is, who runs it, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from hearbench.execution.remote_cache import Exchange, OneDisk
from hearbench.progress import Progress
from hearbench.workspace import Workspace

__all__ = ["Context", "Executor", "Flow", "InProcess", "Outcome", "Step", "drive", "outcome_of"]

T = TypeVar("T")


class Context:
    """What the steps that a process runs have in common, and keep for each other.

    Args:
        workspace: The process's cache, device and threads.
        exchange: Where processes that don't share a cache get from and leave for each other.
    """

    def __init__(self, workspace: Workspace, exchange: Exchange | None = None) -> None:
        self.workspace = workspace
        self.exchange = exchange or OneDisk()
        self._lent: dict[Hashable, Any] = {}
        self._held: dict[str, tuple[Hashable, Any]] = {}

    def lend(self, key: Hashable, value: object) -> None:
        """Gives steps what this process has already, by the key under which they ask for it."""
        self._lent[key] = value

    def held(self, what: str, key: Hashable, make: Callable[[], T]) -> T:
        """What was lent or made under a key; made if this process holds another of the kind.

        Of each kind one thing is held, as models are large: the one before it is closed.

        Args:
            what: The kind, as ``model``.
            key: Which one.
        """
        if key in self._lent:
            lent: T = self._lent[key]
            return lent
        if what not in self._held or self._held[what][0] != key:
            self.release(what)
            self._held[what] = key, make()
        value: T = self._held[what][1]
        return value

    def release(self, what: str) -> None:
        """Closes what is held of a kind, if anything is."""
        _, value = self._held.pop(what, (None, None))
        if hasattr(value, "close"):
            value.close()

    def close(self) -> None:
        """Closes all that is held; what was lent is its owner's."""
        for what in list(self._held):
            self.release(what)


class Step(Protocol):
    """A part of long work, described by names so that any process can do it.

    Steps are compared and hashed. One may run twice, at once or one after the other, as after a
    node is lost: what it writes is the same, and appears whole.
    """

    needs_device: ClassVar[bool]
    """Whether it computes on the device, as opposed to reading and writing files."""
    at_home: ClassVar[bool]
    """Whether only the process that started the work can do it."""

    def label(self) -> str:
        """What it does, in a few words."""
        ...

    def run(self, context: Context) -> object:
        """Does it.

        Returns:
            Something small that can be pickled, unless it is done at home.

        Raises:
            HearError: It can't be done, here or elsewhere.
        """
        ...


Flow = Generator[Sequence[Step], Sequence[object], None]
"""Work whose steps follow each other: yields steps that may run at the same time, and is sent what
they returned, in their order."""


@dataclass(frozen=True)
class Outcome:
    """What came of a step.

    Attributes:
        error: Why it couldn't be done; None if it was.
    """

    value: object = None
    error: Exception | None = None


class Executor(Protocol):
    """Runs steps, in any order and any number at a time."""

    context: Context
    """That of this process."""
    parallel: bool
    """Whether steps run side by side, so that work should be divided into many."""

    def submit(self, step: Step) -> None:
        """Takes a step; may return before it is done."""
        ...

    def wait(self) -> tuple[Step, Outcome]:
        """The next step that is done, of those submitted; there must be one."""
        ...


def outcome_of(step: Step, context: Context) -> Outcome:
    """Runs a step in this process."""
    try:
        return Outcome(step.run(context))
    except Exception as error:  # noqa: BLE001 - whoever started the work tells it
        return Outcome(error=error)


class InProcess:
    """Runs steps in this process, one after the other.

    Args:
        workspace: The process's cache, device and threads.
        exchange: Where other processes get from and leave what they make.
    """

    parallel = False

    def __init__(self, workspace: Workspace, exchange: Exchange | None = None) -> None:
        self.context = Context(workspace, exchange)
        self._waiting: deque[Step] = deque()

    def submit(self, step: Step) -> None:
        """Takes a step."""
        self._waiting.append(step)

    def wait(self) -> tuple[Step, Outcome]:
        """Runs the oldest."""
        step = self._waiting.popleft()
        return step, outcome_of(step, self.context)


K = TypeVar("K", bound=Hashable)


def drive(
    executor: Executor, flows: Mapping[K, Flow], what: str | None = None
) -> dict[K, Exception]:
    """Runs flows side by side, each step as soon as the one before it is done.

    A step that several flows ask for runs once. A flow ends with its first step that fails; the
    others go on.

    Args:
        what: What is shown as a stage of its own, counted in steps; None shows nothing.

    Returns:
        Why those ended early that did, by name.
    """
    driving = _Driving(executor, dict(flows))
    silent = Progress()
    progress = silent if what is None else executor.context.workspace.progress
    try:
        with progress.stage(what or "") as update:
            for key in flows:
                driving.proceed(key, None)
            while driving.running:
                step, outcome = executor.wait()
                driving.settle(step, outcome)
                done = len(driving.done)
                update(done, done + len(driving.running), step.label())
    finally:
        # What a flow holds, as a lock, it holds no longer than this.
        for flow in flows.values():
            flow.close()
    return driving.errors


@dataclass
class _Driving(Generic[K]):
    """Flows, what each waits for, and what is known of steps."""

    executor: Executor
    flows: dict[K, Flow]
    waiting: dict[K, Sequence[Step]] = field(default_factory=dict)
    done: dict[Step, Outcome] = field(default_factory=dict)
    running: set[Step] = field(default_factory=set)
    errors: dict[K, Exception] = field(default_factory=dict)

    def settle(self, step: Step, outcome: Outcome) -> None:
        """Takes note of a step that is done, and goes on with what waited for it alone."""
        self.running.discard(step)
        self.done[step] = outcome
        for key, steps in list(self.waiting.items()):
            if step not in steps:
                continue
            if outcome.error is not None:
                self._fail(key, outcome.error)
            elif all(other in self.done for other in steps):
                self.proceed(key, [self.done[other].value for other in steps])

    def proceed(self, key: K, values: Sequence[object] | None) -> None:
        """Goes on with a flow until it waits for something, or ends."""
        flow = self.flows[key]
        while True:
            try:
                steps = tuple(next(flow) if values is None else flow.send(values))
            except StopIteration:
                self.waiting.pop(key, None)
                return
            except Exception as error:  # noqa: BLE001 - told with those of steps
                self._fail(key, error)
                return
            for step in dict.fromkeys(steps):
                if step not in self.done and step not in self.running:
                    self.running.add(step)
                    self.executor.submit(step)
            known = [self.done[step] for step in steps if step in self.done]
            failed = next((outcome.error for outcome in known if outcome.error), None)
            if failed is not None:
                self._fail(key, failed)
                return
            if any(step not in self.done for step in steps):
                self.waiting[key] = steps
                return
            values = [self.done[step].value for step in steps]

    def _fail(self, key: K, error: Exception) -> None:
        self.errors[key] = error
        self.flows[key].close()
        self.waiting.pop(key, None)
