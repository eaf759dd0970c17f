"""What a user calls a model, and the object with the API's functions that is meant.

pkg.module              an import name
path/to/model.py        a file
pkg.module:attribute    an object in a module or file, which has the three functions
hf:ORG/NAME             a transformers checkpoint on the Hugging Face hub, or its folder; on the
                        hub also ORG/NAME@REVISION and ORG/NAME/SUBFOLDER
onnx:FILE               an ONNX file with a TOML file beside it, or that TOML file
net:pkg.module:make     a network that a function or class makes, described by options
dasheng-base            a published model of the zoo, which stands for one of the others
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from hearbench.errors import ModelError
from hearbench.models import zoo
from hearbench.models.hub import resolve
from hearbench.models.options import OptionValue
from hearbench.models.source import SourceScope, call_traceback, import_path, model_code
from hearbench.registry import nearest_path
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
    "check_installed",
    "find_model",
    "import_error",
    "lacks_api",
    "name_model",
    "parse_name",
    "published",
    "weights_path",
]

CHECKPOINTS = "hearbench.worker.checkpoints"
"""The module that runs checkpoints of transformers, in this process or another."""
_TRUSTING = "trusting"

# Schemes are two letters at least, so that C:\\model.py is none.
_SCHEME = re.compile(r"([a-z][a-z0-9]+):(?!:)(.+)", re.DOTALL)
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class NamedModel:
    """The parts of a model's name, before anything is imported.

    Attributes:
        spec: The name, as the user gave it.
        target: The module or file, and the object in it.
        name: Fit for a folder.
        weights: What the model loads, where the name or the user says so.
        recipe: The published model that the name stands for, if it does.
    """

    spec: str
    target: Target
    name: str
    weights: Path | None = None
    recipe: zoo.Recipe | None = None

    @property
    def options(self) -> Mapping[str, OptionValue]:
        """Options that the name itself stands for."""
        return {} if self.recipe is None else self.recipe.all_options

    @property
    def is_own(self) -> bool:
        """Tells whether the code is hearbench's, which says by itself which files it takes."""
        return self.target.place.startswith(("hearbench.models.", CHECKPOINTS))

    @property
    def is_checkpoint(self) -> bool:
        """Tells whether it is a checkpoint of transformers."""
        return self.target.place == CHECKPOINTS

    @property
    def trusts_code(self) -> bool:
        """Tells whether Python code that the checkpoint brings is run."""
        return self.is_checkpoint and self.target.attribute == _TRUSTING

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


def name_model(
    spec: str, weights: str | Path | None = None, *, trust_code: bool = False
) -> NamedModel:
    """What a model's name and its weights stand for.

    Args:
        spec: The name.
        weights: A file or folder.
        trust_code: Whether Python code that a checkpoint brings is to be run.

    Raises:
        ModelError: There is no such file or checkpoint, there are no such weights, or the name
            says already which they are.
        DownloadError: Its checkpoint can't be had.
    """
    path = weights_path(weights)
    recipe = published(spec)
    if recipe is None:
        named = parse_name(spec, trust_code=trust_code)
    elif not recipe.spec:
        raise ModelError(f"{recipe.name} can't be run by its name: {recipe.needs}.")
    else:
        if recipe.trust_code and not trust_code and "trust_code" not in recipe.unchecked:
            raise ModelError(
                f"{recipe.name} brings Python code of its own, which isn't run unless --trust-code "
                "allows it, in a process of its own."
            )
        if recipe.weights_file and path is None:
            raise ModelError(
                f"{recipe.name} needs its weights: download the file and name it with --weights."
            )
        is_copy = path is not None and recipe.is_checkpoint
        loads = f"hf:{path}" if is_copy else recipe.loads
        named = parse_name(loads, trust_code=trust_code)
        named = replace(named, spec=recipe.name, name=recipe.name, recipe=recipe)
        if is_copy:
            return named
    if path is None:
        return named
    if named.weights is not None:
        raise ModelError(f"{spec} names its weights itself; leave {weights} out.")
    return replace(named, weights=path)


def published(spec: str) -> zoo.Recipe | None:
    """The published model of a name; None if it is none, or something here has the same name."""
    # No published model is named as a module within a package could be.
    is_module = "." in spec and all(part.isidentifier() for part in spec.split("."))
    if is_module or ":" in spec or "/" in spec or user_path(spec).is_file():
        return None
    module = importlib.util.find_spec(spec) if spec.isidentifier() else None
    # A folder without Python files, as of results, counts as a module without an origin.
    if module is not None and module.origin is not None:
        return None
    return zoo.find(spec)


