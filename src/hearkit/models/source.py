"""A model's source code: found, imported, digested, searched for the API.

A model given as a path is imported under a name of its own, and the modules beside it are
importable by it, and by it alone: two models may each have a ``utils.py`` beside them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, TracebackType

from hearkit.digest import digest_bytes, digest_file, digest_json
from hearkit.errors import ModelError

__all__ = [
    "SourceScope",
    "import_path",
    "own_traceback",
    "package_digest",
    "scope_digest",
    "submodules_with",
]

# Never replaced by a file of the same name beside a model: one process holds them once.
_SHARED = frozenset({"hearkit", "keras", "numpy", "torch", "tensorflow", *sys.stdlib_module_names})
_TRACEBACK_FRAMES = 4
# A name of this form belongs to one path, so it may stay registered.
_PREFIX = "_hearkit_model_"
_OWN_FILES = frozenset({"source.py", "finding.py", "loading.py", "protocol.py", "backends.py"})


class SourceScope:
    """Makes the modules of one folder importable inside ``with`` blocks, and private to them.

    Args:
        folder: The folder, or None for a scope that does nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.modules: dict[str, ModuleType] = {}
        self._names = _importable_names(folder) - _SHARED if folder else set()
        self._hidden: dict[str, ModuleType] = {}
        self._before: set[str] = set()
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1
        if self.folder is None or self._depth > 1:
            return
        # Modules of the same names that belong to others step aside meanwhile.
        if not self._names.isdisjoint(sys.modules):
            for name in [*sys.modules]:
                if name.partition(".")[0] in self._names and not self._owns(sys.modules[name]):
                    self._hidden[name] = sys.modules.pop(name)
        sys.modules.update(self.modules)
        self._before = set(sys.modules) - set(self.modules)
        sys.path.insert(0, str(self.folder))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self.folder is None or self._depth:
            return
        if str(self.folder) in sys.path:
            sys.path.remove(str(self.folder))
        for name in set(sys.modules) - self._before:
            if self._owns(sys.modules[name]):
                self.modules[name] = sys.modules[name]
                if not name.startswith(_PREFIX):
                    del sys.modules[name]
        sys.modules.update(self._hidden)
        self._hidden = {}

    def _owns(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", []))
        return any(self.folder in Path(place).parents for place in places)


def import_path(path: Path) -> tuple[ModuleType, SourceScope]:
    """Imports a ``.py`` file under a name of its own.

    Returns:
        The module, and the scope in which its functions must be called.

    Raises:
        OSError, Exception: Whatever the file raises.
    """
    path = path.resolve()
    scope = SourceScope(path.parent)
    importlib.invalidate_caches()
    name = f"{_PREFIX}{digest_bytes(str(path).encode())[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} can't be imported as a Python module.")
    module = importlib.util.module_from_spec(spec)
    with scope:
        # Registered, as dataclasses and pickled weights look their module up by name.
        sys.modules[name] = scope.modules[name] = module
        spec.loader.exec_module(module)
    return module, scope


def scope_digest(scope: SourceScope) -> str:
    """Over all files of the scope's folder that were imported within it."""
    folder = scope.folder
    if folder is None:
        return digest_json([])
    paths = {
        Path(str(module.__file__))
        for module in scope.modules.values()
        if getattr(module, "__file__", None)
    }
    return _digest_sources(folder, paths)


def package_digest(name: str) -> str:
    """Over the ``.py`` files of an imported module's top-level package; of hearkit, its models."""
    top = name.partition(".")[0]
    if top == __name__.partition(".")[0]:
        folder = Path(__file__).parent
        return _digest_sources(folder, folder.rglob("*.py"))
    module = sys.modules[top]
    folders = sorted(Path(item) for item in getattr(module, "__path__", []))
    if folders:
        return digest_json([_digest_sources(folder, folder.rglob("*.py")) for folder in folders])
    file = getattr(module, "__file__", None)
    return _digest_sources(Path(file).parent, [Path(file)]) if file else digest_json([])


def _digest_sources(folder: Path, paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


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


def own_traceback(error: BaseException) -> str:
    """The end of an error's traceback, from the code of the model, without hearkit's frames."""
    own = {str(Path(__file__).with_name(name)) for name in _OWN_FILES}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in own and not frame.filename.startswith("<frozen importlib")
    ]
    lines = traceback.format_list(frames[-_TRACEBACK_FRAMES:])
    lines += traceback.format_exception_only(type(error), error)
    return "".join(lines).rstrip()


def _importable_names(folder: Path) -> set[str]:
    names = {path.stem for path in folder.glob("*.py")}
    return names | {path.parent.name for path in folder.glob("*/*.py")}
