"""A model's source code: imported, kept apart from that of others, digested.

A model given as a path is imported under a name of its own, and the modules beside it are
importable by it, and by it alone: two models may each have a ``utils.py`` beside them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from hearbench.digest import digest_bytes, digest_file, digest_json
from hearbench.errors import HearError, ModelError
from hearbench.models.process_state import ProcessState
from hearbench.models.python_settings import ATTRIBUTES
from hearbench.worker.errors import UnusableError
from hearbench.worker.importing import files_below, held_by, package_places
from hearbench.worker.tracebacks import own_traceback

__all__ = [
    "Patches",
    "SourceScope",
    "call_traceback",
    "files_digest",
    "import_path",
    "is_library",
    "model_code",
    "package_digest",
    "places_digest",
    "scope_digest",
    "source_places",
]

# Never replaced by a file of the same name beside a model: one process holds them once.
_SHARED = frozenset(
    {"hearbench", "keras", "numpy", "torch", "tensorflow", *sys.stdlib_module_names}
)
# A name of this form belongs to one path, so it may stay registered.
_PREFIX = "_hearbench_model_"
_OWN_FILES = (
    "given.py",
    "source.py",
    "finding.py",
    "loading.py",
    "model.py",
    "engine.py",
    "python_settings.py",
)


# Names in `sys.modules` that compiled libraries make for themselves.
_INTERNAL = ("_", "cython_runtime", "swig_runtime_data")
_PACKAGES = ("site-packages", "dist-packages")
_LIBRARIES = tuple(
    Path(sysconfig.get_paths()[kind]) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)
# Only one model's code runs at a time, as the settings of a process are those of all its threads.
_RUNNING = threading.RLock()


class SourceScope:
    """Gives a model's code its own modules and its own settings of the process.

    Both hold inside ``with`` blocks and nowhere else. A model's own modules are those that are
    first imported within the scope from other places than where libraries are installed, so that
    two models may each have their ``utils``, and those of the model's own package wherever that
    lies, so that a model that is loaded again finds them as they were. Settings are those of
    `hearbench.models.process_state`.

    Args:
        folder: A folder whose modules are importable by the model; None if there is none.
        begin: Settings with which the model begins.
        package: The name of the model's package; None for a model that is a file.
    """

    def __init__(
        self,
        folder: Path | None = None,
        begin: Mapping[str, Any] | None = None,
        package: str | None = None,
    ) -> None:
        self.folder = folder
        self._package = None if package in _SHARED else package
        self.modules: dict[str, ModuleType] = {}
        self.state = ProcessState(begin)
        self.patches = Patches()
        # How many more times what it replaces in libraries is looked for; None as long as it isn't
        # loaded.
        self.searches: int | None = None
        self._names = _importable_names(folder) - _SHARED if folder else set()
        self._hidden: dict[str, ModuleType] = {}
        self._before: dict[str, ModuleType] = {}
        self._depth = 0

    def __enter__(self) -> None:
        _RUNNING.acquire()
        self._depth += 1
        if self._depth > 1:
            return
        self.state.enter()
        modules = sys.modules
        # Modules of the same names that belong to others step aside meanwhile.
        if any(name in modules for name in self._names):
            for name in [*modules]:
                if name.partition(".")[0] in self._names and not self._owns(modules[name]):
                    self._hidden[name] = modules.pop(name)
        for name, module in self.modules.items():
            if modules.get(name, module) is not module:
                self._hidden[name] = modules[name]
        modules.update(self.modules)
        self._before = modules.copy()
        self.patches.enter(search=self.searches is None or self.searches > 0)
        if self.searches:
            self.searches -= 1
        if self.folder is not None and str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._depth -= 1
            if self._depth == 0:
                self._keep_modules()
                self.patches.leave(self.modules)
                self.state.leave()
        finally:
            _RUNNING.release()

    def _keep_modules(self) -> None:
        """Takes the model's modules out of the process's, and puts others' back."""
        modules, before = sys.modules, self._before
        # What is imported comes last, so that mostly there is nothing to look through.
        if len(modules) != len(before) or next(reversed(modules)) != next(reversed(before)):
            for name in [name for name in modules if modules[name] is not before.get(name)]:
                if self._is_own(name, replaced=name in before):
                    if name in before and name not in self.modules:
                        self._hidden[name] = before[name]
                    self.modules[name] = modules[name]
            for name in before.keys() - modules.keys():
                if self.modules.pop(name, None) is None:
                    modules[name] = before[name]
        for name in self.modules:
            if not name.startswith(_PREFIX):
                modules.pop(name, None)
        modules.update(self._hidden)
        self._hidden, self._before = {}, {}

    def _is_own(self, name: str, *, replaced: bool) -> bool:
        top = name.partition(".")[0]
        if name in self.modules or top in self.modules or self._owns(sys.modules[name]):
            return True
        if top == self._package and top not in self._before:
            return True
        if replaced:  # by a stand-in, perhaps
            return not is_library(name, sys.modules[name])
        # A part of a package that others have imported is as much theirs.
        return top not in self._before and not is_library(top, sys.modules.get(top))

    def _owns(self, module: ModuleType) -> bool:
        if self.folder is None:
            return False
        paths = [Path(place) for place in _places(module)]
        # A virtual environment may lie in the model's folder.
        return any(
            self.folder in path.parents
            and not set(_PACKAGES) & set(path.relative_to(self.folder).parts)
            for path in paths
        )


