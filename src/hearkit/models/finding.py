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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from hearkit.errors import HearError, ModelError
from hearkit.models.source import SourceScope, import_path, own_traceback, submodules_with

__all__ = ["API_FUNCTIONS", "FoundModel", "find_model"]

API_FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")

# Schemes are two letters at least, so that C:\\model.py is none.
_SCHEME = re.compile(r"([a-z][a-z0-9]+):(?!:)(.+)", re.DOTALL)
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class FoundModel:
    """An object that follows the API, before its model is loaded.

    Attributes:
        api: A module, or another object, with the three functions.
        module: The module that it is, or was found in.
        name: Fit for a folder.
        scope: In which its functions must be called.
        weights: What the name itself says that the model loads, if it does.
    """

    api: object
    module: ModuleType
    name: str
    scope: SourceScope
    weights: Path | None = None


def find_model(spec: str) -> FoundModel:
    """Imports what a model's name stands for.

    Raises:
        ModelError: There is no such thing, it fails on import, or lacks functions of the API.
        DownloadError: Its checkpoint can't be had.
    """
    found = _scheme(spec) or _attribute(spec) or _module(spec)
    missing = [name for name in API_FUNCTIONS if not callable(getattr(found.api, name, None))]
    if not missing:
        return found
    below = submodules_with(found.module, API_FUNCTIONS) if found.api is found.module else []
    if below:
        remedy = f"These submodules have the API: {', '.join(below)}. Name one of them."
    else:
        remedy = f"A HEAR model has the functions {', '.join(API_FUNCTIONS)}."
    raise ModelError(f"{spec} has no {' and no '.join(missing)}. {remedy}")


def _scheme(spec: str) -> FoundModel | None:
    match = _SCHEME.fullmatch(spec)
    if match is None or match[1] not in _SCHEMES:
        return None
    return _SCHEMES[match[1]](match[2])


def _huggingface(text: str) -> FoundModel:
    from hearkit.models import huggingface

    weights = huggingface.resolve(text)
    place = Path(text).expanduser()
    # A folder goes by its own name, a checkpoint on the hub by its owner's and its own.
    shown = place.resolve().name if place.is_dir() else text
    return FoundModel(huggingface, huggingface, f"hf-{_safe(shown)}", SourceScope(None), weights)


def _onnx(text: str) -> FoundModel:
    from hearkit.models import onnx_file

    path = Path(text).expanduser()
    if not path.is_file():
        raise ModelError(f"There is no ONNX file {text}.")
    return FoundModel(
        onnx_file, onnx_file, f"onnx-{_safe(path.stem)}", SourceScope(None), path.resolve()
    )


_SCHEMES: dict[str, Callable[[str], FoundModel]] = {"hf": _huggingface, "onnx": _onnx}


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")


def _attribute(spec: str) -> FoundModel | None:
    """``module:attribute`` or ``file.py:attribute``; None if the name has no such form."""
    place, colon, attribute = spec.rpartition(":")
    if not (place and colon) or not all(part.isidentifier() for part in attribute.split(".")):
        return None
    found = _module(place)
    try:
        with found.scope:
            api = functools.reduce(getattr, attribute.split("."), found.api)
    except AttributeError as error:
        raise ModelError(f"{place} has no attribute {attribute!r}: {error}.") from error
    return replace(found, api=api, name=f"{found.name}.{attribute}")


def _module(spec: str) -> FoundModel:
    path = Path(spec).expanduser()
    if path.suffix == ".py" or "/" in spec or path.is_file():
        if not path.is_file():
            raise ModelError(f"There is no model file {spec}. Give a .py file or an import name.")
        try:
            module, scope = import_path(path)
        except HearError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(f"{spec} fails on import:\n{own_traceback(error)}") from error
        return FoundModel(module, module, path.stem, scope)
    try:
        module = importlib.import_module(spec)
    except HearError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, (ValueError, TypeError)) and not spec.strip("."):
            raise ModelError(f"{spec!r} is no import name.") from error
        if isinstance(error, ModuleNotFoundError) and _is_missing(spec, error):
            raise ModelError(
                f"There is no module named {error.name!r} here. Install the model's package into "
                "this environment, or give the path of its .py file."
            ) from error
        raise ModelError(f"{spec} fails on import:\n{own_traceback(error)}") from error
    return FoundModel(module, module, spec, SourceScope(None))


def _is_missing(spec: str, error: ModuleNotFoundError) -> bool:
    # The module itself or one of its parents, and not something that it imports.
    return error.name is not None and f"{spec}.".startswith(f"{error.name}.")
