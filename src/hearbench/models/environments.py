"""Environments of their own for models, made with pip and kept in the cache.

An environment is a folder ``environments/NAME-KEY`` in the cache. The key stands for what was
installed and for the interpreter. ``environment.json`` in it is written last: without it the
environment was never finished, and is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from hearbench.digest import digest_json, short
from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS, write_json
from hearbench.locks import lock_beside, one_after_another
from hearbench.models.editable import import_name, lacking, read_in_place
from hearbench.models.installable import Installable, installable
from hearbench.models.interpreter import OLDEST_PYTHON, describe_interpreter
from hearbench.models.pythons import BasePython, find_python
from hearbench.workspace import Workspace

__all__ = [
    "FOLDER",
    "Environment",
    "environment_for",
    "list_environments",
    "make_environment",
    "what_is_at",
]

FOLDER = "environments"
"""Of the cache, where environments are kept."""


_FORMAT = 1
_RECORD = "environment.json"
# Variables that would lead the environment's interpreter elsewhere.
_OWN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_SHOWN_LINES = 20
_INSTALL = ("install", "--progress-bar", "off")
_END_S = 5.0


@dataclass(frozen=True)
class Environment:
    """A finished environment in the cache.

    Attributes:
        folder: Where it is.
        spec: What was installed, as it was asked for.
        python_version: Of its interpreter, as 3.9.18.
        created: When, in UTC, as ISO 8601.
        packages: What pip says is in it, as name==version.
        editable: The source tree that it reads code from; None where it has all that it needs.
        lacked: What of the tree an installation as a copy lacked.
    """

    folder: Path
    spec: str
    python_version: str
    created: str
    packages: tuple[str, ...]
    editable: Path | None = None
    lacked: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return _python_in(self.folder)


def make_environment(
    spec: str,
    *,
    workspace: Workspace,
    python: str | Path | None = None,
    modules: Sequence[str] = (),
) -> Path:
    """Makes an environment for a model, or finds it in the cache.

    ``pip install SPEC numpy`` with the environment variables and the configuration of pip. A
    source tree is installed as a copy: once its files change, so does the key, and another
    environment is made. Only where the copy lacks what the modules need, and the tree has it, is
    the tree installed for editing, and its code read where it lies.

    Args:
        spec: A source tree (a folder with ``pyproject.toml`` or ``setup.py``), a wheel or another
            archive that pip installs, or one requirement such as ``"name==1.2"`` or
            ``"name @ file:///path"``. A mere name is refused.
        workspace: Where the cache is, and who is shown the lines that pip prints.
        python: A path, or a version such as ``"3.9"``; None for the running interpreter.
        modules: Import names of what will be used of it.

    Returns:
        The path of the environment's interpreter.

    Raises:
        ModelError: There is no such tree or interpreter, or pip can't install it; the message has
            the end of what pip printed.
    """
    wanted = installable(spec)
    base = find_python(python)
    if base.version < OLDEST_PYTHON:
        raise ModelError(
            f"{base.program} is Python {base.version_text}; models run on "
            f"{'.'.join(map(str, OLDEST_PYTHON))} or later."
        )
    key = {
        "format": _FORMAT,
        "content": wanted.content,
        "python": [os.path.realpath(base.program), base.version_text],
    }
    folder = workspace.path(FOLDER, f"{wanted.name}-{short(digest_json(key))}")
    there = what_is_at(folder)
    if there is not None and there.editable not in (None, Path(wanted.argument)):
        # It reads another tree, which was the same when it was made and may not be any longer.
        key["editable"] = wanted.argument
        folder = folder.with_name(f"{wanted.name}-{short(digest_json(key))}")
    try:
        line, stage = workspace.progress.line, workspace.progress.stage(f"environment for {spec}")
        with one_after_another(lock_beside(folder), f"making {folder}", line), stage as update:

            def tell(text: str) -> None:
                update(0, text=text)

            there = what_is_at(folder)
            if there is None:
                line(
                    f"pip installs {spec} and all that it depends on into a new environment, "
                    f"{folder} (Python {base.version_text}). Where it is installed already, name "
                    "its module instead, with --python P if not for hearbench's own Python."
                )
                _make(folder, wanted, modules, base, tell)
            elif there.editable is None and wanted.is_tree:
                lacked = lacking(there.python, Path(wanted.argument), modules)
                if lacked:
                    (folder / _RECORD).unlink()
                    _finish(folder, wanted, modules, base, tell)
    except OSError as error:
        raise ModelError(f"An environment can't be made at {folder}: {error}.") from error
    return _python_in(folder)


def environment_for(
    models: Sequence[str], spec: str, *, workspace: Workspace, python: str | Path | None = None
) -> Environment:
    """Makes an environment in which models can be loaded, or finds it in the cache.

    Args:
        models: The models, as users name them.
        spec: What is installed; see `make_environment`.
        workspace: Where the cache is, and who is shown progress.
        python: A path, or a version such as ``"3.9"``; None for the running interpreter.

    Raises:
        ModelError: There is no such tree or interpreter, or pip can't install it.
    """
    names = [name for model in models if (name := import_name(model))]
    program = make_environment(spec, workspace=workspace, python=python, modules=names)
    folder = program.parents[1]
    made = what_is_at(folder)
    if made is None:
        raise ModelError(f"The environment {folder} was changed after it was made. Remove it.")
    if made.editable is not None:
        more = f" and {len(made.lacked) - 3} more" if len(made.lacked) > 3 else ""
        workspace.progress.line(
            f"{spec} is installed for editing, and its code read from {made.editable}: an "
            f"installed copy lacks {', '.join(made.lacked[:3])}{more}."
        )
    return made


def list_environments(workspace: Workspace) -> list[Environment]:
    """The finished environments in the cache, by their folders' names."""
    folders = sorted(workspace.path(FOLDER).glob("*"))
    found = [what_is_at(folder) for folder in folders if not folder.name.startswith(".")]
    return [environment for environment in found if environment is not None]


