"""The parameters of a model's ``load_model``, in a form that another process can read."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Parameter", "parameters_of"]


class Parameter(NamedTuple):
    """One parameter of a function.

    Attributes:
        kind: ``positional`` (only), ``either``, ``keyword`` (only), ``args`` or ``kwargs``.
        required: Whether it has no default.
        type: What text is converted to: ``str``, ``int``, ``float`` or ``bool``.
    """

    name: str
    kind: str
    required: bool
    type: str


_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "args",
    inspect.Parameter.VAR_KEYWORD: "kwargs",
}


def parameters_of(function: Callable[..., Any]) -> list[Parameter] | None:
    """A function's parameters in order; None if they can't be read."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        hints = {}  # annotations that only a type checker can resolve
    return [
        Parameter(
            item.name,
            _KINDS[item.kind],
            item.default is inspect.Parameter.empty,
            _type_of(item.default, hints.get(item.name, item.annotation)),
        )
        for item in parameters
    ]


def _type_of(default: Any, annotation: Any) -> str:
    for kind in (bool, int, float, str):  # bool first: it is an int, too
        if isinstance(default, kind):
            return kind.__name__
    if isinstance(annotation, str):
        words = set(re.findall(r"\w+", annotation))
        return next((kind for kind in ("str", "float", "int", "bool") if kind in words), "str")
    choices = getattr(annotation, "__args__", None) or (annotation,)
    return next((kind.__name__ for kind in (str, float, int, bool) if kind in choices), "str")