def _places(module: object) -> list[str]:
    # Those that packages put off importing would do so if they were asked, and may fail.
    file = held_by(module, "__file__")
    places = [file] if file else list(held_by(module, "__path__") or ())
    return [place for place in places if isinstance(place, str)]


def is_library(name: str, module: object) -> bool:
    """Whether a module is one that the process holds once: of Python, or installed."""
    places = _places(module)
    if not places:
        # Programs make stand-ins of this kind; so do compiled libraries, for themselves.
        return name.startswith(_INTERNAL) or getattr(module, "__spec__", None) is not None
    path = Path(places[0])
    return (
        name.partition(".")[0] in _SHARED
        or bool(set(_PACKAGES) & set(path.parts))
        or any(folder in path.parents for folder in _LIBRARIES)
    )


@contextlib.contextmanager
def model_code(
    scope: SourceScope, error_of: Callable[[BaseException], HearError]
) -> Iterator[None]:
    """The scope of a model, in which all that its code raises becomes an error of hearbench.

    That includes ``sys.exit``, which would end hearbench; only an interrupt is the user's.

    Raises:
        ModelError: The code says why the model can't be used.
    """
    with scope:
        try:
            yield
        except (HearError, KeyboardInterrupt):
            raise
        except UnusableError as error:
            raise ModelError(str(error)) from error
        except BaseException as error:
            raise error_of(error) from error


def import_path(path: Path, scope: SourceScope) -> ModuleType:
    """Imports a ``.py`` file under a name of its own.

    Args:
        path: The file, resolved.
        scope: Of its folder; in it the module's functions must be called.

    Raises:
        OSError, Exception: Whatever the file raises.
    """
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
    return module


def scope_digest(scope: SourceScope) -> str:
    """Digests all files of the scope's folder that were imported within it."""
    if scope.folder is None:
        return digest_json([])
    return files_digest(scope.folder, files_below(scope.folder, scope.modules))


def source_places(module: ModuleType, scope: SourceScope) -> list[Path]:
    """The files, or the folders of a package, of which its digest tells."""
    if scope.folder is None:
        return [Path(place) for place in package_places(module)]
    return sorted(files_below(scope.folder, scope.modules))


def files_digest(folder: Path, paths: Iterable[Path]) -> str:
    """Digests files of a folder: their names within it and their content."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest_file(path)}\n".encode())
    return total.hexdigest()


def package_digest(name: str) -> str:
    """Digests the ``.py`` files of an imported module's package; of hearbench, what runs models."""
    top = name.partition(".")[0]
    if top == __name__.partition(".")[0]:
        folder = Path(__file__).parents[1]
        parts = [folder / "worker" / "checkpoints"]
        if not name.startswith("hearbench.worker."):
            parts.append(folder / "models")
        return files_digest(folder, (path for part in parts for path in part.rglob("*.py")))
    return places_digest(package_places(sys.modules[name]))


def places_digest(places: Iterable[str]) -> str:
    """Digests the ``.py`` files of a package's folders, or its one file."""
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


