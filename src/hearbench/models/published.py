"""Running a published model by its name: where it runs, and what is said where it can't be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hearbench.errors import HearError
from hearbench.models.environments import make_environment
from hearbench.models.finding import published
from hearbench.models.loaded import Interpreter
from hearbench.models.zoo import Recipe
from hearbench.workspace import Workspace

__all__ = ["host_of", "told_of"]


def host_of(
    recipe: Recipe | None, workspace: Workspace, asked: Interpreter | None
) -> Interpreter | None:
    """The Python that runs a model: that of an environment made for it, where its recipe needs one.

    Args:
        recipe: The published model; None for any other.
        workspace: Takes the environment, and shows how it is made.
        asked: What the user wants it to run in. Another Python than this one is left as it is.

    Raises:
        ModelError: The environment can't be made.
    """
    here = Path(sys.executable)
    if recipe is None or not recipe.requirements or (asked and asked.python != here):
        return asked
    python = make_environment(
        recipe.requirements, workspace=workspace, python=recipe.python or None
    )
    return replace(asked or Interpreter(here), python=python)


@contextmanager
def told_of(spec: str) -> Iterator[None]:
    """Has the errors of a published model end with what it needs from elsewhere."""
    try:
        yield
    except HearError as error:
        recipe = published(spec)
        needs = "" if recipe is None else _needs(recipe)
        if not needs:
            raise
        raise type(error)(f"{error}\n{needs}", code=error.code) from error


def _needs(recipe: Recipe) -> str:
    """What is fetched from where to run a model, and what to do where that can't be reached."""
    if not recipe.spec:
        return ""
    said = []
    if recipe.requirements:
        said.append(
            f"pip installs {', '.join(recipe.requirements)} into an environment of its own, unless "
            "--python PATH names one that has them"
        )
    if recipe.source:
        copy = "the folder with a copy of its files" if recipe.is_checkpoint else "a copy"
        said.append(f"its weights are those of {recipe.source}, unless --weights PATH names {copy}")
    return f"{recipe.name} is {recipe.loads}: {'; '.join(said)}." if said else ""
