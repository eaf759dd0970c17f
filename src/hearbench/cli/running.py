"""Ends of verbs: exit codes, messages instead of tracebacks, and a stdout for answers alone."""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from hearbench.cli.option_groups import expand_groups
from hearbench.cli.terminal import say
from hearbench.errors import HearError

__all__ = ["BAD_INPUT", "INTERRUPTED", "answers_only", "interrupted", "verb"]

# Exit codes: what the user can mend; 128 and the number of SIGINT.
BAD_INPUT = 2
INTERRUPTED = 130


def verb(*examples: str, options: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turns the errors of a verb into messages and exit codes, and adds examples to its help.

    Args:
        *examples: Commands that the help shows.
        options: Names of options in the order of the help; see `expand_groups`.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        wrapped = _ending(expand_groups(function, options))
        title = "Example:" if len(examples) == 1 else "Examples:"
        lines = "\n".join(f"  {line}" for example in examples for line in example.split("\n"))
        # The control character keeps a paragraph's lines as they are.
        wrapped.__doc__ = f"{inspect.getdoc(function)}\n\n\b\n{title}\n{lines}"
        return wrapped

    return decorate


def _ending(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def wrapped(**kwargs: Any) -> None:
        try:
            function(**kwargs)
        except HearError as error:
            say(f"error: {error}")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            interrupted()
            raise typer.Exit(INTERRUPTED) from error
        except OSError as error:
            described = _described(error, kwargs)
            if described is None:
                raise
            say(f"error: {described.filename}: {described.strerror}.")
            raise typer.Exit(BAD_INPUT) from error

    return wrapped


def _described(error: OSError, options: Mapping[str, object]) -> OSError | None:
    """An error of the user's system in words for the user; None where a bug may be the cause."""
    from hearbench.files import DiskError, disk_error, system_error
    from hearbench.workspace import Workspace, user_path

    if isinstance(error, DiskError):
        return error
    cache = options.get("cache")
    cache = cache if isinstance(cache, Path) else None
    ours = [Workspace.from_environment(cache_dir=cache).cache_dir]
    if isinstance(out := options.get("out"), Path):
        ours.append(user_path(out).resolve())
    if error.errno == errno.ENOENT and error.filename:
        # A file that was there when it was looked for, in a folder that only hearbench should
        # change.
        place = Path(os.fsdecode(error.filename))
        return disk_error(error, place) if any(map(place.is_relative_to, ours)) else None
    return system_error(error)


def interrupted() -> None:
    """Says how to resume."""
    say("Interrupted. Run the same command again to resume.")


@contextlib.contextmanager
def answers_only() -> Iterator[None]:
    """Sends to stderr what models and libraries print, so that stdout holds the answer alone."""
    stdout = sys.__stdout__
    if stdout is None or sys.stdout is not stdout:  # a test's or a notebook's
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    # On the level of the file, where libraries written in C print to.
    stdout.flush()
    target = stdout.fileno()
    saved = os.dup(target)
    try:
        os.dup2(sys.stderr.fileno(), target)
        yield
    finally:
        stdout.flush()
        os.dup2(saved, target)
        os.close(saved)
