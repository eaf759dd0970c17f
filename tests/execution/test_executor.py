"""Flows of steps, driven in this process, and what a process's steps share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import pytest
from helpers_progress import Noted, noting

from hearbench.errors import HearError
from hearbench.execution.executor import (
    Context,
    Flow,
    InProcess,
    Outcome,
    Step,
    drive,
    outcome_of,
)
from hearbench.execution.remote_cache import OneDisk
from hearbench.workspace import Workspace


@dataclass(frozen=True)
class Double:
    """Gives twice a number, and refuses those beyond 100."""

    needs_device: ClassVar[bool] = False
    at_home: ClassVar[bool] = False
    number: int

    def label(self) -> str:
        return f"twice {self.number}"

    def run(self, context: Context) -> object:
        assert context.workspace.device == "cpu"
        assert isinstance(context.exchange, OneDisk)
        if self.number > 100:
            raise HearError(f"{self.number} is too much")
        if self.number < 0:
            raise ValueError("a bug")
        return 2 * self.number


class Backwards:
    """Runs the latest step first, and counts."""

    parallel = False

    def __init__(self, workspace: Workspace) -> None:
        self.context = Context(workspace)
        self.waiting: list[Step] = []
        self.counts: Counter[Step] = Counter()

    def submit(self, step: Step) -> None:
        self.waiting.append(step)
        self.counts[step] += 1

    def wait(self) -> tuple[Step, Outcome]:
        step = self.waiting.pop()
        return step, outcome_of(step, self.context)


def flow(start: int, steps: int, seen: list[tuple[int, ...]]) -> Flow:
    """Doubles a number and the next one, and goes on with their sum."""
    number = start
    for _ in range(steps):
        first, second = yield [Double(number), Double(number + 1)]
        assert isinstance(first, int)
        assert isinstance(second, int)
        seen.append((first, second))
        number = first + second


@pytest.mark.parametrize("backend", [InProcess, Backwards])
def test_values_come_back_in_order(
    backend: type[InProcess | Backwards], workspace: Workspace
) -> None:
    seen: list[tuple[int, ...]] = []
    progress = Noted()
    errors = drive(backend(noting(workspace, progress)), {"a": flow(1, 3, seen)}, "doubling")
    # 1 -> 2 + 4 = 6 -> 12 + 14 = 26 -> 52 + 54.
    assert errors == {}
    assert seen == [(2, 4), (12, 14), (52, 54)]
    assert progress.counts == [(1, 2), (2, 4), (3, 4), (4, 6), (5, 6), (6, 6)]
    assert progress.stages == ["doubling"]
    assert {state.text for state in progress.states} == {
        f"twice {number}" for number in (1, 2, 6, 7, 26, 27)
    }


def test_a_stage_is_shown_only_if_it_is_named(workspace: Workspace) -> None:
    progress = Noted()
    assert drive(InProcess(noting(workspace, progress)), {"a": flow(1, 1, [])}) == {}
    assert progress.opened == []


def test_what_several_ask_for_runs_once(workspace: Workspace) -> None:
    executor = Backwards(workspace)
    seen: list[tuple[int, ...]] = []
    errors = drive(executor, {i: flow(1, 2, seen) for i in range(3)})
    assert errors == {}
    assert seen == [(2, 4)] * 3 + [(12, 14)] * 3
    assert set(executor.counts.values()) == {1}
    assert set(executor.counts) == {Double(1), Double(2), Double(6), Double(7)}


def test_a_flow_that_fails_stops_no_other(workspace: Workspace) -> None:
    seen: list[tuple[int, ...]] = []
    bad: list[tuple[int, ...]] = []
    flows = {
        "good": flow(3, 2, seen),
        "late": flow(1, 9, bad),
        "early": flow(100, 1, bad),
        "the same": flow(100, 1, bad),
    }
    errors = drive(Backwards(workspace), flows)
    assert seen == [(6, 8), (28, 30)]
    # 1 -> 6 -> 26 -> 106, which is too much.
    assert bad == [(2, 4), (12, 14), (52, 54)]
    assert errors.keys() == {"late", "early", "the same"}
    assert all(type(error) is HearError for error in errors.values())
    assert str(errors["early"]) == str(errors["the same"]) == "101 is too much"
    assert str(errors["late"]) in {"106 is too much", "107 is too much"}


def test_no_steps_at_all(workspace: Workspace) -> None:
    def nothing() -> Flow:
        values = yield []
        assert list(values) == []

    assert drive(InProcess(workspace), {1: nothing(), 2: nothing()}) == {}


def test_bugs_come_back_as_they_are(workspace: Workspace) -> None:
    def broken() -> Flow:
        yield [Double(1)]
        raise RuntimeError("a bug between steps")

    seen: list[tuple[int, ...]] = []
    flows = {"step": flow(-1, 1, []), "flow": broken(), "good": flow(1, 1, seen)}
    errors = drive(InProcess(workspace), flows)
    assert {key: repr(error) for key, error in errors.items()} == {
        "step": "ValueError('a bug')",
        "flow": "RuntimeError('a bug between steps')",
    }
    assert errors["step"].__traceback__ is not None
    assert seen == [(2, 4)]


def test_what_a_flow_holds_is_let_go(workspace: Workspace) -> None:
    let_go: list[str] = []

    def holding(name: str, number: int) -> Flow:
        try:
            yield [Double(number)]
            yield [Double(number)]
        finally:
            let_go.append(name)

    class Interrupted(InProcess):
        def wait(self) -> tuple[Step, Outcome]:
            raise KeyboardInterrupt

    flows = {"fails": holding("fails", 101), "ends": holding("ends", 1)}
    assert drive(InProcess(workspace), flows).keys() == {"fails"}
    assert let_go == ["fails", "ends"]
    with pytest.raises(KeyboardInterrupt):
        drive(Interrupted(workspace), {"interrupted": holding("interrupted", 1)})
    assert let_go == ["fails", "ends", "interrupted"]


class Thing:
    """Something that is closed once."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_context_holds_one_thing_of_a_kind(workspace: Workspace) -> None:
    context = Context(workspace)
    one, other, lent = Thing(), Thing(), Thing()
    assert context.held("model", 1, lambda: one) is one
    assert context.held("model", 1, lambda: other) is one
    assert context.held("task", 2, lambda: other) is other
    # What was lent is its owner's, and takes no other's place.
    context.lend(3, lent)
    assert context.held("model", 3, Thing) is lent
    assert one.closed == 0
    new = context.held("model", 4, Thing)
    assert (one.closed, other.closed, new.closed) == (1, 0, 0)
    context.close()
    assert (one.closed, other.closed, new.closed, lent.closed) == (1, 1, 1, 0)
    assert context.held("model", 4, Thing) is not new
