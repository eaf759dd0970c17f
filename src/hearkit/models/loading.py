"""From an import name or a ``.py`` file to a ``Model``."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hearkit.digest import digest_file, digest_json, short
from hearkit.errors import HearError, ModelError
from hearkit.models.backends import backend_of
from hearkit.models.options import OptionValue, Signature, option_suffix, signature_of
from hearkit.models.protocol import API_FUNCTIONS, SAMPLE_RATES, Model
from hearkit.models.source import (
    SourceScope,
    import_path,
    own_traceback,
    package_digest,
    scope_digest,
    submodules_with,
)
from hearkit.settings import Settings

__all__ = ["load_model"]

_LONGEST_NAME = 100
_OWN_WITH_WEIGHTS = frozenset({"hearkit.models.crepe"})


def load_model(
    spec: str | Path,
    weights: str | Path | None = None,
    *,
    settings: Settings | None = None,
    **options: OptionValue,
) -> Model:
    """Loads a model that follows the HEAR API.

    Args:
        spec: The import name of its module, or the path of a ``.py`` file.
        weights: A file or folder that is handed to the module's own ``load_model`` as its
            first argument.
        settings: Default: from the environment. The model is moved to its device.
        **options: Further keywords of the module's ``load_model``. Text is converted to the
            type of the keyword's default or annotation.

    Returns:
        The model. It is not switched to evaluation mode: that is the module's own affair, as
        it was in the reference.

    Raises:
        ModelError: The module or the weights aren't there, the module fails, or it doesn't
            follow the API.
    """
    settings = settings or Settings.from_environment()
    weights_path = _weights_path(weights)
    module, base_name, scope = _import(str(spec))
    _check_api(module, str(spec))
    signature = signature_of(module.load_model, base_name)
    values = signature.convert(options)
    with scope:
        loaded = _load(module, signature, weights_path, values)
        backend = backend_of(loaded, settings.torch_device(), base_name)
    # After loading, so that modules imported while loading count.
    source = package_digest(module.__name__) if scope.folder is None else scope_digest(scope)
    name = _folder_name(base_name, values)
    weights_digest = _weights_digest(module, weights_path, values)
    identity = {
        "name": name,
        "options": dict(values),
        "files": _option_files(values),
        "weights": weights_digest,
        "source": source,
    }
    return Model(
        name=name,
        spec=str(spec),
        weights=weights_path,
        options=values,
        sample_rate=_sample_rate(loaded, base_name),
        scene_embedding_size=_size(loaded, "scene_embedding_size", base_name),
        timestamp_embedding_size=_size(loaded, "timestamp_embedding_size", base_name),
        device=backend.device,
        digest=digest_json(identity),
        weights_digest=weights_digest,
        source_digest=source,
        module=module,
        loaded=loaded,
        backend=backend,
        scope=scope,
    )


def _import(spec: str) -> tuple[ModuleType, str, SourceScope]:
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
        return module, path.stem, scope
    try:
        return importlib.import_module(spec), spec, SourceScope(None)
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


def _is_missing(spec: str, error: ModuleNotFoundError) -> bool:
    # The module itself or one of its parents, and not something that it imports.
    return error.name is not None and f"{spec}.".startswith(f"{error.name}.")


def _check_api(module: ModuleType, spec: str) -> None:
    missing = [name for name in API_FUNCTIONS if not callable(getattr(module, name, None))]
    if not missing:
        return
    below = submodules_with(module, API_FUNCTIONS)
    if below:
        remedy = f"These submodules have the API: {', '.join(below)}. Name one of them."
    else:
        remedy = f"A HEAR model has the functions {', '.join(API_FUNCTIONS)}."
    raise ModelError(f"{spec} has no {' and no '.join(missing)}. {remedy}")


def _load(
    module: ModuleType,
    signature: Signature,
    weights: Path | None,
    options: Mapping[str, OptionValue],
) -> Any:
    positional = signature.positional(str(weights) if weights else None, options)
    try:
        return module.load_model(*positional, **options)
    except HearError:
        raise
    except (Exception, SystemExit) as error:
        given = f" with {weights}" if weights else " without weights"
        raise ModelError(
            f"{signature.name}: load_model fails{given}:\n{own_traceback(error)}"
        ) from error


def _weights_path(weights: str | Path | None) -> Path | None:
    if weights is None or str(weights) == "":
        return None
    path = Path(weights).expanduser()
    if not path.exists():
        raise ModelError(f"There are no weights at {weights}: no such file or folder.")
    return path.resolve()


def _weights_digest(
    module: ModuleType, weights: Path | None, options: Mapping[str, OptionValue]
) -> str | None:
    # hearkit's own modules say which file they take by default.
    if weights is None and module.__name__ in _OWN_WITH_WEIGHTS:
        weights = Path(module.default_weights(**options))
    if weights is None:
        return None
    if weights.is_file():
        return digest_file(weights)
    files = sorted(path for path in weights.rglob("*") if path.is_file())
    return digest_json([[str(path.relative_to(weights)), digest_file(path)] for path in files])


def _option_files(options: Mapping[str, OptionValue]) -> dict[str, str]:
    """Digests of options that name a file, whose content may change under the same name."""
    return {
        key: digest_file(Path(value))
        for key, value in options.items()
        if isinstance(value, str) and _is_file(value)
    }


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False  # too long for a path, or with a character that no path has


def _folder_name(base: str, options: Mapping[str, OptionValue]) -> str:
    name = base + option_suffix(options)
    if len(name) > _LONGEST_NAME:
        return f"{name[:_LONGEST_NAME]}-{short(digest_json(name))}"
    return name


def _sample_rate(loaded: object, name: str) -> int:
    rate = getattr(loaded, "sample_rate", None)
    if not isinstance(rate, bool) and rate in SAMPLE_RATES:
        return int(rate)
    raise ModelError(
        f"{name}: the model's sample_rate is {rate!r}; it must be one of "
        f"{', '.join(str(known) for known in SAMPLE_RATES)} Hz."
    )


def _size(loaded: object, attribute: str, name: str) -> int:
    value = getattr(loaded, attribute, None)
    try:
        size = operator.index(value) if not isinstance(value, bool) else 0  # type: ignore[arg-type]
    except TypeError:
        size = 0
    if size < 1:
        raise ModelError(
            f"{name}: the model's {attribute} must be a positive int and is {value!r}."
        )
    return size
