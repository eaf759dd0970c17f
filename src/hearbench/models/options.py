"""Options of a model's ``load_model``: which there are, and what type their values take.

Values from a command line are text; each takes the type of the parameter's default, or of its
annotation where the default is None.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearbench.digest import digest_file, digest_tree
from hearbench.errors import HearError, ModelError
from hearbench.files import is_file
from hearbench.registry import did_you_mean
from hearbench.worker.signature import Parameter
from hearbench.workspace import user_path

__all__ = [
    "OptionValue",
    "Signature",
    "handed_over",
    "named_files",
    "named_places",
    "option_suffix",
    "signature_of",
]

# What an option can hold, as a command line and JSON can say it.
OptionValue = str | int | float | bool

_PATH_WORDS = ("path", "file", "weights", "checkpoint", "ckpt")
_PLACE_WORDS = (*_PATH_WORDS, "dir", "folder", "root")
_TYPES: dict[str, type[OptionValue]] = {"str": str, "int": int, "float": float, "bool": bool}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]+")


@dataclass(frozen=True)
class Signature:
    """How a ``load_model`` is called.

    Attributes:
        name: Of the model, for messages.
        first: Name of the first positional parameter, which takes the weights' path, if any.
        first_required: Whether it has no default.
        options: The other parameters, and the first where it doesn't sound like a path, by
            name, with the type that text is converted to.
        any_option: Whether there is a ``**kwargs``.
    """

    name: str
    first: str | None
    first_required: bool
    options: Mapping[str, type[OptionValue]]
    any_option: bool

    def positional(self, weights: str | None, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The positional arguments: the path, "" for a required one that wasn't given, or none.

        Raises:
            ModelError: There is a path, and nothing that would take it.
        """
        if weights is not None:
            if self.first is None or self.first in options:
                raise ModelError(
                    f"{self.name}: its load_model takes no weights; leave {weights} out."
                )
            return (weights,)
        if self.first is not None and self.first_required and self.first not in options:
            # Many models demand a path that they then ignore.
            return ("",)
        return ()

    def convert(self, options: Mapping[str, Any]) -> dict[str, OptionValue]:
        """The options with text converted to each parameter's type, sorted by name.

        Raises:
            ModelError: An option that isn't there, or text that doesn't fit its type.
        """
        converted: dict[str, OptionValue] = {}
        for key, value in sorted(options.items()):
            if key == "model_dtype" and key not in self.options:
                raise ModelError(
                    f"{self.name} can't compute in {value}: its load_model has no keyword "
                    "model_dtype, by which a model says that it supports other precisions."
                )
            if key not in self.options and not self.any_option:
                if key == self.first:
                    raise ModelError(f"{self.name}: hand {value!r} over as its weights instead.")
                raise ModelError(
                    f"{self.name} has no option {key!r}. {did_you_mean(key, sorted(self.options))}"
                )
            if not isinstance(value, (str, int, float, bool)):
                raise ModelError(
                    f"{self.name}: option {key} should be text, a number or a truth value and is "
                    f"{value!r}."
                )
            wanted = self.options.get(key, str)
            own = self._parse(key, value, wanted) if isinstance(value, str) else value
            if isinstance(own, float) and not math.isfinite(own):
                raise ModelError(
                    f"{self.name}: option {key} should be a finite number and is {own}, which "
                    "results can't record."
                )
            converted[key] = own
        return converted

    def _parse(self, key: str, text: str, wanted: type[OptionValue]) -> OptionValue:
        if wanted is bool:
            if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
        else:
            try:
                return wanted(text)
            except ValueError as error:
                raise self._mismatch(key, text, wanted) from error
        raise self._mismatch(key, text, wanted)

    def _mismatch(self, key: str, text: str, wanted: type[OptionValue]) -> ModelError:
        return ModelError(f"{self.name}: option {key}={text} should be of type {wanted.__name__}.")


def signature_of(parameters: Sequence[Parameter] | None, name: str) -> Signature:
    """The signature of a ``load_model``; one that can't be read counts as (path, **options)."""
    if parameters is None:
        return Signature(name, "path", False, {}, True)
    first = next((item for item in parameters if item.kind in ("positional", "either")), None)
    options: dict[str, type[OptionValue]] = {}
    for item in parameters:
        path = item is first and any(word in item.name.lower() for word in _PATH_WORDS)
        if item.kind in ("either", "keyword") and not path:
            options[item.name] = _TYPES[item.type]
    kwargs = any(item.kind == "kwargs" for item in parameters)
    if first is None and any(item.kind == "args" for item in parameters):
        return Signature(name, "path", False, options, kwargs)
    required = first is not None and first.required
    return Signature(name, first.name if first else None, required, options, kwargs)


def option_suffix(options: Mapping[str, OptionValue]) -> str:
    """``"-k=v-k2=v2"``, sorted by name, with what a folder's name can't hold as ``_``."""
    return "".join(_UNSAFE.sub("_", f"-{key}={value}") for key, value in sorted(options.items()))


def named_places(options: Mapping[str, OptionValue]) -> dict[str, Path]:
    """The whole paths of what options name by its place, by option.

    A word is none, though a file or folder of that name may happen to be here, unless the
    option's name says that it is a path.
    """
    places = {key: _place(key, value) for key, value in options.items()}
    return {key: place for key, place in places.items() if place is not None}


def handed_over(options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """The options as the model gets them: with whole paths."""
    return {**options, **{key: str(place) for key, place in named_places(options).items()}}


def named_files(options: Mapping[str, OptionValue]) -> dict[str, str]:
    """Digests of options that name a file or folder, whose content may change."""
    files = {k: Path(v) for k, v in options.items() if isinstance(v, str) and is_file(v)}
    found = {}
    for key, place in {**files, **named_places(options)}.items():
        if place.is_file():
            found[key] = digest_file(place)
        # Of a folder in which much else goes on only what the model reads there counts.
        elif place.is_dir() and place not in (Path.cwd(), *Path.cwd().parents):
            found[key] = digest_tree(place)
    return found


def _place(key: str, value: OptionValue) -> Path | None:
    """What an option names by its place, if there is such a thing."""
    if not isinstance(value, str) or not value:
        return None
    is_place = (
        value.startswith((".", "~"))
        or any(separator in value for separator in (os.sep, os.altsep) if separator)
        or any(word in key.lower() for word in _PLACE_WORDS)
        or bool(Path(value).suffix)
    )
    try:
        # Not resolved: a link's own name may say what it is.
        path = Path(os.path.abspath(user_path(value)))  # noqa: PTH100
        return path if is_place and path.exists() else None
    except HearError:
        return None  # too long, or with a character that no path has
