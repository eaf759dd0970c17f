"""Kinds of task: `SCENE` for labels of whole clips, `EVENT` for labels in time.

Whatever is done differently for them is looked up by the kind, in a table or an object that the
layer at hand has for each: scores in `hearbench.metrics`, predictions in `hearbench.results`, and
so on. Nothing else asks which kind it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hearbench.errors import UnknownNameError
from hearbench.registry import did_you_mean

__all__ = ["EVENT", "SCENE", "EmbeddingType", "TaskType", "task_type"]

EmbeddingType = Literal["scene", "event"]


@dataclass(frozen=True)
class TaskType:
    """A kind of task.

    Attributes:
        name: As ``task_metadata.json`` calls it under ``embedding_type``.
    """

    name: EmbeddingType


SCENE = TaskType("scene")
"""Clips have labels as a whole."""

EVENT = TaskType("event")
"""Labels have a start and an end within their clip."""

_ALL = (SCENE, EVENT)


def task_type(name: str) -> TaskType:
    """The kind of task of a name.

    Raises:
        UnknownNameError: There is none.
    """
    for kind in _ALL:
        if kind.name == name:
            return kind
    raise UnknownNameError(
        f"There is no kind of task named {name!r}. {did_you_mean(name, [k.name for k in _ALL])}"
    )
