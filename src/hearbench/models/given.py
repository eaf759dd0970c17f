"""Models given as objects: in which forms, how they are called, and what they are made of.

Their functions are called as they are, where the object lies: it isn't copied, moved or loaded
again. Training goes on afterwards as if nothing had been.

What makes two of them the same model is weights, code and settings, so all is walked that the
object leads to: tensors by their bytes, attributes by their values,
functions by their code, with what they close over and the globals that they name, and classes by
their members. Of code in files the whole file counts, of a package of the user's all of it; of
installed packages the module's file and the package's version, of Python, numpy and the frameworks
nothing. Neither places nor the order in which things were made count, so that the same object has
the same digest in another process. What can't be looked at is named.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
import logging
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

import numpy as np
import torch

from hearbench.digest import digest_bytes, digest_file, digest_json
from hearbench.errors import ModelError
from hearbench.files import is_file
from hearbench.models.engine import InProcess
from hearbench.models.fingerprint import signal
from hearbench.models.source import SourceScope, is_library, package_digest
from hearbench.worker.backends import Backend, TorchBackend, backend_of
from hearbench.worker.importing import (
    API_ATTRIBUTES,
    API_FUNCTIONS,
    missing_functions,
    package_places,
)
from hearbench.worker.values import kind_of

__all__ = [
    "Methods",
    "ObjectContent",
    "ObjectScope",
    "api_of",
    "backend_for",
    "content_of",
    "kept_weights",
    "signal_digest",
]

# Values that a text says completely.
_PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice, type(...))
_FRAMEWORKS = frozenset({"jax", "keras", "numpy", "tensorflow", "torch", *sys.stdlib_module_names})
_OWN_PACKAGE = __name__.partition(".")[0]
# Of a torch module: its parts, which are walked by their names, and what no embedding depends on.
_PARTS = frozenset(
    {
        *("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"),
        *("_backward_hooks", "_backward_pre_hooks", "_is_full_backward_hook"),
        *("_state_dict_hooks", "_state_dict_pre_hooks"),
        *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
        *("_forward_hooks_always_called", "_forward_hooks_with_kwargs"),
        *("_forward_pre_hooks_with_kwargs", "_is_torch_compile", "_compiled_call_impl"),
    }
)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")  # keyed by numbers that count all of a process
# Of a compiled module's text: places in files, addresses, numbers of a process, the mode.
_NOT_OF_A_SCRIPT = re.compile(
    r" # \S+:\d+:\d+$|0x[0-9a-f]+|\.?___torch_mangle_\d+|training = \w+", re.MULTILINE
)
_NOT_OF_A_CLASS = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__annotations__"),
        *("__annotate__", "__annotate_func__", "__annotations_cache__", "__static_attributes__"),
        *("__firstlineno__", "__abstractmethods__", "_abc_impl", "__parameters__"),
        *("__orig_bases__", "__classcell__", "__match_args__", "__dataclass_fields__"),
    }
)
_CACHED = type(functools.cache(len))
_BUILT_IN = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.MethodWrapperType,
)
_MOST_PARTS = 20_000  # of an attribute that is an object, as a trainer that leads to everything


@dataclass(frozen=True)
class ObjectContent:
    """The content of an object: weights, and a digest of all the rest.

    Attributes:
        modules: The torch modules in it that are part of no other.
        weights: Digests of their parameters and buffers, by name.
        source: Digest of all the rest.
        unseen: What couldn't be looked at.
    """

    modules: tuple[torch.nn.Module, ...]
    weights: Mapping[str, str]
    source: str
    unseen: tuple[str, ...]

    @property
    def weights_digest(self) -> str | None:
        """Digest of all weights; None where there are none."""
        return digest_json(sorted(self.weights.items())) if self.weights else None


def content_of(*parts: object) -> ObjectContent:
    """The content of some objects that make up a model together."""
    walk = _Walk()
    for part in parts:
        walk.add(part, "it")
    unseen = list(walk.unseen)
    weights = {}
    for name, tensor in _tensors_of(walk.modules):
        weights[name] = _tensor_digest(tensor)
        if _bytes_of(tensor) is None:
            unseen.append(f"the tensor {name}")
    return ObjectContent(tuple(walk.modules), weights, walk.digest(), tuple(dict.fromkeys(unseen)))


def kept_weights(modules: Iterable[torch.nn.Module]) -> dict[str, str]:
    """Digests of what a checkpoint of modules would hold; buffers that are made again don't count.

    Such buffers may change in the course of a model's calls, as tables that grow with the clips.
    """
    listed = list(modules)
    kept = {f"{i}.{name}" for i, one in enumerate(listed) for name in one.state_dict()}
    return {
        name: _tensor_digest(tensor)
        for name, tensor in _tensors_of(listed)
        if name in kept or isinstance(tensor, torch.nn.Parameter)
    }


def _tensors_of(modules: Iterable[torch.nn.Module]) -> Iterator[tuple[str, torch.Tensor]]:
    """The parameters and buffers of modules, by names that begin with the module's number."""
    for number, module in enumerate(modules):
        named = {
            **dict(module.named_buffers(remove_duplicate=False)),
            **dict(module.named_parameters(remove_duplicate=False)),
        }
        for name in sorted(named):
            yield f"{number}.{name}", named[name]


