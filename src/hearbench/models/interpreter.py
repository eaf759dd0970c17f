"""Another Python: whether it can run models, and where its files are."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS

__all__ = ["OLDEST_PYTHON", "InterpreterFacts", "describe_interpreter"]

# What runs there is written for it: see `hearbench.worker`.
OLDEST_PYTHON = (3, 7)
_TIMEOUT_S = 60
_ASK = (
    "import sys, json, importlib.util as u; print(json.dumps({"
    "'version': list(sys.version_info[:3]), 'folders': [sys.prefix, sys.base_prefix] + sys.path, "
    "'numpy': u.find_spec('numpy') is not None}))"
)


@dataclass(frozen=True)
class InterpreterFacts:
    """What an interpreter says of itself.

    Attributes:
        version: As (3, 11, 7).
        folders: Where its files and packages are.
    """

    version: tuple[int, ...]
    folders: tuple[Path, ...]


def describe_interpreter(python: Path) -> InterpreterFacts:
    """Asks an interpreter about itself.

    Raises:
        ModelError: It isn't there, isn't a Python, is too old, or lacks numpy.
    """
    if not python.is_file():
        raise ModelError(
            f"There is no interpreter {python}. Give the python of an environment, as "
            "/path/to/venv/bin/python.",
            code="not_found",
        )
    try:
        done = subprocess.run(  # noqa: S603
            [str(python), "-E", "-c", _ASK], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
        said = json.loads(done.stdout)
        facts = InterpreterFacts(
            tuple(said["version"]),
            tuple(Path(folder) for folder in dict.fromkeys(said["folders"]) if folder),
        )
        has_numpy = bool(said["numpy"])
    except (OSError, *SYNTAX_ERRORS, KeyError, TypeError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"{python} isn't a Python that can be used: {error}.") from error
    if facts.version < OLDEST_PYTHON:
        raise ModelError(
            f"{python} is Python {'.'.join(map(str, facts.version))}; models run on "
            f"{'.'.join(map(str, OLDEST_PYTHON))} or later."
        )
    if not has_numpy:
        raise ModelError(
            f"{python} has no numpy, which handing over audio needs. Install it there: "
            f"{python} -m pip install numpy",
            code="not_installed",
        )
    return facts