def _make(
    folder: Path,
    wanted: Installable,
    modules: Sequence[str],
    base: BasePython,
    tell: Callable[[str], object],
) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    try:
        tell(f"Making an environment with Python {base.version_text}")
        _create(base, folder, tell)
        done = _run([*_pip(folder), *_INSTALL, wanted.argument, "numpy"], tell)
        if done.code:
            raise ModelError(
                f"pip can't install {wanted.spec} with Python {base.version_text}. It ends with:\n"
                f"{done.end}\n"
                "Mend what it names. If the model wants another Python, name it: --python 3.9"
            )
        _finish(folder, wanted, modules, base, tell)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _finish(
    folder: Path,
    wanted: Installable,
    modules: Sequence[str],
    base: BasePython,
    tell: Callable[[str], object],
) -> None:
    """Sees that what was installed is enough, and notes what is there."""
    python, tree = _python_in(folder), Path(wanted.argument)
    try:
        describe_interpreter(python)
        lacked = lacking(python, tree, modules) if wanted.is_tree else []
        if lacked:
            tell(f"The installed copy lacks {', '.join(lacked)}; installing {tree} for editing")
            # All that it depends on is there. What it can't be installed for is read all the same.
            edit = [*_pip(folder), *_INSTALL, "--no-deps", "--editable", wanted.argument]
            if _run(edit, tell).code:
                copies = [line for line in _packages(folder) if line.endswith(tree.as_uri())]
                names = [line.partition(" @ ")[0] for line in copies]
                _run([*_pip(folder), "uninstall", "--yes", *names], tell)
            if lacking(python, tree, modules):
                read_in_place(python, tree, modules)
        packages = _packages(folder)
        record = {
            "format": _FORMAT,
            "spec": wanted.spec,
            "content": wanted.content,
            "python": str(base.program),
            "python_version": base.version_text,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "packages": packages,
            **({"editable": str(tree), "lacked": lacked} if lacked else {}),
        }
        write_json(folder / _RECORD, record)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _create(base: BasePython, folder: Path, tell: Callable[[str], object]) -> None:
    """Makes an environment that holds pip alone."""
    uv = shutil.which("uv")
    if base.has_venv:
        command = [str(base.program), "-m", "venv", str(folder)]
    elif uv is not None:
        command = [uv, "venv", "--seed", "--python", str(base.program), str(folder)]
    else:
        raise ModelError(
            f"{base.program} lacks the modules venv and ensurepip. Install them (on Debian and "
            f"Ubuntu the package python{'.'.join(map(str, base.version[:2]))}-venv), or uv."
        )
    done = _run(command, tell)
    if done.code:
        raise ModelError(f"No environment can be made with {base.program}:\n{done.end}")


@dataclass(frozen=True)
class _Done:
    code: int
    end: str  # the last lines


def _run(command: Sequence[str], tell: Callable[[str], object]) -> _Done:
    """Runs a program and tells of each line that it prints; whatever stops this ends it."""
    last: deque[str] = deque(maxlen=_SHOWN_LINES)
    environment = {key: value for key, value in os.environ.items() if key not in _OWN_VARIABLES}
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        text=True,
        encoding="utf-8",
        errors="replace",
        # So that it and the compilers that it starts can be ended together.
        start_new_session=True,
    )
    try:
        for line in process.stdout or ():
            # Codes for terminals have no business in messages.
            text = "".join(letter for letter in line.rstrip() if letter.isprintable())
            if text:
                last.append(text)
                tell(text)
        return _Done(process.wait(), "\n".join(last))
    except BaseException:
        _stop(process)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupts a program, which lets pip remove its temporary files, and then kills it."""
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_S)
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _packages(folder: Path) -> list[str]:
    """What pip says is in an environment."""
    packages: list[str] = []
    if _run([*_pip(folder), "freeze", "--all"], packages.append).code:
        raise ModelError(f"pip can't list what is in {folder}:\n" + "\n".join(packages))
    return packages


def _pip(folder: Path) -> list[str]:
    return [str(_python_in(folder)), "-m", "pip", "--disable-pip-version-check", "--no-input"]


def what_is_at(folder: Path) -> Environment | None:
    """What is in a folder, if it is an environment that was finished and still has its Python."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        environment = Environment(
            folder,
            str(record["spec"]),
            str(record["python_version"]),
            str(record["created"]),
            tuple(map(str, record["packages"])),
            Path(record["editable"]) if "editable" in record else None,
            tuple(map(str, record.get("lacked", ()))),
        )
    except (OSError, *SYNTAX_ERRORS, KeyError, TypeError):
        return None
    return environment if environment.python.is_file() else None


def _python_in(folder: Path) -> Path:
    if sys.platform == "win32":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"
