"""Class names in words, and the templates around them, for models that embed text.

A task of the catalog brings its own; any other task has its labels in words and the templates
`TEMPLATES`. A user's file, ``prompts.toml``, takes the place of both::

    templates = ["a sound of {}", "{}"]

    [words]
    NOQUEEN = "a beehive without its queen"
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, ValidationError

from hearbench.errors import TaskError, UnknownNameError, UnsuitableTaskError
from hearbench.files import SYNTAX_ERRORS
from hearbench.records import Record
from hearbench.registry import did_you_mean
from hearbench.tasks.task_type import SCENE
from hearbench.toml import tomllib

if TYPE_CHECKING:
    from hearbench.tasks.store import PreparedTask

__all__ = ["TEMPLATES", "ClassPrompts", "Prompts", "class_prompts", "label_words"]

PLACE = "{}"
TEMPLATES = (
    *("a sound of {}", "{}", "this is a sound of {}", "this is a recording of {}"),
    *("a recording of {}", "{} can be heard"),
)
"""Templates where none are named; the place of the class name is ``{}``."""


def _with_one_place(template: str) -> str:
    if template.count(PLACE) != 1 or template.replace(PLACE, "").count("{"):
        raise ValueError(f"{template!r} should hold {PLACE} once, where the class name goes")
    return template


def _each_once(templates: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [text for text, count in Counter(templates).items() if count > 1]:
        raise ValueError(f"the template {twice[0]!r} stands twice")
    return templates


_Words = Annotated[str, Field(min_length=1, pattern=r"\S")]
_Template = Annotated[str, AfterValidator(_with_one_place)]


class Prompts(Record):
    """How the classes of a task are put into words.

    Attributes:
        templates: Texts around a class name, whose place is ``{}``.
        words: Class names by label, where they aren't the label itself with spaces for ``_``.
        left_out: Why the classes can't sensibly be put into words; None where they can.
    """

    templates: Annotated[tuple[_Template, ...], Field(min_length=1), AfterValidator(_each_once)] = (
        TEMPLATES
    )
    words: dict[str, _Words] = Field(default_factory=dict)
    left_out: _Words | None = None

    @classmethod
    def from_toml(cls, path: Path) -> Prompts:
        """Reads a user's file.

        Raises:
            TaskError: It can't be read, or holds something else.
        """
        try:
            found = cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise TaskError(
                f"The prompts {path} can't be read: {error.strerror}.", code="io"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise TaskError(
                f"The prompts {path} can't be used: {where}: {message}. A file holds a list "
                "`templates` and a table `words`, from labels to class names."
            ) from error
        except SYNTAX_ERRORS as error:
            raise TaskError(f"The prompts {path} are no TOML: {error}.") from error
        return found


@dataclass(frozen=True)
class ClassPrompts:
    """The texts of a task's classes.

    Attributes:
        names: Class names, in the order of the task's labels.
        templates: Texts around a class name.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...]

    def texts(self) -> tuple[tuple[str, ...], ...]:
        """Per template, the text of each class."""
        return tuple(
            tuple(template.replace(PLACE, name) for name in self.names)
            for template in self.templates
        )


def label_words(label: str) -> str:
    """A label in words: lower case, with spaces for ``_``."""
    return " ".join(label.replace("_", " ").lower().split())


def class_prompts(task: PreparedTask, own: Prompts | None = None) -> ClassPrompts:
    """The texts of a scene task's classes.

    Args:
        own: The user's; by default those of the catalog, for tasks that it has.

    Raises:
        UnsuitableTaskError: It is an event task, or one whose classes can't be put into words.
        UnknownNameError: There are words for a label that the task hasn't got.
        TaskError: Two classes have the same name.
    """
    if task.task_type is not SCENE:
        raise UnsuitableTaskError(
            f"{task.name} is {task.task_type.noun}. Text is compared with scene embeddings, one "
            "per clip; leave --zero-shot out for this task."
        )
    prompts = own or _of_catalog(task.metadata.task_name)
    if prompts.left_out is not None:
        raise UnsuitableTaskError(
            f"{task.name} has no class names: {prompts.left_out.rstrip('.')}. Give some with "
            "--prompts FILE."
        )
    if own is not None:
        for label in own.words:
            if label not in task.vocabulary:
                known = did_you_mean(label, list(task.vocabulary))
                raise UnknownNameError(
                    f"{task.name} has no label {label!r} to put in words. {known}"
                )
    names = tuple(prompts.words.get(label, label_words(label)) for label in task.vocabulary)
    for name, count in Counter(names).items():
        if count > 1 or not name:
            labels = [
                label for label, other in zip(task.vocabulary, names, strict=True) if other == name
            ]
            raise TaskError(
                f"{task.name}: the labels {', '.join(map(repr, labels))} are put in the words "
                f"{name!r}, so that nothing tells them apart. Give them others with --prompts FILE."
            )
    return ClassPrompts(names, prompts.templates)


def _of_catalog(name: str) -> Prompts:
    # Its schema holds prompts.
    from hearbench.tasks.catalog import catalog_names, get_spec

    found = get_spec(name).prompts if name in catalog_names() else None
    return found or Prompts()