def parse_name(spec: str, *, trust_code: bool = False) -> NamedModel:
    """Reads what the name of a module, file or checkpoint stands for.

    Args:
        spec: The name.
        trust_code: Whether Python code that a checkpoint brings is to be run.

    Raises:
        ModelError: There is no such file or checkpoint.
        DownloadError: Its checkpoint can't be had.
    """
    match = _SCHEME.fullmatch(spec)
    if match is not None and match[1] in _SCHEMES:
        return _SCHEMES[match[1]](match[2], trust_code)
    place, colon, attribute = spec.rpartition(":")
    if not (place and colon) or not all(part.isidentifier() for part in attribute.split(".")):
        place, attribute = spec, ""
    path = user_path(place)
    is_file = path.suffix == ".py" or "/" in place or path.is_file()
    if is_file and not path.is_file():
        raise ModelError(
            f"There is no model file {place}.{nearest_path(path)} Give a .py file or an import "
            "name.",
            code="not_found",
        )
    name = path.stem if is_file else place
    target = Target(str(path.resolve()) if is_file else place, is_file, attribute)
    return NamedModel(spec, target, f"{name}.{attribute}" if attribute else name)


def check_installed(named: NamedModel) -> None:
    """Refuses a module of a package that isn't installed, without importing anything.

    Raises:
        ModelError: There is no such package here.
    """
    top = named.target.place.partition(".")[0]
    if named.target.is_file or not top or top in sys.modules:
        return
    if importlib.util.find_spec(top) is None:
        raise import_error(named, top, "")


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
        module = _module(target, scope)
        try:
            api = target.api(module)
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
    if named.is_checkpoint and missing:
        return ModelError(
            f"{named.spec} needs {missing}, which isn't installed where the model runs. Install "
            "torch and transformers into that environment."
        )
    if not target.is_file and not target.place.strip("."):
        return ModelError(f"{target.place!r} is no import name.")
    # The module itself or one of its parents, and not something that it imports.
    if not target.is_file and missing and f"{target.place}.".startswith(f"{missing}."):
        return ModelError(
            f"There is no module named {missing!r} here. Install the model's package into "
            f"this environment, or give the path of its .py file.{_near(target.place)}"
        )
    return ModelError(f"{named.spec} fails on import:\n{text}")


def _near(name: str) -> str:
    """What is said of published models with a name like one that isn't there."""
    return "" if "." in name and "-" not in name else f" {zoo.near(name)}"


def _no_attribute(named: NamedModel, text: str) -> ModelError:
    attribute = named.target.attribute
    place = named.spec.removesuffix(f":{attribute}")
    return ModelError(f"{place} has no attribute {attribute!r}: {text}.")


def _module(target: Target, scope: SourceScope) -> Any:
    if target.is_file:
        return import_path(Path(target.place), scope)
    return importlib.import_module(target.place)


def _huggingface(text: str, trust_code: bool) -> NamedModel:
    place = user_path(text)
    weights = resolve(text, with_code=trust_code)
    # A folder goes by its own name, a checkpoint on the hub by its owner's and its own.
    shown = place.resolve().name if place.is_dir() else text
    target = Target(CHECKPOINTS, False, _TRUSTING if trust_code else "")
    return NamedModel(f"hf:{text}", target, f"hf-{_safe(shown)}", weights)


def _onnx(text: str, _: bool) -> NamedModel:
    path = user_path(text)
    if not path.is_file():
        raise ModelError(f"There is no ONNX file {text}.", code="not_found")
    target = Target("hearbench.models.onnx_file", False, "")
    return NamedModel(f"onnx:{text}", target, f"onnx-{_safe(path.stem)}", path.resolve())


def _network(text: str, _: bool) -> NamedModel:
    named = parse_name(text)
    if not named.target.attribute:
        raise ModelError(
            f"net:{text} names no function or class that makes a network: "
            "net:PACKAGE.MODULE:FUNCTION, or net:FILE.py:FUNCTION."
        )
    target = named.target._replace(is_network=True)
    return NamedModel(f"net:{text}", target, f"net-{_safe(named.name)}")


_SCHEMES: dict[str, Callable[[str, bool], NamedModel]] = {
    "hf": _huggingface,
    "net": _network,
    "onnx": _onnx,
}


def weights_path(weights: str | Path | None) -> Path | None:
    """The whole path of weights; None where none are named.

    Raises:
        ModelError: There is no such file or folder.
    """
    if weights is None or str(weights) == "":
        return None
    path = user_path(weights)
    if not path.exists():
        raise ModelError(
            f"There are no weights at {weights}: no such file or folder.", code="not_found"
        )
    return path.resolve()


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text).strip("-.")
