"""A model's module: imported, and searched for the three functions of the API."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

__all__ = [
    "API_ATTRIBUTES",
    "API_FUNCTIONS",
    "LAYER_FUNCTIONS",
    "TEXT_FUNCTION",
    "Target",
    "attributes_of",
    "embeds_text",
    "files_below",
    "held_by",
    "import_target",
    "layer_functions",
    "missing_functions",
    "package_places",
    "submodules_with",
]

# What a module must have to be a model.
API_FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
# What it may have as well, if it can give all of its layers at once.
LAYER_FUNCTIONS = ("get_scene_layers", "get_timestamp_layers")
# What it may have if it embeds text into the space of its scene embeddings.
TEXT_FUNCTION = "get_text_embeddings"
# What a loaded model says of itself, and what one with layers says of them.
API_ATTRIBUTES = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")
_LAYER_ATTRIBUTES = ("layers", "layer")


class Target(NamedTuple):
    """The name that a user gave for a model, before anything is imported.

    Attributes:
        place: An import name, or the path of a file.
        is_file: Whether it is a file, not a module.
        attribute: Name of an object within the module that has the functions, or "".
        is_network: Whether the object is a function that makes a network without the functions.
    """

    place: str
    is_file: bool
    attribute: str
    is_network: bool = False

    def api(self, module: ModuleType) -> Any:
        """The object with the functions of the API that is meant, in the imported module."""
        if not self.attribute:
            return module
        found: Any = functools.reduce(getattr, self.attribute.split("."), module)
        if not self.is_network:
            return found
        from .network import NetworkApi  # brings torch along

        return NetworkApi(found)


def import_target(target: Target) -> tuple[ModuleType, Any]:
    """Imports a module, in a process that has no other model.

    Modules beside a file can be imported by it.

    Returns:
        The module, and the object with the functions: itself, or an attribute of it.

    Raises:
        Exception: Whatever the module raises.
    """
    if target.is_file:
        path = Path(target.place)
        sys.path.insert(0, str(path.parent))
        name = "_hearbench_model_" + path.stem
        spec = importlib.util.spec_from_file_location(name, str(path))
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} can't be imported as a Python module.")
        module = importlib.util.module_from_spec(spec)
        # Registered, as dataclasses and pickled weights look their module up by name.
        sys.modules[name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(target.place)
    return module, target.api(module)


def missing_functions(api: Any) -> list[str]:
    """The functions of the API that an object doesn't have."""
    return [name for name in API_FUNCTIONS if not callable(getattr(api, name, None))]


def layer_functions(api: Any) -> list[str]:
    """The functions that an object has for all layers at once."""
    return [name for name in LAYER_FUNCTIONS if callable(getattr(api, name, None))]


def embeds_text(api: Any, loaded: Any) -> bool:
    """Whether a loaded model embeds text into the space of its scene embeddings.

    A module whose models differ in this says so by their attribute ``embeds_text``.
    """
    has_function = callable(getattr(api, TEXT_FUNCTION, None))
    return has_function and getattr(loaded, "embeds_text", True) is not False


def attributes_of(api: Any) -> tuple[str, ...]:
    """The attributes that a loaded model states, by the functions of its module.

    Without functions for layers, ``layers`` can be anything, such as a network's list of parts.
    """
    return API_ATTRIBUTES + (_LAYER_ATTRIBUTES if layer_functions(api) else ())


def package_places(module: ModuleType) -> list[str]:
    """The folders of an imported module's top-level package, or its one file."""
    top = sys.modules[module.__name__.partition(".")[0]]
    folders = sorted(str(item) for item in getattr(top, "__path__", []))
    file = getattr(top, "__file__", None)
    return folders or ([str(file)] if file else [])


def files_below(folder: Path, modules: Mapping[str, ModuleType]) -> set[Path]:
    """The files of a folder that modules were imported from."""
    files = {held_by(module, "__file__") for module in list(modules.values())}
    paths = {Path(str(file)) for file in files if file}
    return {path for path in paths if folder in path.parents}


def held_by(module: object, name: str) -> Any:
    """What a module holds by a name; None where it would have to import something to answer."""
    return getattr(module, "__dict__", {}).get(name)


def submodules_with(module: ModuleType, names: Iterable[str]) -> list[str]:
    """The submodules of a package whose source binds all of some names, without importing any."""
    wanted = set(names)
    found = []
    for location in getattr(module, "__path__", []):
        folder = Path(location)
        for path in sorted(folder.rglob("*.py")):
            if wanted <= _bound_names(path):
                parts = path.relative_to(folder).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found.append(".".join((module.__name__, *parts)))
    return [name for name in found if name != module.__name__]


def _bound_names(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()  # a file that can't be parsed isn't a model to propose
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(item.asname or item.name for item in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            names.update(item.id for item in ast.walk(node) if isinstance(item, ast.Name))
    return names
