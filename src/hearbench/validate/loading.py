"""Checks from the import of the module to a loaded model with its attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hearbench.errors import ModelError
from hearbench.models.finding import import_error
from hearbench.models.other_process import CallFailedError
from hearbench.models.rates import HIGHEST_RATE, LOWEST_RATE, SAMPLE_RATES
from hearbench.validate.context import Context
from hearbench.validate.model_process import RAISED, SCENE, TIMESTAMPS, CannotRunError
from hearbench.validate.report import Finding, error, passed, skipped, warning
from hearbench.worker.importing import API_FUNCTIONS

__all__ = [
    "check_api_functions",
    "check_import",
    "check_import_effects",
    "check_load",
    "check_model_kind",
    "check_sample_rate",
    "check_scene_size",
    "check_timestamp_size",
]

_RATES = ", ".join(str(rate) for rate in SAMPLE_RATES)
_EFFECTS = {
    "network": "asks the network for",
    "writes": "writes, makes or removes",
    "programs": "starts",
}
_FRAMEWORKS = frozenset({"torch", "tensorflow"})


def check_import(context: Context) -> Finding:
    """Checks that the module imports.

    Raises:
        CannotRunError: There is no such module; nothing can be said of a model.
    """
    expected = "the module imports"
    named = context.process.subject.named
    target = named.target
    try:
        context.imported = context.process.import_model()
    except CallFailedError as fault:
        told = import_error(named, fault.missing, str(fault))
        own = f"{target.place}.".startswith(f"{fault.missing}.")
        if not target.is_file and (own or not target.place.strip(".")):
            raise CannotRunError(str(told)) from fault
        if fault.missing:
            remedy = (
                f"Install {fault.missing} for {context.process.subject.interpreter.python}, and "
                "name it among the dependencies of the model's package."
            )
        else:
            remedy = RAISED
        return error(expected, str(fault), remedy)
    return passed(expected, "without an error")


def check_api_functions(context: Context) -> Finding:
    """Checks that the module has the three functions."""
    expected = f"functions {', '.join(API_FUNCTIONS)}"
    missing, below = _imported(context).missing, _imported(context).below
    if not missing:
        return passed(expected, "all three")
    if below:
        remedy = f"Name a submodule that has the API: {', '.join(below)}."
    else:
        remedy = (
            "Define them in the module, or import them into it. With `module:attribute` an object "
            "within it is taken."
        )
    return error(expected, f"no {' and no '.join(missing)}", remedy)


def check_load(context: Context) -> Finding:
    """``load_model`` returns.

    Raises:
        CannotRunError: The device that was asked for isn't there.
    """
    process = context.process
    weights = process.subject.weights
    how = f"with {weights}" if weights else "without weights"
    expected = f"load_model works {how}"
    try:
        context.loaded = process.load()
    except CallFailedError as fault:
        kind, roots = process.returned()
        if kind is None:
            remedy = RAISED
            if weights is None:
                remedy += " If it needs its weights, hand them over with --weights."
            return error(expected, str(fault), remedy)
        if roots & _FRAMEWORKS:
            if process.subject.workspace.device not in ("auto", "cpu"):
                raise CannotRunError(str(fault)) from fault
            return error(expected, str(fault), "Let the model be moved to a device by .to().")
        # What it returned is no model, which is for the next check to say.
        return passed(expected, "without an error")
    return passed(expected, f"{context.loaded.seconds:.1f} s")


def check_model_kind(context: Context) -> Finding:
    """Checks that the model is one of a framework."""
    expected = "a torch.nn.Module or a tf.Module"
    if context.loaded is not None:
        return passed(expected, context.loaded.kind)
    kind, roots = context.process.returned()
    if "keras" in roots:
        return error(
            expected,
            f"{kind}, a Keras model whose Keras runs on neither",
            "Set KERAS_BACKEND to tensorflow or torch before the model is imported.",
        )
    found = {"builtins.NoneType": "None", "builtins.function": "a function"}
    return error(
        expected,
        found.get(str(kind), str(kind)),
        "Return from load_model an object whose class is derived from torch.nn.Module or "
        "tf.Module; it may be a thin one around what you have.",
    )


def check_sample_rate(context: Context) -> Finding:
    """Checks that the sample rate is one of the challenge's, or at least one of audio."""
    expected = f"sample_rate, best one of {_RATES} Hz"
    said = _attribute(context, "sample_rate")
    if not said["there"]:
        return error(expected, "none", "Give the model the attribute sample_rate, an int in Hz.")
    value = _whole(said["value"])
    context.sample_rate = value or 0
    if value in SAMPLE_RATES:
        return passed(expected, f"{value} Hz")
    if value is not None and LOWEST_RATE <= value <= HIGHEST_RATE:
        return warning(
            expected,
            f"{value} Hz",
            "hearbench makes audio at this rate, but the challenge's rules name those five, so the "
            "model can't enter a leaderboard. For that, let it resample from one of them.",
        )
    return error(
        expected,
        _shown(said),
        "Set it to the rate of audio that the model wants, as an int in Hz, from "
        f"{LOWEST_RATE} to {HIGHEST_RATE}.",
    )


