"""Imports of a model's own source, read from its text and not by running it.

So it doesn't depend on what was imported before, nor on whether the lines were reached.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, Iterable, Iterator, NamedTuple

from .import_side_effects import below_own
from .importing import Target
from .reads import ReadWatch, is_library, is_package

__all__ = ["Imports", "all_read", "imported_names", "imports_of"]

# Frameworks, which are told apart by their versions where that matters.
_FRAMEWORKS = {"numpy", "torch", "tensorflow", "keras", "hearbench", "hearbench_worker"}
_STANDARD = {*sys.builtin_module_names, *getattr(sys, "stdlib_module_names", ())}
_MOST_FILES = 2000


class Imports(NamedTuple):
    """Files and packages that source files import.

    Attributes:
        sources: The files themselves, and those of other modules of the model's that they import,
            directly or through each other; absolute paths, sorted.
        packages: Folders of each installed package, or its one file, that is imported directly.
    """

    sources: list[str]
    packages: dict[str, list[str]]


def imports_of(files: Iterable[str], own: list[str], beside: str | None) -> Imports:
    """Follows the imports of source files, to the end among the model's own modules.

    Args:
        files: Absolute paths of Python files.
        own: Folders and files of the model's package.
        beside: The folder of a model that is a file, whose modules it can import.
    """
    waiting = [path for path in files if path.endswith(".py")]
    seen: set[str] = set(waiting)
    packages: dict[str, list[str]] = {}
    while waiting and len(seen) < _MOST_FILES:
        path = waiting.pop()
        for name in imported_names(path):
            for place in _own_modules(name, path, own, beside, packages):
                if place not in seen:
                    seen.add(place)
                    waiting.append(place)
    return Imports(sorted(seen), {name: packages[name] for name in sorted(packages)})


def imported_names(path: str) -> Iterator[str]:
    """Names of what a source file imports: modules, or what may be attributes of modules."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # what can't be parsed can't be imported either
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                yield item.name
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            if node.module:
                yield base
            for item in node.names:
                yield base + item.name if base.endswith(".") else f"{base}.{item.name}"


def _own_modules(
    name: str, importer: str, own: list[str], beside: str | None, packages: dict[str, list[str]]
) -> Iterator[str]:
    """Files of a module and its parents, if they are the model's; notes an installed package."""
    if name.startswith("."):
        stem = name.lstrip(".")
        folder = Path(importer)
        for _ in range(len(name) - len(stem)):
            folder = folder.parent
        yield from _below([str(folder)], stem.split(".") if stem else ["__init__"])
        return
    top, _, rest = name.partition(".")
    if top in _FRAMEWORKS or top in _STANDARD:
        return
    found = [] if beside is None else list(_below([beside], name.split(".")))
    if found:
        yield from found
        return
    if top in packages:
        return
    spec = None
    # Whatever finders of other packages raise, and modules that don't say where they are from.
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(top)
    if spec is None:
        return
    # Some packages put Path objects there, which Python's own finders take as well.
    places = [os.fspath(place) for place in spec.submodule_search_locations or ()]
    origin = spec.origin or ""
    if not places and not os.path.isabs(origin):  # noqa: PTH117
        return  # built in, or frozen
    if all(is_library(place) and not below_own(place, own) for place in places or [origin]):
        if any(is_package(place) for place in places or [origin]):
            packages[top] = sorted(places) or [origin]
        return
    if origin.endswith(".py"):
        yield origin
    if rest:
        yield from _below(places, rest.split("."))


def _below(folders: list[str], parts: list[str]) -> Iterator[str]:
    """The files of a module below folders, and of the packages around it."""
    for folder in folders:
        path = Path(folder)
        for part in parts:
            single = path / f"{part}.py"
            path /= part
            if (path / "__init__.py").is_file():
                yield str(path / "__init__.py")
            elif single.is_file():
                yield str(single)
                break
            elif not path.is_dir():
                break


def all_read(watch: ReadWatch, module: Any, target: Target) -> dict[str, Any]:
    """Lists what a model has read so far and what its source imports, ready for JSON.

    Args:
        target: What the user called it.
    """
    reads = watch.reads()
    beside = os.path.dirname(target.place) if target.is_file else None  # noqa: PTH120
    main = getattr(module, "__file__", None)
    files = [*([str(main)] if main else []), *reads.files]
    imports = imports_of(files, watch.own, beside)
    return {
        "files": sorted({*reads.files, *imports.sources}),
        "variables": reads.variables,
        "packages": imports.packages,
        "unseen": reads.unseen,
    }
