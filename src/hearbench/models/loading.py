"""From an import name, a ``.py`` file or an object to a ``Model``."""

from __future__ import annotations

import contextlib
import functools
import operator
import re
import sys
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol

import numpy as np

from hearbench import worker
from hearbench.digest import digest_file, digest_json, digest_tree, short
from hearbench.errors import ModelError
from hearbench.memo import trust_process
from hearbench.models.engine import Engine, Given, InProcess, Renewed
from hearbench.models.finding import (
    NamedModel,
    check_installed,
    find_model,
    name_model,
    weights_path,
)
from hearbench.models.hub import weight_files
from hearbench.models.identity import Seen
from hearbench.models.loaded import Interpreter, Loaded, Shown, load_error
from hearbench.models.model import Model
from hearbench.models.options import (
    OptionValue,
    handed_over,
    named_files,
    named_places,
    option_suffix,
    signature_of,
)
from hearbench.models.process_state import RANDOM, read_settings
from hearbench.models.published import host_of, told_of
from hearbench.models.rates import HIGHEST_RATE, LOWEST_RATE
from hearbench.models.reading import Reading
from hearbench.models.source import (
    call_traceback,
    model_code,
    package_digest,
    scope_digest,
    source_places,
)
from hearbench.worker.backends import backend_of, loading_on
from hearbench.worker.importing import (
    API_FUNCTIONS,
    TEXT_FUNCTION,
    attributes_of,
    embeds_text,
    layer_functions,
)
from hearbench.worker.signature import parameters_of
from hearbench.worker.values import kind_of, notes_of
from hearbench.worker.weights import weight_count
from hearbench.workspace import Workspace

__all__ = ["load_model", "weight_places"]

_LONGEST_NAME = 100
_LAYERS_SUFFIX = "+layers"
_OWN = "hearbench.models."
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]+")


def load_model(
    spec: str | Path | object,
    weights: str | Path | None = None,
    *,
    name: OptionValue | None = None,
    workspace: Workspace | None = None,
    interpreter: Interpreter | None = None,
    **options: OptionValue,
) -> Model:
    """Loads a model that follows the HEAR API, or takes one that is given as an object.

    An object is called as it is and where it is: in evaluation mode and without gradients, and
    with its own modes put back after every call. Its weights, code and attributes make its
    identity, so the same object finds its embeddings again, and a changed one never does.

    Args:
        spec: The import name of its module, the path of a ``.py`` file, or another form of
            :mod:`hearbench.models.finding`. Or a module or object with the three functions; or an
            object, as a ``torch.nn.Module``, with methods ``get_scene_embeddings(audio)`` and
            ``get_timestamp_embeddings(audio)`` and the attributes ``sample_rate``,
            ``scene_embedding_size`` and ``timestamp_embedding_size``.
        weights: A file or folder that is handed to the module's own ``load_model`` as its
            first argument.
        name: What an object is called in results, as ``"step-100"``; by default as its class or
            module. To any other model it is an option like others.
        workspace: Default: from the environment. The model is moved to its device, unless it is
            an object with two methods, which stays where it is.
        interpreter: Another Python that runs the model; None for this process.
        **options: Further keywords of the module's ``load_model``. Text is converted to the
            type of the keyword's default or annotation.

    Returns:
        The model. Unless it is an object with two methods, it is not switched to evaluation mode:
        that is the module's own affair, as it was in the reference.

    Raises:
        ModelError: The module or the weights aren't there, the module fails, or it doesn't
            follow the API; or an object can't be told from others, and has no name.
    """
    workspace = workspace or Workspace.from_environment()
    if not isinstance(spec, str | Path):
        if interpreter is not None:
            raise ModelError("An object runs in the process that made it, and in no other.")
        return _load_object(spec, weights_path(weights), options, workspace, name)
    if name is not None:
        options["name"] = name
    with told_of(str(spec)):
        return _load_named(str(spec), weights, workspace, interpreter, options)


