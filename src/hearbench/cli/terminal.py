"""What the user sees while something runs, all of it on stderr.

On a terminal there is a bar per stage; elsewhere a plain line per stage.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer

from hearbench.printable import printable
from hearbench.progress import TerminalProgress, Update

if TYPE_CHECKING:
    from rich.console import Console


__all__ = [
    "LogLines",
    "Reporter",
    "Steps",
    "answer_json",
    "answer_line",
    "error_console",
    "say",
    "show_warning",
]

TellDownload = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes done and, if known, those in all."""


def error_console() -> Console:
    """A console on stderr as it is now."""
    from hearbench.console import PlainConsole

    return PlainConsole(stderr=True)


def say(text: str) -> None:
    """A line on stderr, without wrapping."""
    error_console().print(text, soft_wrap=True)


def answer_line(text: object) -> None:
    """A line of the answer on stdout."""
    typer.echo(printable(str(text)))


class LogLines(logging.Handler):
    """Shows what is logged as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one message."""
        say(self.format(record))


def answer_json(value: Any) -> None:
    """The answer as JSON on stdout; undefined numbers are null."""
    from hearbench.files import json_safe

    sys.stdout.write(json.dumps(json_safe(value), indent=1, allow_nan=False) + "\n")


def show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - the signature is Python's
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """A warning as one line, in the place of Python's two."""
    text = " ".join(str(message).split())
    say(f"warning: {text[:200]}{'...' if len(text) > 200 else ''} ({filename}:{lineno})")


class Reporter(TerminalProgress):
    """Progress on stderr, with a method for each kind of callback of the library."""

    @contextmanager
    def files(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A stage that is counted in files; the line only appears once there is work."""
        with self.stage(what, "files") as update:
            yield update

    @contextmanager
    def rows(self, what: str) -> Iterator[Callable[[int], None]]:
        """A stage that counts rows without knowing how many there are."""
        with self.stage(what, "rows") as update:
            yield update

    @contextmanager
    def lines(self, what: str) -> Iterator[Callable[[str], None]]:
        """A stage of which another program tells in lines; only the latest is shown."""
        with self.stage(what) as update:
            update(0)
            yield lambda text: update(0, text=text.strip())

    @contextmanager
    def checks(self, what: str) -> Iterator[Callable[[int, int, str], None]]:
        """A stage of steps that have names."""
        with self.stage(what) as update:
            yield update

    @contextmanager
    def downloads(self, what: str) -> Iterator[TellDownload]:
        """Files that are downloaded at the same time, counted in bytes."""
        updates: dict[str, Update] = {}
        with contextlib.ExitStack() as running:

            def tell(name: str, done: int, total: int | None) -> None:
                if name not in updates:
                    stage = self.stage(f"{what} {name}", "bytes")
                    updates[name] = running.enter_context(stage)
                    updates[name](0)
                updates[name](done, total)

            yield tell

    @contextmanager
    def steps(self) -> Iterator[Steps]:
        """Stages that follow each other, of which a library says which comes when."""
        with contextlib.ExitStack() as running:
            yield Steps(self, running)


class Steps:
    """Stages that begin when they are first told something, each ending the one before.

    Args:
        reporter: Who shows them.
        running: Holds the one that runs.
    """

    def __init__(self, reporter: Reporter, running: contextlib.ExitStack) -> None:
        self._reporter = reporter
        self._running = running

    def files(self, what: str) -> Callable[[int, int], None]:
        """A stage that is counted in files or bytes."""
        update: Callable[[int, int], None] | None = None

        def tell(done: int, total: int) -> None:
            nonlocal update
            if update is None:
                self._running.close()
                update = self._running.enter_context(self._reporter.files(what))
            update(done, total)

        return tell

    def rows(self, what: str) -> Callable[[int], None]:
        """A stage that counts rows without knowing how many there are."""
        update: Callable[[int], None] | None = None

        def tell(count: int) -> None:
            nonlocal update
            if update is None:
                self._running.close()
                update = self._running.enter_context(self._reporter.rows(what))
            update(count)

        return tell

    def downloads(self, what: str) -> TellDownload:
        """A stage of downloads."""
        update: TellDownload | None = None

        def tell(name: str, done: int, total: int | None) -> None:
            nonlocal update
            if update is None:
                self._running.close()
                update = self._running.enter_context(self._reporter.downloads(what))
            update(name, done, total)

        return tell