_ABSENT = object()
# What old code misses in libraries, as ``numpy.float``.
_BASIC = (bool, int, float, complex, str, object)
# Where models replace something, for all of `sys.modules` would take too long.
_MODULES = (
    *("builtins", "os", "os.path", "time", "random", "math", "pickle", "json", "inspect"),
    *("importlib", "shutil", "subprocess", "tempfile", "typing", "collections", "urllib.request"),
    *("copy", "functools", "hashlib", "operator", "pathlib", "threading", "dataclasses"),
    *("numpy", "numpy.random", "numpy.linalg", "numpy.fft", "scipy", "scipy.signal", "soundfile"),
    *("torch", "torch.cuda", "torch.fft", "torch.hub", "torch.nn", "torch.nn.functional"),
    *("torch.nn.init", "torch.serialization", "torch.jit", "tensorflow", "keras", "transformers"),
    *("torch.optim", "torch.optim.adam", "torch.autograd", "torch.linalg", "torch.special"),
    *("sklearn", "sklearn.metrics", "scipy.stats", "scipy.special", "scipy.optimize"),
    *("huggingface_hub", "timm", "fairseq", "requests"),
)
_PATCHED_PREFIXES = ("librosa", "torchaudio")
# Classes whose methods are replaced, too.
_CLASSES = (
    *(("torch", "Tensor"), ("torch.nn", "Module"), ("torch.nn", "Linear"), ("torch.optim", "Adam")),
    *(("torch.optim", "Optimizer"), ("torch", "Generator"), ("pathlib", "Path")),
)


class Patches:
    """Replacements that one model has put into modules that it shares with others.

    These functions and classes, as a ``torch.load``, are the model's own as settings of the process
    are: others have the library's. They are looked for while the model is imported and loaded, and
    at its first calls, as that takes some ms, and hold whenever the model's code runs.
    """

    def __init__(self) -> None:
        self.own: dict[tuple[int, str], tuple[Any, Any]] = {}
        self._others: dict[tuple[int, str], Any] = {}
        self._seen: dict[int, tuple[Any, dict[str, Any]]] = {}

    def enter(self, *, search: bool) -> None:
        """Puts the model's own in place.

        Args:
            search: Whether what it will change now is to be found.
        """
        self._others = {}
        for key, (holder, value) in self.own.items():
            self._others[key] = vars(holder).get(key[1], _ABSENT)
            setattr(holder, key[1], value)
        if search:
            self._seen = {id(holder): (holder, dict(vars(holder))) for holder in _holders()}

    def leave(self, modules: Container[str]) -> None:
        """Puts the libraries' own in place.

        Args:
            modules: Names of the modules that are the model's.
        """
        for place, (holder, seen) in self._seen.items():
            for name, value in [*vars(holder).items()]:
                old = seen.get(name, _ABSENT)
                if old is value:
                    continue
                if _replaces(value, holder, name, old) or _is_of_model(value, modules):
                    self.own[place, name] = (holder, value)
                    self._others.setdefault((place, name), old)
        for (place, name), old in self._others.items():
            holder = self.own[place, name][0]
            if old is not _ABSENT:
                setattr(holder, name, old)
            elif name in vars(holder):
                delattr(holder, name)
        self._seen, self._others = {}, {}


def _holders() -> list[Any]:
    names = [*_MODULES, *(name for name in sys.modules if name.startswith(_PATCHED_PREFIXES))]
    found: list[Any] = [sys.modules[name] for name in dict.fromkeys(names) if name in sys.modules]
    found += [
        getattr(sys.modules[module], name) for module, name in _CLASSES if module in sys.modules
    ]
    return [one for one in found if isinstance(one, ModuleType | type)]


def _replaces(value: Any, holder: Any, name: str, old: Any) -> bool:
    """Whether something that can be called has taken another's place, whoever wrote it."""
    if name in ATTRIBUTES.get(holder.__name__, ()):
        return False  # looked after as a setting
    if old is _ABSENT and isinstance(holder, type):
        bases = (vars(base) for base in holder.__mro__[1:])
        old = next((names[name] for names in bases if name in names), old)
    return all(callable(one) and not isinstance(one, ModuleType) for one in (value, old))


def _is_of_model(value: Any, modules: Container[str]) -> bool:
    # Libraries fill their modules as well, when they are first used; that stays.
    if isinstance(value, functools.partial) or any(value is one for one in _BASIC):
        return True
    return callable(value) and getattr(value, "__module__", None) in modules