def _load_named(
    spec: str,
    weights: str | Path | None,
    workspace: Workspace,
    interpreter: Interpreter | None,
    given: Mapping[str, OptionValue],
) -> Model:
    trust_code = interpreter is not None and interpreter.trust_code
    named = name_model(spec, weights, trust_code=trust_code)
    interpreter = host_of(named.recipe, workspace, interpreter)
    options = {**named.options, **given}
    begin: dict[str, Any] = {}

    def load(*, again: bool = False) -> Loaded:
        from hearbench.models.isolation import load_there

        if interpreter is not None:
            return load_there(named, named.weights, options, workspace, interpreter)
        try:
            return _load_here(named, named.weights, options, workspace, begin)
        except ModelError:
            if not again:
                raise
        # Some code runs only once in a process, as it registers something in a library.
        here = Interpreter(Path(sys.executable))
        return load_there(named, named.weights, options, workspace, here)

    if interpreter is None:
        check_installed(named)  # a slip of the keyboard needs no waiting
        import torch  # noqa: F401 - before the model does it, so that its settings can be put back

        begin.update((name, value) for name, value in read_settings().items() if name in RANDOM)
    loaded = load()
    try:
        return _described(named, named.weights, loaded, load)
    except ModelError:
        loaded.engine.close()
        raise


def _load_object(
    given: object,
    weights: Path | None,
    options: Mapping[str, OptionValue],
    workspace: Workspace,
    name: OptionValue | None,
) -> Model:
    # Only needed for objects, and brings torch along.
    from hearbench.models import given as g

    spec = given.__name__ if isinstance(given, ModuleType) else kind_of(given)
    called = _UNSAFE.sub("_", spec.rpartition(".")[2] if name is None else str(name)).strip("_.")
    if not called:
        raise ModelError(f"The name {name!r} has nothing in it that can name a folder.")
    api, scope, device = g.api_of(given), g.ObjectScope(), workspace.torch_device()
    loaded: Any = given
    if api is None and (weights is not None or options):
        raise ModelError(f"{called} is loaded already, and takes neither weights nor options.")

    def failure(error: BaseException) -> ModelError:
        return ModelError(f"{called}: load_model fails:\n{call_traceback(error)}")

    with model_code(scope, failure):
        parts = [given]
        if api is not None:
            signature = signature_of(parameters_of(api.load_model), called)
            options = signature.convert(options)
            positional = signature.positional(str(weights) if weights else None, options)
            loaded = api.load_model(*positional, **handed_over(options))
            functions = [*API_FUNCTIONS, *layer_functions(given)]
            functions += [TEXT_FUNCTION] if hasattr(given, TEXT_FUNCTION) else []
            parts = [loaded, *(getattr(given, function) for function in functions), given]
        content = g.content_of(*parts)
        attributes = SimpleNamespace(**{key: _read(loaded, key) for key in attributes_of(given)})
        if api is None:
            backend = g.backend_for(loaded, content.modules, device)
        else:
            backend = backend_of(loaded, device, called)
        n_weights = sum(map(weight_count, content.modules)) or weight_count(loaded)
        notes = tuple(notes_of(loaded))
        has_text = embeds_text(given, loaded)
    engine = InProcess(api or g.Methods(content.modules), loaded, backend, scope)
    sample_rate = _sample_rate(attributes, called)
    places = named_places(options)
    folder_name = _folder_name(called, options)
    plain = _without(options, places)
    weights_digest = content.weights_digest
    if weights_digest is None and content.unseen:
        if name is None:
            raise ModelError(
                f"{called} can't be told from other models by its weights, as "
                f"{content.unseen[0]} can't be looked at. Give it a name that no other model has: "
                'load_model(..., name="step-100").'
            )
        weights_digest = g.signal_digest(engine, sample_rate, called)
    identity = {
        "object": _folder_name(called, plain),
        "options": plain,
        "files": named_files(options),
        "checkpoint": _weights_digest(None, weights, options),
        "weights": weights_digest,
        "source": content.source,
    }
    digest = digest_json(identity)
    functions = layer_functions(given)
    layers, layer = _layers(attributes, functions, called)
    return Model(
        name=folder_name,
        spec=f"object:{spec}",
        weights=weights,
        options=options,
        sample_rate=sample_rate,
        scene_embedding_size=_size(attributes, "scene_embedding_size", called),
        timestamp_embedding_size=_size(attributes, "timestamp_embedding_size", called),
        digest=digest,
        weights_digest=weights_digest,
        source_digest=content.source,
        n_weights=n_weights,
        notes=notes,
        engine=Given(engine, functools.partial(g.kept_weights, content.modules)),
        seen=Seen(unseen=content.unseen),
        layers=layers,
        layer=layer,
        layers_name=folder_name + _LAYERS_SUFFIX,
        layers_digest=digest_json({"model": digest, "layers": layers}),
        layer_functions=tuple(functions) if layers else (),
        embeds_text=has_text,
    )


