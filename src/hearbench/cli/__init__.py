"""The command line: one thin module per verb.

Answers go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 a check
failed, 2 bad input, 130 interrupted. Nothing heavy is imported before a verb needs it.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The console script ``hearbench``."""
    # Imported here, so that the modules below can be used without building the application.
    from hearbench.cli.app import run

    run()
