"""Source trees that work only where they lie: what is installed of them isn't all they need.

Lists of packages that are wrong or missing are common among models: who wrote them always used
``pip install -e``. Nothing of the model's code runs to find that out.
"""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hearbench.errors import ModelError
from hearbench.files import SYNTAX_ERRORS

__all__ = ["import_name", "lacking", "read_in_place"]

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


def import_name(spec: str) -> str | None:
    """The module that a model's name stands for, if it is an import name."""
    place = spec.partition(":")[0]
    is_name = all(part.isidentifier() for part in place.split("."))
    return place if is_name and not spec.endswith(".py") else None


def lacking(python: Path, tree: Path, modules: Iterable[str]) -> list[str]:
    """What modules have or import in a source tree, and what an interpreter hasn't got of it.

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


def read_in_place(python: Path, tree: Path, modules: Iterable[str]) -> None:
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
    """Whether what is installed has no module that the tree doesn't have."""
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
