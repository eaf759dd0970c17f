"""Progress: messages and stages of work, shown as bars, as log lines or not at all.

Library functions open a stage, and say how far it is; who shows it is a property of the
`Workspace`::

    with workspace.progress.stage("birds: resampling to 16000 Hz", "files") as update:
        for done, path in enumerate(paths, 1):
            ...
            update(done, len(paths))
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from hearbench.amounts import data_size, duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["SILENT", "LogProgress", "Progress", "TerminalProgress", "Update", "default_progress"]


class Update(Protocol):
    """Says how far a stage is; may be called from any thread."""

    def __call__(self, done: int, total: int | None = None, text: str = "") -> None:
        """Shows that so much is done.

        Args:
            done: In the stage's unit.
            total: What there is in all; None where it is as the stage began, or unknown.
            text: What goes on at the moment.
        """


class Progress:
    """Receives messages and stages; this one shows none of them, and others derive from it.

    Several stages may be open at once. One that is sent to another process is silent there.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def line(self, text: str) -> None:
        """Shows a message that stays."""

    def once(self, text: str) -> None:
        """Shows a message that stays, unless it was shown before."""
        if text not in self._said:
            self._said.add(text)
            self.line(text)

    @contextmanager
    def stage(
        self,
        what: str,  # noqa: ARG002
        unit: str = "",  # noqa: ARG002
        total: int | None = None,  # noqa: ARG002
    ) -> Iterator[Update]:
        """A stage of work, which ends with the block.

        Args:
            what: A short title, as ``"birds: decoding"``.
            unit: What is counted, in the plural, as ``"clips"``; ``"bytes"`` are shown as sizes
                with their speed. Empty where the count says little: then it isn't shown as text.
            total: How many there are in all, if that is known.
        """
        yield _ignore

    def __reduce__(self) -> tuple[Any, ...]:
        return Progress, ()


def _ignore(done: int, total: int | None = None, text: str = "") -> None:
    """An update of a stage that isn't shown."""


SILENT = Progress()
"""Shows nothing."""


class LogProgress(Progress):
    """Writes messages and stages to a log, at level INFO.

    A stage is written once there is work, and then again at most every so many seconds.

    Args:
        logger: By default that named ``hearbench``.
        every_s: Seconds between two lines of a stage.
    """

    def __init__(self, logger: logging.Logger | None = None, *, every_s: float = 10.0) -> None:
        super().__init__()
        self._logger = logger or logging.getLogger("hearbench")
        self._every_s = every_s

    def line(self, text: str) -> None:
        """Logs a message."""
        self._logger.info("%s", text)

    @contextmanager
    def stage(self, what: str, unit: str = "", total: int | None = None) -> Iterator[Update]:
        """A stage as log lines; see `Progress.stage`."""
        in_all, next_s = total, 0.0
        lock = threading.Lock()

        def update(done: int, total: int | None = None, text: str = "") -> None:
            nonlocal next_s
            total = in_all if total is None else total
            with lock:
                if time.monotonic() < next_s or not (next_s or _is_work(done, total)):
                    return
                next_s = time.monotonic() + self._every_s
            bare = f"{done}/{total}" if total else ""
            shown = ", ".join(part for part in (_count(done, total, unit) or bare, text) if part)
            self.line(f"{what}: {shown}" if shown else what)

        yield update


class TerminalProgress(Progress):
    """Shows stages as bars on a terminal or in a notebook, and elsewhere as one line each.

    Args:
        console: Where; by default stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._given_console = console
        self._lock = threading.RLock()
        self._bars: Bars | None = None

    @property
    def _console(self) -> Console:
        if self._given_console is None:
            from hearbench.console import PlainConsole

            self._given_console = PlainConsole(stderr=True)
        return self._given_console

    def line(self, text: str) -> None:
        """Shows a line, which isn't wrapped."""
        self._console.print(text, soft_wrap=True)

    @contextmanager
    def stage(self, what: str, unit: str = "", total: int | None = None) -> Iterator[Update]:
        """A stage as a bar; as a line, once there is work, where no bar can be drawn."""
        if not self._draws():
            yield self._announcing(what, total)
            return
        bars, bar = self._open(what, unit, total)
        try:

            def update(done: int, total: int | None = None, text: str = "") -> None:
                with contextlib.suppress(KeyError):  # of a thread that ends after the stage
                    bars.update(bar, completed=done, total=total, text=text)

            yield update
        finally:
            self._close(bar)

    def _draws(self) -> bool:
        console = self._console
        # rich draws in notebooks by means of widgets.
        widgets = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
        return console.is_terminal or widgets

    def _announcing(self, what: str, in_all: int | None) -> Update:
        announced = threading.Lock()

        def announce(done: int, total: int | None = None, text: str = "") -> None:  # noqa: ARG001
            due = _is_work(done, in_all if total is None else total)
            if due and announced.acquire(blocking=False):
                self.line(what)

        return announce

    def _open(self, what: str, unit: str, total: int | None) -> tuple[Bars, TaskID]:
        with self._lock:
            if self._bars is None:
                self._bars = _new_bars(self._console)
                self._bars.start()
            return self._bars, self._bars.add_task(what, total=total, unit=unit, text="")

    def _close(self, bar: TaskID) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.remove_task(bar)
                if not self._bars.task_ids:
                    self._bars.stop()
                    self._bars = None


def default_progress() -> Progress:
    """Bars on a terminal or in a notebook, and log lines elsewhere."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return TerminalProgress() if terminal or "ipykernel" in sys.modules else LogProgress()


def _is_work(done: int, total: int | None) -> bool:
    return total is None or done < total


def _count(done: float, total: float | None, unit: str) -> str:
    """As ``3/12 clips``, ``300 rows`` or ``1.2 of 5 MB``; nothing without a unit."""
    if not unit:
        return ""
    if unit == "bytes":
        return data_size(done) + (f" of {data_size(total)}" if total is not None else "")
    return f"{done:.0f}{f'/{total:.0f}' if total is not None else ''} {unit}".rstrip()


def _new_bars(console: Console) -> Bars:
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class HowFar(ProgressColumn):
        def render(self, task: Task) -> Text:
            unit, parts = task.fields["unit"], [task.fields["text"]]
            if unit == "bytes":
                left_s = task.time_remaining
                parts.append(f"{data_size(task.speed)}/s" if task.speed else "")
                parts.append(f"{duration(left_s)} left" if left_s else "")
            # Before the first update there is nothing to count.
            count = _count(task.completed, task.total, unit) if task.total or task.completed else ""
            shown = ", ".join(part for part in (count, *parts) if part)
            return Text(shown, no_wrap=True, overflow="ellipsis")

    def whole() -> Column:
        return Column(no_wrap=True)

    # Where there is little room, what goes on is cut short, and nothing else.
    return Progress(
        SpinnerColumn(table_column=whole()),
        TextColumn("{task.description}", markup=False, table_column=whole()),
        BarColumn(bar_width=20, table_column=whole()),
        HowFar(),
        TimeElapsedColumn(table_column=whole()),
        console=console,
        transient=True,
    )