class _Walk:
    """Adds what it meets to one digest.

    Args:
        outer: The walk that met an object whose attributes this one walks; None for none.
    """

    def __init__(self, outer: _Walk | None = None) -> None:
        self.unseen: dict[str, None] = {}
        self.modules: list[torch.nn.Module] = []
        # Numbers of the objects that were met, by id.
        self._met: dict[int, int] = dict(outer._met) if outer else {}  # noqa: SLF001
        self._alive: list[object] = []  # an id belongs to one object as long as that lives
        self._files: dict[str, list[str]] = outer._files if outer else {}  # noqa: SLF001
        self._hash = hashlib.sha256()
        # How much an attribute may lead to; shared by all walks below it.
        self._left: list[int] | None = outer._left if outer else None  # noqa: SLF001
        self._is_part = False

    def digest(self) -> str:
        return self._hash.hexdigest()

    def add(self, value: Any, where: str) -> None:
        """Adds a value.

        Args:
            where: What it is to the model, for what can't be looked at.
        """
        if self._left is not None:
            self._left[0] -= 1
            if self._left[0] < 0:
                raise _TooMuchError
        if isinstance(value, torch.nn.Module):
            value = getattr(value, "_orig_mod", value)  # of what torch.compile makes
        if type(value) in _PLAIN:
            self._put(type(value).__name__, repr(value))
            return
        if id(value) in self._met:
            self._put("again", str(self._met[id(value)]))
            return
        self._met[id(value)] = len(self._met)
        self._alive.append(value)
        if isinstance(value, torch.Tensor | np.ndarray | np.generic):
            self._array(value, where)
        elif isinstance(value, torch.nn.Module):
            self._torch_module(value, where)
        elif isinstance(value, type):
            self._class(value, where)
        elif isinstance(value, types.ModuleType):
            self._put("module", value.__name__)
            self._code_of(value.__name__)
        elif isinstance(value, types.FunctionType):
            self._function(value, where)
        elif isinstance(value, int | float | str | bytes):
            self._put(type(value).__qualname__, repr(value))
        elif not self._collection(value, where) and not self._wrapper(value, where):
            self._object(value, where)

    def _put(self, *texts: str) -> None:
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            self._hash.update(f"{len(data)}:".encode())
            self._hash.update(data)

    def _array(self, value: torch.Tensor | np.ndarray[Any, Any] | np.generic, where: str) -> None:
        tensor = value if isinstance(value, torch.Tensor) else None
        if tensor is None:
            array = np.asarray(value)
            if array.dtype.hasobject:
                self._put("objects", str(array.shape))
                for item in array.reshape(-1).tolist():
                    self.add(item, where)
                return
            data = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            self._put("array", str(array.dtype), str(array.shape), data)
            return
        self._put("tensor", _tensor_digest(tensor))
        if _bytes_of(tensor) is None:
            self.unseen[where] = None

    def _torch_module(self, module: torch.nn.Module, where: str) -> None:
        if not self._is_part:
            self.modules.append(module)
        if isinstance(module, torch.jit.ScriptModule):
            text = module._c.dump_to_str(True, True, False)  # noqa: SLF001 - code and constants
            self._put("script", _NOT_OF_A_SCRIPT.sub("", text))
            return
        # What is no registered part has weights that the module's own don't hold.
        is_part, self._is_part = self._is_part, False
        self.add(type(module), where)
        ours = not _is_library(type(module).__module__)
        for name, value in sorted(vars(module).items()):
            if name in _HOOKS:
                for hook in value.values():
                    self.add(hook, f"a hook of {where}")
            elif name not in _PARTS and (ours or not name.startswith("_")):
                self._put(name)
                self.add(value, f"the attribute {name} of {kind_of(module)}")
        for name in sorted([*module._parameters, *module._buffers]):  # noqa: SLF001
            self._put("weights", name)
        self._is_part = True
        for name, child in module._modules.items():  # noqa: SLF001
            self._put("part", name)
            self.add(child, where)
        self._is_part = is_part

    def _class(self, cls: type, where: str) -> None:
        self._put("class", cls.__qualname__)
        self._code_of(cls.__module__)
        if _is_library(cls.__module__):
            self._put(cls.__module__)
            return
        for base in cls.__bases__:
            self.add(base, where)
        for name, member in sorted(vars(cls).items()):
            is_slot = isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType)
            if name not in _NOT_OF_A_CLASS and not is_slot:
                self._put(name)
                self.add(member, f"{name} of {cls.__module__}.{cls.__qualname__}")

    def _function(self, function: types.FunctionType, where: str) -> None:
        module = function.__globals__.get("__name__") or ""
        self._put("function", function.__qualname__)
        self._code_of(module)
        if _is_library(module):
            self._put(module)
        else:
            self._code(function.__code__, where)
            self.add([function.__defaults__, function.__kwdefaults__], where)
            for name in sorted(_names_in(function.__code__)):
                if name in function.__globals__:
                    self._put(name)
                    self.add(function.__globals__[name], f"the global {name}")
        # A library's decorator holds the function that it decorates.
        for cell in function.__closure__ or ():
            self.add(_held_by(cell), f"what {function.__qualname__} closes over")

    def _code(self, code: types.CodeType, where: str) -> None:
        self._put("code", code.co_name, code.co_code.hex(), *code.co_names, *code.co_varnames)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, where)
            else:
                self.add(constant, where)

    def _collection(self, value: Any, where: str) -> bool:
        if isinstance(value, list | tuple):
            self._put(type(value).__qualname__, str(len(value)))
            for item in value:
                self.add(item, where)
        elif isinstance(value, Mapping):
            self._put(type(value).__qualname__, str(len(value)))
            for key, item in value.items():
                self.add(key, where)
                self.add(item, where)
        elif isinstance(value, set | frozenset):
            digests = []
            for item in value:
                walk = _Walk(self)
                walk.add(item, where)
                self.unseen |= walk.unseen
                digests.append(walk.digest())
            self._put(type(value).__qualname__, *sorted(digests))
        elif isinstance(value, PurePath):
            path = Path(value)
            content = digest_file(path) if is_file(path) else path.name
            self._put("path", content)
        else:
            return False
        return True

    def _wrapper(self, value: Any, where: str) -> bool:
        """Things that stand for others, and those that a name says completely."""
        if isinstance(value, staticmethod | classmethod | types.MethodType):
            self._put(kind_of(value))
            self.add(value.__func__, where)
            if isinstance(value, types.MethodType):
                self.add(value.__self__, where)
        elif isinstance(value, property):
            self.add([value.fget, value.fset, value.fdel], where)
        elif isinstance(value, functools.partial):
            self.add([value.func, value.args, dict(value.keywords)], where)
        elif isinstance(value, _CACHED):
            self.add(value.__wrapped__, where)
        elif isinstance(value, _BUILT_IN):
            self._put("built in", str(getattr(value, "__qualname__", "")))
            owner = getattr(value, "__self__", None)
            if owner is not None and not isinstance(owner, types.ModuleType):
                self.add(owner, where)
        elif isinstance(value, enum.Enum):
            self._put(type(value).__qualname__, value.name)
        elif isinstance(value, torch.dtype | torch.layout | torch.memory_format | np.dtype):
            self._put(str(value))
        elif isinstance(value, torch.device | logging.Logger):
            self._put(type(value).__qualname__)  # no part of what a model is
        elif isinstance(value, re.Pattern):
            self.add([value.pattern, value.flags], where)
        else:
            return False
        return True

    def _object(self, value: Any, where: str) -> None:
        """An object by its class and attributes, if these can be looked at."""
        try:
            attributes = vars(value)
        except TypeError:
            attributes = None
        self._put("object", type(value).__qualname__)
        if attributes is None:
            self.unseen[f"{where} ({kind_of(value)})"] = None
            return
        walk = _Walk(self)
        if self._left is None:
            walk._left = [_MOST_PARTS]
        try:
            walk.add(type(value), where)
            for name, item in sorted(attributes.items()):
                walk._put(str(name))
                walk.add(item, f"the attribute {name} of {kind_of(value)}")
        except (_TooMuchError, RecursionError):
            if self._left is not None:
                raise
            self.unseen[f"{where} ({kind_of(value)})"] = None
            return
        self._put(walk.digest())
        self.unseen |= walk.unseen
        self.modules += walk.modules
        self._met |= walk._met
        self._alive += walk._alive

    def _code_of(self, module: str) -> None:
        """Adds the files in which code lies."""
        if module not in self._files:
            self._files[module] = _files_digests(module)
        self._put(*self._files[module])


