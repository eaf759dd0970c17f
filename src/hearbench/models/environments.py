"""Environments of their own for models, made with pip and kept in the cache.

An environment is a folder ``environments/NAME-KEY`` in the cache. The key stands for what was
installed and for the interpreter. ``environment.json`` in it is written last: without it the
environment was never finished, and is made again.

Some source trees work only where they lie, as lists of packages that are wrong or missing are
common among models: who wrote them always used ``pip install -e``. What a copy lacks is found by
reading the tree, and nothing of the model's code runs for that.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from hearbench.digest import digest_file, digest_json, short
from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS, write_json
from hearbench.locks import lock_beside, one_after_another
from hearbench.models.pythons import OLDEST_PYTHON, BasePython, describe_interpreter, find_python
from hearbench.workspace import Workspace, user_path

__all__ = [
    "FOLDER",
    "SOURCES",
    "Environment",
    "Installable",
    "environment_for",
    "installable",
    "lacking",
    "list_environments",
    "make_environment",
]

FOLDER = "environments"
"""Of the cache, where environments are kept."""
SOURCES = "sources"
"""Of the cache, where source trees are kept that were fetched to make environments from."""


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
    spec: str | Sequence[str],
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
            ``"name @ file:///path"``. A mere name is refused. Or a list of requirements, of
            which those after the first may be mere names.
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
    there = _what_is_at(folder)
    if there is not None and there.editable not in (None, Path(wanted.argument)):
        # It reads another tree, which was the same when it was made and may not be any longer.
        key["editable"] = wanted.argument
        folder = folder.with_name(f"{wanted.name}-{short(digest_json(key))}")
    try:
        line, what = workspace.progress.line, wanted.spec
        stage = workspace.progress.stage(f"environment for {what}")
        with one_after_another(lock_beside(folder), f"making {folder}", line), stage as update:

            def tell(text: str) -> None:
                update(0, text=text)

            there = _what_is_at(folder)
            if there is None:
                line(
                    f"pip installs {what} and all that it depends on into a new environment, "
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
    names = [name for model in models if (name := _import_name(model))]
    program = make_environment(spec, workspace=workspace, python=python, modules=names)
    folder = program.parents[1]
    made = _what_is_at(folder)
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
    found = [_what_is_at(folder) for folder in folders if not folder.name.startswith(".")]
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
        done = _run([*_pip(folder), *_INSTALL, wanted.argument, *wanted.beside, "numpy"], tell)
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
                _read_in_place(python, tree, modules)
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


def _what_is_at(folder: Path) -> Environment | None:
    """The environment in a folder, if it was finished and still has its Python."""
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


_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*", re.ASCII)
_REQUIREMENT = re.compile(_NAME.pattern + r"[@<>=!~(].+", re.ASCII)
_ARCHIVES = (".whl", ".tar.gz", ".zip")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
# What building and testing leave in a source tree; those of the second kind at its top only.
_NO_SOURCE = re.compile(
    r"\.git|\.hg|\.svn|__pycache__|.+\.egg-info|\.(mypy|pytest|ruff)_cache|\.tox|\.nox|\.venv"
)
_BUILT = ("build", "dist")


@dataclass(frozen=True)
class Installable:
    """Something that pip can install.

    Attributes:
        spec: As it was asked for.
        name: Fit for a folder.
        argument: For pip.
        content: What stands for it in the key.
        beside: Further requirements, for pip.
    """

    spec: str
    name: str
    argument: str
    content: dict[str, str]
    beside: tuple[str, ...] = ()

    @property
    def is_tree(self) -> bool:
        """Tells whether it is a source tree, whose folder the argument is."""
        return "tree" in self.content


def installable(spec: str | Sequence[str]) -> Installable:
    """Reads what a user wants installed: a source tree, an archive or requirements.

    Args:
        spec: A folder with ``pyproject.toml`` or ``setup.py``, a wheel or another archive, or one
            requirement with a version or an address. Or several requirements in a list, of which
            only the first needs those.

    Raises:
        ModelError: It is none of them, or can't be read.
    """
    if not isinstance(spec, str):
        first, beside = installable(spec[0]), tuple(spec[1:])
        content = {**first.content, **({"beside": "\n".join(beside)} if beside else {})}
        return replace(first, spec=", ".join(spec), content=content, beside=beside)
    path = user_path(spec)
    is_archive = spec.endswith(_ARCHIVES) and "@" not in spec
    try:
        if spec and path.is_dir():
            if not any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
                raise ModelError(
                    f"{spec} has no pyproject.toml and no setup.py, so pip can't install it. Give "
                    "the folder that has one."
                )
            path = path.resolve()
            return Installable(spec, _safe(path.name), str(path), {"tree": _tree_digest(path)})
        if is_archive and path.is_file():
            path = path.resolve()
            content = {"archive": path.name, "digest": digest_file(path)}
            return Installable(spec, _safe(path.name), str(path), content)
    except OSError as error:
        raise ModelError(f"{spec} can't be read: {error}.") from error
    match = _REQUIREMENT.fullmatch(spec)
    if match is None or is_archive or path.exists():
        # Of a folder that is misspelt, pip would install what strangers have called so.
        version = f" With its version it would be one: {spec}==1.2" if _NAME.fullmatch(spec) else ""
        raise ModelError(
            f"{spec!r} is no source tree that is there, and no requirement of pip. Give a folder "
            f"with a pyproject.toml or setup.py, or one requirement such as name==1.2.{version}"
        )
    return Installable(spec, _safe(match[1]), spec.strip(), {"requirement": spec.strip()})


def _tree_digest(folder: Path) -> str:
    """Digests the files of a source tree, without what is no source."""
    lines = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        top = here == folder
        folders[:] = sorted(name for name in folders if _is_source(here / name, top))
        for name in sorted([*files, *(name for name in folders if (here / name).is_symlink())]):
            path = here / name
            # A link counts by where it leads, and a file also by what it holds.
            link = os.fspath(path.readlink()) if path.is_symlink() else ""
            content = digest_file(path) if path.is_file() else ""
            lines.append([path.relative_to(folder).as_posix(), link, content])
    return digest_json(lines)


def _is_source(folder: Path, top: bool) -> bool:
    if _NO_SOURCE.fullmatch(folder.name) or (top and folder.name in _BUILT):
        return False
    return not (folder / "pyvenv.cfg").is_file()


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.") or "model"


_TIMEOUT_S = 120
# Where an interpreter would import names from: a package's folders, or a module's file.
_ASK = """
import importlib.util, json, sys, sysconfig
found = {}
for name in sys.argv[1:]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is not None:
        found[name] = list(spec.submodule_search_locations or []) or [spec.origin]