class _Load(Protocol):
    def __call__(self, *, again: bool) -> Loaded: ...


def _load_again(
    load: _Load,
    named: NamedModel,
    weights: Path | None,
    options: Mapping[str, OptionValue],
    expected: tuple[str, str | None],
    seen: Seen,
) -> Engine:
    """Loads another model like the first, once it is sure that nothing else lies there now."""
    again = load(again=True)
    found = again.source_digest, _weights_digest(named, weights, options)
    if found != expected or again.engine.seen().contradicts(seen):
        again.engine.close()
        raise ModelError(
            f"{named.name}: the model's source, weights or other files have changed since it was "
            "loaded. Run the same command again to evaluate it as it is now."
        )
    return again.engine


def _load_here(
    named: NamedModel,
    weights: Path | None,
    given: Mapping[str, OptionValue],
    workspace: Workspace,
    begin: Mapping[str, Any],
) -> Loaded:
    # hearbench's own modules say which files they take.
    reading = None if named.is_own else Reading(named.target, [workspace.cache_dir])
    recording = reading.recording if reading else nullcontext
    if reading:
        trust_process(False)  # the code of others may change whatever it likes
    with recording():
        found = find_model(named, begin)
    api, scope, device = found.api, found.scope, workspace.torch_device()

    def failure(error: BaseException) -> ModelError:
        return load_error(named, weights, call_traceback(error))

    with model_code(scope, failure), loading_on(device):
        if reading:
            reading.imported(found.module)
        signature = signature_of(parameters_of(api.load_model), named.name)
        options = signature.convert(given)
        positional = signature.positional(str(weights) if weights else None, options)
        with recording():
            loaded = api.load_model(*positional, **handed_over(options))
        with recording():
            backend = backend_of(loaded, device, named.name)
            attributes = SimpleNamespace(
                **{name: _read(loaded, name) for name in attributes_of(api)}
            )
            n_weights = weight_count(loaded)
            notes = tuple(notes_of(loaded))
            has_text = embeds_text(api, loaded)
        # After loading, so that modules imported while loading count.
        source = package_digest(found.module.__name__) if scope.folder is None else ""
        places = source_places(found.module, scope)
    if reading:
        reading.loaded(places if scope.folder is None else source_places(found.module, scope))
    engine = InProcess(api, loaded, backend, scope, reading)
    digest = source or scope_digest(scope)
    functions = tuple(layer_functions(api))
    return Loaded(
        options,
        attributes,
        digest,
        engine,
        n_weights,
        notes,
        layer_functions=functions,
        embeds_text=has_text,
    )


def _read(loaded: object, name: str) -> object:
    """An attribute as a number of Python's, or a text, as its class may be the model's own."""
    value = getattr(loaded, name, None)
    if value is None or isinstance(value, bool):
        return value
    with contextlib.suppress(TypeError):
        return operator.index(value)
    return float(value) if isinstance(value, float | np.floating) else Shown(repr(value))


def _described(named: NamedModel, weights: Path | None, loaded: Loaded, load: _Load) -> Model:
    options = loaded.options
    # What the name stands for already needn't be told.
    told = {key: value for key, value in options.items() if named.options.get(key) != value}
    name = _folder_name(named.name, told)
    weights_digest = _weights_digest(named, weights, options)
    # What is named by its place counts by its content.
    places = named_places(options)
    plain = _without(options, places)
    seen = loaded.engine.seen()
    expected = loaded.source_digest, weights_digest
    again = functools.partial(_load_again, load, named, weights, options, expected, seen)
    identity: dict[str, object] = {
        "name": _folder_name(named.name, {k: v for k, v in told.items() if k in plain}),
        "options": plain,
        "files": named_files(options),
        "weights": weights_digest,
        "source": loaded.source_digest,
        **seen.identity(),
    }
    if named.target.is_network:
        identity["network"] = digest_file(Path(worker.__file__).with_name("network.py"))
    if loaded.environment:
        identity["environment"] = dict(loaded.environment)
    digest = digest_json(identity)
    layers, layer = _layers(loaded.attributes, loaded.layer_functions, named.name)
    # An option of that name may mean anything else, unless the model says what came of it.
    chosen = () if layer is None else ("layer",)
    told_of_layers = _without(told, chosen)
    of_layers: dict[str, object] = {"model": digest}
    if chosen:
        of_layers = {
            **identity,
            "name": _folder_name(
                named.name, {k: v for k, v in told_of_layers.items() if k in plain}
            ),
            "options": _without(plain, chosen),
        }
    return Model(
        name=name,
        spec=named.spec,
        weights=weights,
        options=options,
        sample_rate=_sample_rate(loaded.attributes, named.name),
        scene_embedding_size=_size(loaded.attributes, "scene_embedding_size", named.name),
        timestamp_embedding_size=_size(loaded.attributes, "timestamp_embedding_size", named.name),
        digest=digest,
        weights_digest=weights_digest,
        source_digest=loaded.source_digest,
        n_weights=loaded.n_weights,
        notes=loaded.notes,
        engine=Renewed(loaded.engine, again),
        seen=seen,
        layers=layers,
        layer=layer,
        layers_name=_folder_name(named.name, told_of_layers) + _LAYERS_SUFFIX,
        layers_digest=digest_json({**of_layers, "layers": layers}),
        layer_functions=loaded.layer_functions if layers else (),
        embeds_text=loaded.embeds_text,
    )


