"""Running the command line in tests: in this process, or in one that can be killed."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from typer.testing import CliRunner


@dataclass(frozen=True)
class Answer:
    """What a call gave."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def runner(**more: Any) -> CliRunner:
    """What runs commands in this process, with both streams apart."""
    # Click before 8.2 keeps them apart on request only.
    if "mix_stderr" in signature(CliRunner).parameters:
        more["mix_stderr"] = False
    return CliRunner(**more)


def hearbench(*arguments: object) -> Answer:
    """``hearbench ARGUMENTS`` in this process; an error that isn't handled is raised."""
    from hearbench.cli.app import app

    result = runner().invoke(app, [str(item) for item in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def run_slowly(arguments: Sequence[str], log: str, rename_s: float) -> None:
    """``hearbench ARGUMENTS`` with slow renames, so that a kill can hit the writing of files."""
    from hearbench.cli import main

    rename = pathlib.Path.replace

    def replace(self: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        time.sleep(rename_s)
        return rename(self, target)

    pathlib.Path.replace = replace  # type: ignore[method-assign, assignment]
    sys.argv = ["hearbench", *arguments]
    with pathlib.Path(log).open("a") as file:
        sys.stdout = sys.stderr = file
        main()
