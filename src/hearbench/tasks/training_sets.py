"""Known training sets, by which models say what they learned from: names and aliases."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib.resources import files

from hearbench.records import Record
from hearbench.registry import did_you_mean
from hearbench.toml import tomllib

__all__ = ["find_training_set", "find_training_sets", "training_sets"]


class _TrainingSet(Record):
    name: str
    aliases: tuple[str, ...] = ()


@functools.cache
def training_sets() -> dict[str, tuple[str, ...]]:
    """The aliases of all known training sets, by their names."""
    text = files("hearbench.tasks").joinpath("training_sets.toml").read_text(encoding="utf-8")
    found = [_TrainingSet.model_validate(item) for item in tomllib.loads(text)["sets"]]
    return {each.name: each.aliases for each in found}


def find_training_set(text: str) -> str:
    """The name of a training set by it or an alias, whatever case, spaces and hyphens.

    Raises:
        ValueError: No set is known by that name.
    """
    name = _by_key().get(_key(text))
    if name is None:
        raise ValueError(
            f"{text!r} is no known training set. {did_you_mean(text, list(training_sets()))}"
        )
    return name


def find_training_sets(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of training sets, each once.

    Raises:
        ValueError: No set is known by one of the names.
    """
    return tuple(dict.fromkeys(find_training_set(text) for text in texts))


@functools.cache
def _by_key() -> dict[str, str]:
    return {
        _key(text): name for name, aliases in training_sets().items() for text in (name, *aliases)
    }


def _key(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())