def _without(options: Mapping[str, OptionValue], names: Collection[str]) -> dict[str, OptionValue]:
    return {key: value for key, value in options.items() if key not in names}


def _weights_digest(
    named: NamedModel | None, weights: Path | None, options: Mapping[str, OptionValue]
) -> str | None:
    places = weight_places(named, weights, options)
    if named is not None and named.is_checkpoint and weights is not None:
        return digest_json(
            [[path.relative_to(weights).as_posix(), digest_file(path)] for path in places]
        )
    if not places:
        return None
    if named is not None and hasattr(_own_module(named), "weight_files"):
        return digest_json([[path.name, digest_file(path)] for path in places])
    return digest_file(places[0]) if places[0].is_file() else digest_tree(places[0])


def weight_places(
    named: NamedModel | None, weights: Path | None, options: Mapping[str, OptionValue]
) -> list[Path]:
    """The files of a loaded model's weights, or the one folder that it was given.

    Args:
        named: What the model was called; None of an object.
        weights: File or folder that was named for it.
        options: Keywords of its ``load_model``.
    """
    if named is not None and named.is_checkpoint and weights is not None:
        return weight_files(weights, with_code=named.trusts_code)
    # hearbench's own modules say which files they take, by default and beside the one named.
    module: Any = None if named is None else _own_module(named)
    if weights is None and hasattr(module, "default_weights"):
        weights = module.default_weights(**options)
    if weights is None:
        return []
    if hasattr(module, "weight_files"):
        own_files: list[Path] = module.weight_files(weights)
        return own_files
    return [weights]


def _own_module(named: NamedModel) -> Any:
    return sys.modules.get(named.target.place) if named.target.place.startswith(_OWN) else None


def _folder_name(base: str, options: Mapping[str, OptionValue]) -> str:
    name = base + option_suffix(options)
    if len(name) > _LONGEST_NAME:
        return f"{name[:_LONGEST_NAME]}-{short(digest_json(name))}"
    return name


def _sample_rate(loaded: object, name: str) -> int:
    rate = getattr(loaded, "sample_rate", None)
    try:
        whole = operator.index(rate) if not isinstance(rate, bool) else 0  # type: ignore[arg-type]
    except TypeError:
        whole = int(rate) if isinstance(rate, float) and rate.is_integer() else 0
    if LOWEST_RATE <= whole <= HIGHEST_RATE:
        return whole
    raise ModelError(
        f"{name}: the model's sample_rate is {rate!r}; it must be a whole number of Hz from "
        f"{LOWEST_RATE} to {HIGHEST_RATE}."
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


def _layers(loaded: object, functions: Collection[str], name: str) -> tuple[int, int | None]:
    """How many layers a model gives at once, and which of them its own functions give.

    Args:
        loaded: An object with the model's attributes.
        functions: Those of its module for all layers.
    """
    if not functions or getattr(loaded, "layers", None) is None:
        return 0, None
    count = _size(loaded, "layers", name)
    layer = getattr(loaded, "layer", None)
    if layer is not None and not (type(layer) is int and 0 <= layer < count):
        raise ModelError(
            f"{name}: the model's layer must be an int from 0 to {count - 1}, which says which of "
            f"its {count} layers its own embeddings are, or not be there; it is {layer!r}."
        )
    return count, layer
