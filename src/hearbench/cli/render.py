"""Tables and paragraphs on stdout, in the one look that all verbs share.

A verb describes a `hearbench.table.Table` by its columns and hands it to `show`.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from hearbench.table import Styled, Table, rich_text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["output_console", "show"]

_PIPE_WIDTH = 200


def output_console() -> Console:
    """A console on stdout.

    Where it isn't a terminal it is as wide as COLUMNS says, or so wide that nothing is folded.
    """
    # Brings rich along, which the help can do without.
    from hearbench.console import PlainConsole

    width = None if sys.stdout.isatty() else shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns
    return PlainConsole(width=width)


def show(*parts: Table | Styled | str) -> None:
    """Prints tables and paragraphs on stdout, one below the other."""
    console = output_console()
    for part in parts:
        if isinstance(part, Table):
            console.print(part.to_rich())
        else:
            # Where nothing is to be folded, neither are sentences.
            console.print(rich_text(part), soft_wrap=console.width >= _PIPE_WIDTH)
