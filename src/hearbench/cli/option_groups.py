"""Options that several verbs share, handed to a verb as one object.

A verb takes a dataclass whose fields are annotated as options. The command line shows its fields
as options of their own:

    @dataclass(frozen=True)
    class CacheOptions:
        cache: CacheDir = None
        workers: Workers = None

    @verb("hearbench count birds", options="details cache workers")
    def count(task: TaskName, cache: CacheOptions, details: Details = False) -> None:
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

__all__ = ["expand_groups"]


def expand_groups(function: Callable[..., None], order: str = "") -> Callable[..., None]:
    """Makes a function that takes the fields of groups as keywords of their own.

    The default of an option is that of its field, or what the parameter's own default, an
    instance of the group, says.

    Args:
        function: A verb. Each of its parameters is an option, an argument or a group.
        order: Names of options in the order in which the help shows them, behind what it doesn't
            name. A group's fields that it doesn't name are no options of this verb and keep
            their defaults. Empty where all are, group by group.

    Raises:
        TypeError: ``order`` names something that there isn't, or two options have one name.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {}
    singles: list[str] = []
    options: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if not dataclasses.is_dataclass(hints[name]):
            singles.append(name)
            options[name] = parameter.replace(annotation=hints[name], kind=_KEYWORD)
            continue
        group = hints[name]() if parameter.default is parameter.empty else parameter.default
        groups[name] = group
        for option, kind in get_type_hints(type(group), include_extras=True).items():
            if option in options:
                raise TypeError(f"{function.__qualname__} has two options named {option!r}.")
            default = getattr(group, option)
            options[option] = inspect.Parameter(option, _KEYWORD, default=default, annotation=kind)
    if order:
        wanted = order.split()
        if unknown := [name for name in wanted if name not in options]:
            raise TypeError(f"{function.__qualname__} has no option {unknown[0]!r}.")
        options = {
            name: options[name]
            for name in [*(name for name in singles if name not in wanted), *wanted]
        }

    @functools.wraps(function)
    def expanded(**given: Any) -> None:
        for name, group in groups.items():
            own = {field.name for field in dataclasses.fields(group)} & given.keys()
            group = dataclasses.replace(group, **{option: given.pop(option) for option in own})
            given[name] = group
        function(**given)

    expanded.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    expanded.__annotations__ = {name: option.annotation for name, option in options.items()}
    return expanded


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
