"""Names to things: built in or added by another package, imported when asked for.

A registry knows its built-in names as ``"module:attribute"`` strings, so listing them imports
nothing. Other packages add to it through an entry point of the registry's group.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Generic, TypeVar

from hearbench.errors import UnknownNameError

__all__ = ["Registry", "did_you_mean", "nearest_path"]

T = TypeVar("T")


def did_you_mean(name: str, known: list[str]) -> str:
    """A sentence that proposes the nearest known names, or lists what there is."""
    by_lower = {item.lower(): item for item in known}
    near = [
        by_lower[item]
        for item in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    ]
    if near:
        return f"Did you mean {' or '.join(repr(item) for item in near)}?"
    return f"Known: {', '.join(known) or 'none'}."


def nearest_path(path: Path) -> str:
    """A sentence that proposes the nearest name beside a path that isn't there; often empty."""
    try:
        beside = [item.name for item in path.parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
    return f" Did you mean '{path.parent / near[0]}'?" if near else ""


class Registry(Generic[T]):
    """A lazy mapping of names to objects of one kind.

    Args:
        kind: What the names stand for, in the singular, for messages ("protocol").
        group: The entry-point group that other packages use ("hearbench.protocols").
        builtin: Names to ``"module:attribute"``.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._builtin, *(point.name for point in entry_points(group=self.group))})

    def get(self, name: str) -> T:
        """The object of that name.

        Raises:
            UnknownNameError: Nothing of that name is registered.
        """
        if name in self._builtin:
            module, _, attribute = self._builtin[name].partition(":")
            found: T = getattr(importlib.import_module(module), attribute)
            return found
        for point in entry_points(group=self.group):
            if point.name == name:
                loaded: T = point.load()
                return loaded
        raise UnknownNameError(
            f"There is no {self.kind} named {name!r}. {did_you_mean(name, self.names())}"
        )
