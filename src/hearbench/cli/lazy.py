"""Verbs that are imported when they are called, so that the command itself starts at once."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

__all__ = ["LazyVerb", "tree"]


class LazyVerb(TyperCommand):
    """A verb that the help can list without importing it.

    Args:
        home: Module below `hearbench.cli` and name of its function, as ``"demo:demo"``; or of the
            `typer.Typer` of a verb that has others below it.
        about: The first line of its help.
    """

    def __init__(self, home: str, about: str) -> None:
        super().__init__(name=None, help=about)
        self.home = home

    def load(self) -> Any:
        """Imports the verb and returns its command."""
        module, _, name = self.home.partition(":")
        verb = getattr(importlib.import_module(f"hearbench.cli.{module}"), name)
        if not isinstance(verb, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(self.name or name)(verb)
            verb = app
        return get_command(verb)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Lets the verb itself parse what was given to it."""
        return self.load().make_context(*args, **kwargs)


def tree(verbs: Mapping[str, LazyVerb], groups: Mapping[str, str]) -> dict[str, Any]:
    """Arranges verbs as the commands of a group, some of which are groups themselves.

    Args:
        verbs: By the words that call them, as ``"tasks stats"``.
        groups: The help of each group below, by its word.
    """
    commands: dict[str, Any] = {}
    for words, verb in verbs.items():
        first, _, verb.name = words.rpartition(" ")
        if not first:
            commands[verb.name] = verb
            continue
        if first not in commands:
            commands[first] = TyperGroup(
                name=first, help=groups[first], no_args_is_help=True, rich_markup_mode=None
            )
        commands[first].add_command(verb)
    return commands
