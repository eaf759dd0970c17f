"""A model's source code: found, imported, digested, searched for the API.

A model given as a path is imported under a name of its own, and the modules beside it are
importable by it, and by it alone: two models may each have a ``utils.py`` beside them.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, TracebackType

from hearbench.digest import digest_bytes, digest_file, digest_json
from hearbench.errors import ModelError
from hearbench.worker.importing import files_below, package_places
from hearbench.worker.tracebacks import own_traceback

__all__ = [
    "SourceScope",
    "call_traceback",
    "files_digest",
    "import_path",
    "package_digest",
    "places_digest",
    "scope_digest",
]

# Never replaced by a file of the same name beside a model: one process holds them once.
_SHARED = frozenset(
    {"hearbench", "keras", "numpy", "torch", "tensorflow", *sys.stdlib_module_names}
)
# A name of this form belongs to one path, so it may stay registered.
_PREFIX = "_hearbench_model_"
_OWN_FILES = ("source.py", "finding.py", "loading.py", "protocol.py", "engine.py")


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
    if scope.folder is None:
        return digest_json([])
    return files_digest(scope.folder, files_below(scope.folder, scope.modules))


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """Over some files of a folder: their names within it and their content."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


def package_digest(name: str) -> str:
    """Over the ``.py`` files of an imported module's package; of hearbench, its models."""
    top = name.partition(".")[0]
    if top == __name__.partition(".")[0]:
        folder = Path(__file__).parent
        return files_digest(folder, folder.rglob("*.py"))
    return places_digest(package_places(sys.modules[name]))


def places_digest(places: Iterable[str]) -> str:
    """Over the ``.py`` files of a package's folders, or its one file."""
    paths = [Path(place) for place in places]
    if len(paths) == 1 and not paths[0].is_dir():
        return files_digest(paths[0].parent, paths)
    return digest_json([files_digest(folder, folder.rglob("*.py")) for folder in paths])


def call_traceback(error: BaseException) -> str:
    """The end of an error's traceback, from the code of the model, without hearbench's frames."""
    return own_traceback(error, (str(Path(__file__).with_name(name)) for name in _OWN_FILES))


def _importable_names(folder: Path) -> set[str]:
    names = {path.stem for path in folder.glob("*.py")}
    return names | {path.parent.name for path in folder.glob("*/*.py")}