def check_scene_size(context: Context) -> Finding:
    """Checks that the size of scene embeddings is an int."""
    return _size(context, "scene_embedding_size", SCENE)


def check_timestamp_size(context: Context) -> Finding:
    """Checks that the size of timestamp embeddings is an int."""
    return _size(context, "timestamp_embedding_size", TIMESTAMPS)


def check_import_effects(context: Context) -> Finding:
    """Checks that importing changes nothing outside the interpreter."""
    expected = "no network, files, programs or seeds at import"
    imported = _imported(context)
    told = [
        f"{does} {_few(imported.effects[kind])}"
        for kind, does in _EFFECTS.items()
        if imported.effects.get(kind)
    ]
    seeded = _seeded(context)
    if seeded:
        told.append(f"seeds the global random generator of {', '.join(seeded)}")
    if told:
        return warning(
            expected,
            "; ".join(told),
            "Move it into load_model, where a user expects it; for random numbers make a "
            "generator of your own (torch.Generator().manual_seed(0)).",
        )
    if not imported.watched:
        return skipped(expected, "Python 3.7 doesn't tell what an import does; it seeds nothing")
    return passed(expected, "no effects")


def _few(items: Sequence[str]) -> str:
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return ", ".join(items[:3]) + more


def _seeded(context: Context) -> list[str]:
    """Generators that have the same state in another process, too, which chance never gives."""
    imported = _imported(context)
    suspects = imported.effects.get("random", ())
    if not suspects:
        return []
    try:
        again = context.process.import_model()
    except ModelError:
        return []  # a module that imports only sometimes; the next check will say so
    digests = imported.random_digests
    return [name for name in suspects if again.random_digests.get(name) == digests.get(name)]


def _size(context: Context, name: str, function: str) -> Finding:
    expected = f"{name}, an int"
    said = _attribute(context, name)
    if not said["there"]:
        remedy = f"Give the model the attribute {name}: how many numbers {function} returns."
        return error(expected, "none", remedy)
    value = _whole(said["value"])
    if value is not None:
        context.sizes[function] = value
    if value is not None and said["type"] == "int":
        return passed(expected, str(value))
    return error(
        expected, _shown(said), f"Set it to a positive int: {name} = int(...).", blocks=False
    )


def _whole(value: Any) -> int | None:
    """A positive whole number, of whichever type; None for anything else."""
    if isinstance(value, (int, float)) and value > 0 and float(value).is_integer():
        return int(value)
    return None


def _shown(said: dict[str, Any]) -> str:
    return f"{said['repr']} ({said['type']})"


def _attribute(context: Context, name: str) -> dict[str, Any]:
    if context.loaded is None:
        raise ModelError("The model isn't loaded.")
    return dict(context.loaded.attributes[name])


def _imported(context: Context) -> Any:
    if context.imported is None:
        raise ModelError("The module isn't imported.")
    return context.imported
