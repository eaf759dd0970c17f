"""The command line: one thin module per verb.

Answers go to stdout; progress, warnings and errors to stderr. Exit codes: 0 done, 1 a check
failed, 2 bad input, 130 interrupted. Verbs import the library within their functions, so that
the help of none of them waits for it.
"""

from __future__ import annotations

import importlib.metadata
import sys

__all__ = ["damaged_files", "main"]

_BAD_INPUT = 2


def main() -> None:
    """The console script ``hearbench``."""
    damaged = damaged_files()
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        print(  # noqa: T201 - the terminal's own module may be what is damaged
            f"error: This installation of hearbench is damaged: {damaged[0]}{more} isn't as it was "
            "installed. Another package may have written over it. Install again: "
            "`pip install --force-reinstall --no-deps hearbench`. To change the code, work on a "
            "checkout installed by `pip install --editable`.",
            file=sys.stderr,
        )
        sys.exit(_BAD_INPUT)
    # Imported here, so that the modules below can be used without building the application.
    from hearbench.cli.app import run

    run()


def damaged_files() -> list[str]:
    """Lists the package's files that are missing or have another size than was installed.

    An editable installation records no file of the package, and neither does a checkout that is
    only on the path: for these the list is empty.
    """
    try:
        recorded = importlib.metadata.files("hearbench") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    damaged = []
    for file in recorded:
        if file.parts[0] == "hearbench" and file.size is not None:
            path = file.locate()
            try:
                size = path.stat().st_size  # type: ignore[attr-defined]
            except OSError:
                size = None
            if size != file.size:
                damaged.append(str(path))
    return damaged
