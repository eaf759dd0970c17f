"""Raw corpora: what a download unpacks to, and the parsers that make clips of it.

A parser is a function of a :class:`RawCorpus` that yields its clips, one small module per corpus.
Another package adds one through an entry point of the group ``hearbench.corpora``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hearbench.errors import TaskError
from hearbench.registry import Registry
from hearbench.tasks.clips import Clip

__all__ = ["CorpusPart", "Parser", "RawCorpus", "corpus_names", "get_parser"]

T = TypeVar("T", bool, int, float, str)


@dataclass(frozen=True)
class CorpusPart:
    """A download of a corpus, unpacked.

    Attributes:
        folder: The folder that its archive was unpacked to, or that holds the plain file.
        split: The split that the task's download names, such as ``train`` or ``hive1``.
        name: The name that tells apart downloads of one split, such as ``dev``.
    """

    folder: Path
    split: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class RawCorpus:
    """A corpus as it was published, unpacked.

    Attributes:
        parts: Its downloads, in the order of the task's.
        options: What the task tells the parser beyond that.
        notes: What the parser wants written into the task's metadata.
    """

    parts: tuple[CorpusPart, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list, compare=False)

    def folder(self, key: str) -> Path:
        """The folder of the one part whose split or name is ``key``.

        Raises:
            TaskError: No part is called that, or several are.
        """
        found = [part.folder for part in self.parts if key in (part.split, part.name)]
        if len(found) != 1:
            there = ", ".join(str(part.name or part.split) for part in self.parts) or "none"
            raise TaskError(
                f"The corpus has {len(found)} parts called {key!r}, where one is needed; "
                f"there are: {there}."
            )
        return found[0]

    def option(self, name: str, kind: type[T]) -> T:
        """Reads an option that the task gives the parser.

        Raises:
            TaskError: The task doesn't say, or says something of another type.
        """
        value = self.options.get(name)
        if kind is float and type(value) is int:
            value = float(value)
        # bool is an int to Python, never to a task's author.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        raise TaskError(
            f"The corpus needs the option {name!r}, of the type {kind.__name__}; the task has "
            f"{value!r}. Name it under options in the task's description."
        )

    def note(self, text: str) -> None:
        """Has a sentence written into the task's metadata."""
        self.notes.append(text)


# What a module of `hearbench.tasks.corpora` offers: a corpus to the clips that it holds.
Parser = Callable[[RawCorpus], Iterable[Clip]]

_PARSERS: Registry[Parser] = Registry(
    "corpus",
    "hearbench.corpora",
    {
        "beehive": "hearbench.tasks.corpora.beehive:clips",
        "beijing_opera": "hearbench.tasks.corpora.beijing_opera:clips",
        "coughvid": "hearbench.tasks.corpora.coughvid:clips",
        "dcase2016_task2": "hearbench.tasks.corpora.dcase2016_task2:clips",
        "esc50": "hearbench.tasks.corpora.esc50:clips",
        "fsd50k": "hearbench.tasks.corpora.fsd50k:clips",
        "gunshot": "hearbench.tasks.corpora.gunshot:clips",
        "libricount": "hearbench.tasks.corpora.libricount:clips",
        "maestro": "hearbench.tasks.corpora.maestro:clips",
        "mridangam": "hearbench.tasks.corpora.mridangam:clips",
        "nsynth": "hearbench.tasks.corpora.nsynth:clips",
        "speech_commands": "hearbench.tasks.corpora.speech_commands:clips",
        "tfds": "hearbench.tasks.corpora.tfds:clips",
        "vocal_imitation": "hearbench.tasks.corpora.vocal_imitation:clips",
        "vox_lingua": "hearbench.tasks.corpora.vox_lingua:clips",
    },
)


def corpus_names() -> list[str]:
    """Names of all corpora that can be parsed."""
    return _PARSERS.names()


def get_parser(name: str) -> Parser:
    """The parser of a corpus.

    Raises:
        UnknownNameError: There is no such parser.
    """
    return _PARSERS.get(name)
