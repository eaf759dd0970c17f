"""What a user calls a model, and the object with the API's functions that is meant.

pkg.module              an import name
path/to/model.py        a file
pkg.module:attribute    an object in a module or file, which has the three functions
hf:ORG/NAME             a transformers checkpoint on the Hugging Face hub, or its folder
onnx:FILE               an ONNX file with a TOML file beside it, or that TOML file
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hearbench.errors import ModelError
from hearbench.models.hub import resolve
from hearbench.models.source import SourceScope, call_traceback, import_path, model_code
from hearbench.worker.importing import (
    API_FUNCTIONS,
    Target,
    missing_functions,
    submodules_with,
)
from hearbench.workspace import user_path

__all__ = [
    "CHECKPOINTS",
    "FoundModel",
    "NamedModel",
    "find_model",
    "import_error",
    "lacks_api",
    "parse_name",
]

CHECKPOINTS = "hearbench.worker.checkpoints"
"""The module that runs checkpoints of transformers, in this process or another."""

# Schemes are two letters at least, so that C:\\model.py is none.
_SCHEME = re.compile(r"([a-z][a-z0-9]+):(?!:)(.+)", re.DOTALL)
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class NamedModel:
    """What a model's name says, before anything is imported.

    Attributes:
        spec: The name, as the user gave it.
        target: The module or file, and the object in it.
        name: Fit for a folder.
        weights: What the name itself says that the model loads, if it does.
    """

    spec: str
    target: Target
    name: str
    weights: Path | None = None

    @property
    def is_own(self) -> bool:
        """Whether the code is hearbench's, which says by itself which files it takes."""
        return self.target.place.startswith(("hearbench.models.", CHECKPOINTS))

    @property
    def target_there(self) -> Target:
        """The target in another interpreter, where what hearbench sends has another name."""
        place = self.target.place
        return self.target._replace(place=place.replace("hearbench.worker.", "hearbench_worker."))


@dataclass(frozen=True)
class FoundModel:
    """An object that follows the API, before its model is loaded.

    Attributes:
        api: A module, or another object, with the three functions.
        module: The module that it is, or was found in.
        scope: In which its functions must be called.
    """

    api: Any
    module: ModuleType
    scope: SourceScope


def parse_name(spec: str) -> NamedModel:
    """What a model's name stands for.

    Raises:
        ModelError: There is no such file or checkpoint.
        DownloadError: Its checkpoint can't be had.
    """
    match = _SCHEME.fullmatch(spec)
    if match is not None and match[1] in _SCHEMES:
        return _SCHEMES[match[1]](match[2])
    place, colon, attribute = spec.rpartition(":")
    if not (place and colon) or not all(part.isidentifier() for part in attribute.split(".")):
        place, attribute = spec, ""
    path = user_path(place)
    is_file = path.suffix == ".py" or "/" in place or path.is_file()
    if is_file and not path.is_file():
        raise ModelError(
            f"There is no model file {place}. Give a .py file or an import name.", code="not_found"
        )
    name = path.stem if is_file else place
    target = Target(str(path.resolve()) if is_file else place, is_file, attribute)
    return NamedModel(spec, target, f"{name}.{attribute}" if attribute else name)


def find_model(named: NamedModel, begin: Mapping[str, Any] | None = None) -> FoundModel:
    """Imports what a model's name stands for.

    Args:
        begin: Settings of the process with which the model begins.

    Raises:
        ModelError: There is no such thing, it fails on import, or lacks functions of the API.
    """
    target = named.target
    folder = Path(target.place).parent if target.is_file else None
    package = None if target.is_file else target.place.partition(".")[0]
    scope = SourceScope(folder, begin, package)

    def failure(error: BaseException) -> ModelError:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        return import_error(named, missing, call_traceback(error))

    with model_code(scope, failure):
        api = module = _module(target, scope)
        if target.attribute:
            try:
                api = functools.reduce(getattr, target.attribute.split("."), module)
            except AttributeError as error:
                raise _no_attribute(named, str(error)) from error
        missing = missing_functions(api)
        if missing:
            below = submodules_with(module, API_FUNCTIONS) if api is module else []
            raise lacks_api(named, missing, below)
    return FoundModel(api, module, scope)


def lacks_api(named: NamedModel, missing: Sequence[str], below: Sequence[str]) -> ModelError:
    """The error of an object that lacks functions of the API, which submodules may have."""
    if below:
        remedy = f"These submodules have the API: {', '.join(below)}. Name one of them."
    else:
        remedy = f"A HEAR model has the functions {', '.join(API_FUNCTIONS)}."
    return ModelError(f"{named.spec} has no {' and no '.join(missing)}. {remedy}")


def import_error(named: NamedModel, missing: str | None, text: str) -> ModelError:
    """The error of a module that can't be imported.

    Args:
        named: Of the model.
        missing: The name of a module that wasn't found, if that is what went wrong.
        text: The end of the traceback.
    """
    target = named.target
    if not target.is_file and not target.place.strip("."):
        return ModelError(f"{target.place!r} is no import name.")
    # The module itself or one of its parents, and not something that it imports.
    if not target.is_file and missing and f"{target.place}.".startswith(f"{missing}."):
        return ModelError(
            f"There is no module named {missing!r} here. Install the model's package into "
            "this environment, or give the path of its .py file."
        )
    return ModelError(f"{named.spec} fails on import:\n{text}")


def _no_attribute(named: NamedModel, text: str) -> ModelError:
    attribute = named.target.attribute
    place = named.spec.removesuffix(f":{attribute}")
    return ModelError(f"{place} has no attribute {attribute!r}: {text}.")


def _module(target: Target, scope: SourceScope) -> Any:
    if target.is_file:
        return import_path(Path(target.place), scope)
    return importlib.import_module(target.place)


def _huggingface(text: str) -> NamedModel:
    place = user_path(text)
    weights = resolve(text)
    # A folder goes by its own name, a checkpoint on the hub by its owner's and its own.
    shown = place.resolve().name if place.is_dir() else text
    return NamedModel(f"hf:{text}", Target(CHECKPOINTS, False, ""), f"hf-{_safe(shown)}", weights)


def _onnx(text: str) -> NamedModel:
    path = user_path(text)
    if not path.is_file():
        raise ModelError(f"There is no ONNX file {text}.", code="not_found")
    target = Target("hearbench.models.onnx_file", False, "")
    return NamedModel(f"onnx:{text}", target, f"onnx-{_safe(path.stem)}", path.resolve())


_SCHEMES: dict[str, Callable[[str], NamedModel]] = {"hf": _huggingface, "onnx": _onnx}


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")
