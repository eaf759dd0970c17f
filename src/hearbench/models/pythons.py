"""Interpreters on this system, by their path or their version."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS
from hearbench.workspace import user_path

__all__ = [
    "OLDEST_PYTHON",
    "BasePython",
    "InterpreterFacts",
    "describe_interpreter",
    "find_python",
    "python_at",
]

_VERSION = re.compile(r"\d+(\.\d+){0,2}")
_ASK_S, _INSTALL_S = 60, 1800
_ASK = (
    "import sys, json, importlib.util as u; print(json.dumps({"
    "'version': list(sys.version_info[:3]), "
    "'program': getattr(sys, '_base_executable', None) or sys.executable, "
    "'venv': all(u.find_spec(name) is not None for name in ('venv', 'ensurepip'))}))"
)


@dataclass(frozen=True)
class BasePython:
    """An interpreter that environments can be made from.

    Attributes:
        program: Its path; of an environment's interpreter, that of what it was made from.
        version: As (3, 9, 18).
        has_venv: Whether it can make environments with pip by itself.
    """

    program: Path
    version: tuple[int, ...]
    has_venv: bool

    @property
    def version_text(self) -> str:
        """The version, as 3.9.18."""
        return ".".join(map(str, self.version))


def python_at(named: str) -> Path:
    """The program of an interpreter, by its path or as `find_python` finds it.

    Raises:
        ModelError: There is none.
    """
    path = user_path(named)
    # Not resolved: an environment's python is a link, and finds its packages by its own place.
    return path.absolute() if path.exists() else Path(find_python(named).program).absolute()


def find_python(named: str | Path | None) -> BasePython:
    """The interpreter that a path or a version stands for.

    A version is looked for in the running interpreter, as ``pythonX.Y`` on the PATH, among
    pyenv's, and with uv, which may download it.

    Args:
        named: A path, a program's name, or a version such as ``"3.9"``; None for the running one.

    Raises:
        ModelError: There is none.
    """
    if named is None:
        named = Path(sys.executable)
    text = str(named)
    if _VERSION.fullmatch(text) and not Path(text).is_file():
        return _by_version(text)
    path = user_path(text)
    found = str(path.absolute()) if path.is_file() else shutil.which(text)
    if found is None:
        raise ModelError(
            f"There is no interpreter {text}. Give the path of a python, or a version such as 3.9.",
            code="not_found",
        )
    try:
        return _ask(found)
    except (OSError, *SYNTAX_ERRORS, KeyError, TypeError, subprocess.SubprocessError) as error:
        raise ModelError(f"{found} isn't a Python that can be used: {error}.") from error


def _by_version(text: str) -> BasePython:
    wanted = tuple(map(int, text.split(".")))
    for candidate in _candidates(text):
        try:
            found = _ask(candidate)
        except (OSError, *SYNTAX_ERRORS, KeyError, TypeError, subprocess.SubprocessError):
            continue  # such as a placeholder that only says how to install it
        if found.version[: len(wanted)] == wanted:
            return found
    known = ", ".join(folder.name for folder in _pyenv_folders()) or "nothing"
    uv = "can't get it either" if shutil.which("uv") else "isn't installed"
    raise ModelError(
        f"There is no Python {text}: none is called python{'.'.join(text.split('.')[:2])} on the "
        f"PATH, pyenv has {known}, and uv {uv}. Install one, or give an interpreter's path.",
        code="not_found",
    )


def _candidates(text: str) -> Iterator[str]:
    yield sys.executable
    on_path = shutil.which(f"python{'.'.join(text.split('.')[:2])}")
    if on_path is not None:
        yield on_path
    for folder in _pyenv_folders():
        if folder.name == text or folder.name.startswith(f"{text}."):
            yield str(folder / "bin" / "python")
    uv = shutil.which("uv")
    if uv is not None:
        # One that it has, or else one that it downloads.
        yield from _of_uv(uv, text)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _output([uv, "python", "install", text], _INSTALL_S)
            yield from _of_uv(uv, text)


def _of_uv(uv: str, text: str) -> Iterator[str]:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        yield _output([uv, "python", "find", "--no-python-downloads", text]).strip()


def _pyenv_folders() -> list[Path]:
    """The versions that pyenv has installed, the latest first."""
    root = user_path(os.environ.get("PYENV_ROOT") or "~/.pyenv")
    folders = [path for path in (root / "versions").glob("[0-9]*") if path.is_dir()]
    return sorted(folders, key=lambda path: _numbers(path.name), reverse=True)


def _numbers(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def _ask(program: str) -> BasePython:
    said = json.loads(_output([program, "-E", "-s", "-c", _ASK]))
    return BasePython(Path(said["program"]), tuple(said["version"]), bool(said["venv"]))


def _output(command: list[str], timeout_s: float = _ASK_S) -> str:
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=True
    )
    return done.stdout


# What runs there is written for it: see `hearbench.worker`.
OLDEST_PYTHON = (3, 7)
_FACTS_S = 60
_ASK_FACTS = (
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
            [str(python), "-E", "-c", _ASK_FACTS],
            capture_output=True,
            timeout=_FACTS_S,
            check=False,
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