class _TooMuchError(Exception):
    """An object leads to more than can be looked at."""


def _is_library(module: str) -> bool:
    return is_library(module, sys.modules.get(module)) if module in sys.modules else False


def _files_digests(module: str) -> list[str]:
    top = module.partition(".")[0]
    if top == _OWN_PACKAGE:
        return [package_digest(module)]
    if top in _FRAMEWORKS or module not in sys.modules:
        return []
    if not _is_library(module):
        # In a notebook or at a prompt the code lies in no file.
        has_files = package_places(sys.modules[module])
        return [package_digest(module)] if has_files else []
    file = getattr(sys.modules[module], "__file__", None)
    version = str(getattr(sys.modules.get(top), "__version__", ""))
    return [module, version, *([digest_file(Path(file))] if file and is_file(file) else [])]


def _names_in(code: types.CodeType) -> set[str]:
    """The names of globals and attributes in code, also in functions within it."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return names


def _held_by(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return "nothing yet"


def _tensor_digest(tensor: torch.Tensor) -> str:
    data = _bytes_of(tensor)
    content = hashlib.sha256(data).hexdigest() if data is not None else "?"
    return f"{tensor.dtype} {tuple(tensor.shape)} {content}"


def _bytes_of(tensor: torch.Tensor) -> memoryview | None:
    """The numbers of a tensor, wherever it lies; None where it has none of its own."""
    try:
        whole = tensor.detach().cpu().contiguous().reshape(-1)
        data: memoryview = whole.view(torch.uint8).numpy().data
    except (RuntimeError, TypeError, NotImplementedError, ValueError, AttributeError):
        return None  # on no device, split over several, sparse or quantised
    return data


_FUNCTIONS = API_FUNCTIONS[1:]


class Methods:
    """The functions of the API for a model that has them as methods.

    Args:
        modules: Torch modules that are in evaluation mode meanwhile.
    """

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        self._modules = modules

    def get_scene_embeddings(self, audio: Any, model: Any) -> Any:
        """What the method of that name returns for audio (n_clips, n_samples)."""
        with _evaluating(self._modules):
            return model.get_scene_embeddings(audio)

    def get_timestamp_embeddings(self, audio: Any, model: Any) -> Any:
        """What the method of that name returns for audio (n_clips, n_samples)."""
        with _evaluating(self._modules):
            return model.get_timestamp_embeddings(audio)

    def get_text_embeddings(self, texts: Any, model: Any) -> Any:
        """What the method of that name returns for texts."""
        with _evaluating(self._modules):
            return model.get_text_embeddings(texts)

    def get_scene_layers(self, audio: Any, model: Any) -> Any:
        """What the method of that name returns for audio (n_clips, n_samples)."""
        with _evaluating(self._modules):
            return model.get_scene_layers(audio)

    def get_timestamp_layers(self, audio: Any, model: Any) -> Any:
        """What the method of that name returns for audio (n_clips, n_samples)."""
        with _evaluating(self._modules):
            return model.get_timestamp_layers(audio)


class ObjectScope(SourceScope):
    """Gives an object its own settings of the process, and leaves the modules to the user."""

    def _is_own(self, name: str, *, replaced: bool) -> bool:  # noqa: ARG002
        return False


class _WhereItIs(TorchBackend):
    """PyTorch, with the model left where it is."""

    def __init__(self, device: str) -> None:
        self.device = device


def api_of(given: object) -> Any | None:
    """The object with the three functions, if it is one; None for a model with two methods.

    Raises:
        ModelError: It is neither.
    """
    if isinstance(given, type):
        raise ModelError(
            f"{given.__qualname__} is a class; give an object of it, as {given.__qualname__}()."
        )
    wanted = (*API_ATTRIBUTES, *_FUNCTIONS)
    lacks = [name for name in wanted if not hasattr(given, name)]
    if not isinstance(given, ModuleType) and not lacks:
        return None
    missing = missing_functions(given)
    if not missing:
        return given
    what = f"The module {given.__name__}" if isinstance(given, ModuleType) else kind_of(given)
    raise ModelError(
        f"{what} is no model: it lacks {', '.join(missing)} of the API's three functions, and as a "
        f"loaded model it lacks {', '.join(lacks)}. A model is given as a name or path, as a "
        "module or object with load_model, get_scene_embeddings(audio, model) and "
        "get_timestamp_embeddings(audio, model), or as an object with "
        "get_scene_embeddings(audio), get_timestamp_embeddings(audio), sample_rate, "
        "scene_embedding_size and timestamp_embedding_size."
    )


def backend_for(loaded: object, modules: Sequence[torch.nn.Module], device: str) -> Backend:
    """The backend that calls an object, with tensors on the device where its own lie.

    Args:
        modules: The torch modules in it.
        device: Where audio is put for an object that holds no tensors.

    Raises:
        BackendError: TensorFlow has no such device.
    """
    for _, tensor in _tensors_of(modules):
        return _WhereItIs(str(tensor.device))
    roots = {base.__module__.partition(".")[0] for base in type(loaded).__mro__}
    if roots & {"tensorflow", "keras"}:
        return backend_of(loaded, device, kind_of(loaded))
    return _WhereItIs(device)


def signal_digest(engine: InProcess, sample_rate: int, name: str) -> str:
    """Digest of the embeddings of a fixed signal, bit by bit, in the place of weights.

    Args:
        sample_rate: The model's, in Hz.
        name: Of the model, for messages.

    Raises:
        ModelError: Neither of its functions can embed the signal.
    """
    found = []
    for function in _FUNCTIONS:
        with contextlib.suppress(ModelError):
            answer = engine.call(function, signal(sample_rate))
            found += [item.array.tobytes() for item in answer.items if item.array is not None]
    if not found:
        raise ModelError(
            f"{name} can't be told from other models: its weights can't be looked at, and it "
            "can't embed a fixed signal of a second."
        )
    return digest_bytes(b"".join(found))


@contextlib.contextmanager
def _evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Switches modules to evaluation mode, and each of their parts back to what it was."""
    before = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, training in before:
            part.training = training
