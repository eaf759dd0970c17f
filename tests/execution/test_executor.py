"""Flows of units, driven in this process."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import pytest
from helpers_progress import Counts

from hearbench.errors import HearError
from hearbench.execution.exchange import Exchange, OneDisk
from hearbench.execution.executor import Flow, Outcome, ThisProcess, drive
from hearbench.execution.units import Unit
from hearbench.workspace import Workspace


@dataclass(frozen=True)
class Double:
    """Gives twice a number, and refuses odd ones beyond 100."""

    needs_device: ClassVar[bool] = False
    number: int

    def label(self) -> str:
        return f"twice {self.number}"

    def run(self, workspace: Workspace, exchange: Exchange) -> object:
        assert workspace.device == "cpu"
        assert isinstance(exchange, OneDisk)
        if self.number > 100:
            raise HearError(f"{self.number} is too much")
        if self.number < 0:
            raise ValueError("a bug")
        return 2 * self.number


class Backwards:
    """Runs the latest unit first, and counts."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.waiting: list[Unit] = []
        self.counts: Counter[Unit] = Counter()

    def submit(self, unit: Unit) -> None:
        self.waiting.append(unit)
        self.counts[unit] += 1

    def wait(self) -> tuple[Unit, Outcome]:
        unit = self.waiting.pop()
        try:
            return unit, Outcome(unit.run(self.workspace, OneDisk()))
        except HearError as error:
            return unit, Outcome(error=str(error))


def flow(start: int, steps: int, seen: list[tuple[int, ...]]) -> Flow:
    """Doubles a number and the next one, and goes on with their sum."""
    number = start
    for _ in range(steps):
        first, second = yield [Double(number), Double(number + 1)]
        assert isinstance(first, int)
        assert isinstance(second, int)
        seen.append((first, second))
        number = first + second


@pytest.mark.parametrize("backend", [ThisProcess, Backwards])
def test_values_come_back_in_order(
    backend: type[ThisProcess | Backwards], workspace: Workspace
) -> None:
    seen: list[tuple[int, ...]] = []
    told = Counts()
    errors = drive(backend(workspace), {"a": flow(1, 3, seen)}, told)
    # 1 -> 2 + 4 = 6 -> 12 + 14 = 26 -> 52 + 54.
    assert errors == {}
    assert seen == [(2, 4), (12, 14), (52, 54)]
    assert told == [(1, 2), (2, 4), (3, 4), (4, 6), (5, 6), (6, 6)]


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
    assert errors["early"] == errors["the same"] == "101 is too much"
    assert errors["late"] in {"106 is too much", "107 is too much"}


def test_no_units_at_all(workspace: Workspace) -> None:
    def nothing() -> Flow:
        values = yield []
        assert list(values) == []

    assert drive(ThisProcess(workspace), {1: nothing(), 2: nothing()}) == {}


def test_a_bug_is_raised(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="a bug"):
        drive(ThisProcess(workspace), {"a": flow(-1, 1, [])})