print(json.dumps([sysconfig.get_paths()["purelib"], found]))
"""
_PATH_FILE = "hearbench_source_tree.pth"
# What wheels leave out on purpose.
_ASIDE = {"build", "dist", "doc", "docs", "example", "examples", "test", "tests"}
_NO_DATA = {".ipynb", ".md", ".pyc", ".pyi", ".rst"}


def _import_name(spec: str) -> str | None:
    """The module that a model's name stands for, if it is an import name."""
    place = spec.partition(":")[0]
    is_name = all(part.isidentifier() for part in place.split("."))
    return place if is_name and not spec.endswith(".py") else None


def lacking(python: Path, tree: Path, modules: Iterable[str]) -> list[str]:
    """Lists what modules have or import in a source tree, and an interpreter hasn't got.

    Args:
        python: The interpreter, into which the tree was installed.
        tree: The folder of the tree.
        modules: Import names; those that the tree doesn't have count for nothing.

    Returns:
        Import names and files, as seen from the tree's packages.

    Raises:
        ModelError: The interpreter doesn't answer.
    """
    found: dict[str, None] = {}
    for module in modules:
        root = _root_of(module, tree)
        if root is None:
            continue
        names = _imported_from(root, module.partition(".")[0])
        _, places = _ask(python, names)
        for name in names:
            if name not in places:
                found[name] = None
            # A package of the same name that the model depends on is none of the tree's.
            elif not _is_below(places[name][0], tree) and _is_copy(root, name, places[name]):
                found.update(dict.fromkeys(_missing_files(root, name, places[name])))
    return list(found)


def _read_in_place(python: Path, tree: Path, modules: Iterable[str]) -> None:
    """Has an interpreter import from a source tree what isn't installed.

    Raises:
        ModelError: The interpreter doesn't answer.
        OSError: Its packages' folder can't be written to.
    """
    roots = dict.fromkeys(root for module in modules if (root := _root_of(module, tree)))
    packages, _ = _ask(python, [])
    lines = "".join(f"{root}\n" for root in roots)
    Path(packages, _PATH_FILE).write_text(lines, encoding="utf-8")


def _root_of(module: str, tree: Path) -> Path | None:
    """The folder of a tree from which it has a module."""
    parts = module.split(".")
    folders = sorted(path for path in tree.iterdir() if path.is_dir() and path.name not in _ASIDE)
    for root in (tree, tree / "src", *folders):
        place = root.joinpath(*parts)
        if place.with_name(f"{parts[-1]}.py").is_file() or any(place.glob("*.py")):
            return root
    return None


def _imported_from(root: Path, top: str) -> list[str]:
    """The top-level names of a folder that one of them imports, itself first."""
    names = [top]
    for name in names:
        for path in _sources(root, name):
            for imported in _names_in(path):
                if imported not in names and any(_sources(root, imported)):
                    names.append(imported)
    return names


def _sources(root: Path, name: str) -> list[Path]:
    file = root / f"{name}.py"
    return (
        [file] if file.is_file() else [path for path in _files(root / name) if path.suffix == ".py"]
    )


def _files(folder: Path) -> Iterator[Path]:
    """The files of a package's folder that belong to it."""
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder).parts
        aside = any(part.startswith((".", "__pycache__")) or part in _ASIDE for part in within[:-1])
        if path.is_file() and not aside and not path.name.startswith("."):
            yield path


def _names_in(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()  # the import itself will say what is wrong with it
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _is_copy(root: Path, name: str, places: Sequence[str]) -> bool:
    """Tells whether what is installed has no module that the tree doesn't have."""
    own = root / name
    for place in map(Path, places):
        if not place.is_dir():
            if not own.with_name(place.name).is_file():
                return False
        elif not all((own / path.relative_to(place)).is_file() for path in place.rglob("*.py")):
            return False
    return True


def _missing_files(root: Path, name: str, places: Sequence[str]) -> Iterator[str]:
    for path in _files(root / name):
        within = path.relative_to(root / name)
        if path.suffix not in _NO_DATA and not any(Path(p, within).is_file() for p in places):
            yield path.relative_to(root).as_posix()


def _is_below(place: str, folder: Path) -> bool:
    return folder.resolve() in Path(place).resolve().parents


def _ask(python: Path, names: Sequence[str]) -> tuple[str, dict[str, list[str]]]:
    try:
        done = subprocess.run(  # noqa: S603
            [str(python), "-I", "-c", _ASK, *names],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        packages, places = json.loads(done.stdout.splitlines()[-1])
        return str(packages), dict(places)
    except (OSError, *SYNTAX_ERRORS, IndexError, TypeError, subprocess.SubprocessError) as error:
        raise ModelError(f"{python} doesn't say where its packages are: {error}.") from error
