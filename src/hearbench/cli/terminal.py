"""Answers on stdout; messages, warnings and log lines on stderr."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import typer

from hearbench.printable import printable

if TYPE_CHECKING:
    from rich.console import Console


__all__ = [
    "LogLines",
    "answer_json",
    "answer_line",
    "error_console",
    "say",
    "show_warning",
]


def error_console() -> Console:
    """Makes a console on stderr, as that is at the moment."""
    from hearbench.console import PlainConsole

    return PlainConsole(stderr=True)


def say(text: str) -> None:
    """Prints a line on stderr, without wrapping."""
    error_console().print(text, soft_wrap=True)


def answer_line(text: object) -> None:
    """Prints a line of the answer on stdout."""
    typer.echo(printable(str(text)))


class LogLines(logging.Handler):
    """Shows what is logged as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one message."""
        say(self.format(record))


def answer_json(value: Any) -> None:
    """Prints the answer as JSON on stdout; undefined numbers are null."""
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
    """Shows a warning in one line, where Python takes two."""
    text = " ".join(str(message).split())
    say(f"warning: {text[:200]}{'...' if len(text) > 200 else ''} ({filename}:{lineno})")
