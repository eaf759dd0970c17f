"""Functions and classes of libraries that a model replaces by its own, as ``torch.load``.

They are the model's own as settings of the process are: others have the library's.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Container
from types import ModuleType
from typing import Any

from hearbench.models.python_settings import ATTRIBUTES

__all__ = ["Patches"]

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
_LIBRARIES = ("librosa", "torchaudio")
# Classes whose methods are replaced, too.
_CLASSES = (
    *(("torch", "Tensor"), ("torch.nn", "Module"), ("torch.nn", "Linear"), ("torch.optim", "Adam")),
    *(("torch.optim", "Optimizer"), ("torch", "Generator"), ("pathlib", "Path")),
)


class Patches:
    """What one model has put into modules that it shares with others.

    It is looked for while the model is imported and loaded, and at its first calls, as that takes
    some ms, and holds whenever the model's code runs.
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
    names = [*_MODULES, *(name for name in sys.modules if name.startswith(_LIBRARIES))]
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
