"""What the tools that write pages of the documentation have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["run"]


def run(tool: str, page: Path, written: Callable[[str], str], about: str) -> int:
    """Writes a page, or with ``--check`` says whether it is up to date.

    Args:
        tool: The tool's own file.
        page: The page's file, which need not exist.
        written: Makes of what the file holds what it has to hold.
        about: What the tool does; its first line is the help's.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=about.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="Write nothing.")
    have = page.read_text(encoding="utf-8") if page.is_file() else ""
    wanted = written(have)
    if not parser.parse_args().check:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(wanted, encoding="utf-8")
    elif have != wanted:
        sys.stderr.write(f"{page} isn't up to date: python tools/{Path(tool).name}\n")
        return 1
    return 0
