"""From an import name or a ``.py`` file to a ``Model``."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hearkit.digest import digest_file, digest_json, short
from hearkit.errors import HearError, ModelError
from hearkit.models.backends import backend_of, loading_on
from hearkit.models.finding import find_model
from hearkit.models.options import OptionValue, Signature, option_suffix, signature_of
from hearkit.models.protocol import SAMPLE_RATES, Model
from hearkit.models.source import own_traceback, package_digest, scope_digest
from hearkit.settings import Settings

__all__ = ["load_model"]

_LONGEST_NAME = 100
_OWN = "hearkit.models."


def load_model(
    spec: str | Path,
    weights: str | Path | None = None,
    *,
    settings: Settings | None = None,
    **options: OptionValue,
) -> Model:
    """Loads a model that follows the HEAR API.

    Args:
        spec: The import name of its module, the path of a ``.py`` file, or another form of
            :mod:`hearkit.models.finding`.
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
    found = find_model(str(spec))
    weights_path = _weights_path(weights)
    if found.weights is not None:
        if weights_path is not None:
            raise ModelError(f"{spec} names its weights itself; leave {weights} out.")
        weights_path = found.weights
    api: Any = found.api
    signature = signature_of(api.load_model, found.name)
    values = signature.convert(options)
    scope = found.scope
    with scope, loading_on(settings.torch_device()):
        loaded = _load(api, signature, weights_path, values)
        backend = backend_of(loaded, settings.torch_device(), found.name)
    # After loading, so that modules imported while loading count.
    own = scope.folder is None
    source = package_digest(found.module.__name__) if own else scope_digest(scope)
    name = _folder_name(found.name, values)
    weights_digest = _weights_digest(found.module, weights_path, values)
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
        sample_rate=_sample_rate(loaded, found.name),
        scene_embedding_size=_size(loaded, "scene_embedding_size", found.name),
        timestamp_embedding_size=_size(loaded, "timestamp_embedding_size", found.name),
        device=backend.device,
        digest=digest_json(identity),
        weights_digest=weights_digest,
        source_digest=source,
        module=api,
        loaded=loaded,
        backend=backend,
        scope=scope,
    )


def _load(
    api: Any,
    signature: Signature,
    weights: Path | None,
    options: Mapping[str, OptionValue],
) -> Any:
    positional = signature.positional(str(weights) if weights else None, options)
    try:
        return api.load_model(*positional, **options)
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
    # hearkit's own modules say which files they take, by default and beside the one named.
    own = module.__name__.startswith(_OWN)
    if weights is None and own and hasattr(module, "default_weights"):
        weights = module.default_weights(**options)
    if weights is None:
        return None
    if own and hasattr(module, "weight_files"):
        named: list[Path] = module.weight_files(weights)
        return digest_json([[path.name, digest_file(path)] for path in named])
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
