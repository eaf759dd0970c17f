"""What a model of this process reads, from its import on."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

from hearbench.models.identity import Seen, seen_of
from hearbench.worker.import_side_effects import places_of
from hearbench.worker.importing import Target
from hearbench.worker.imports import all_read
from hearbench.worker.reads import ReadWatch

__all__ = ["Reading"]

# By module: a package is imported once, and what that has read counts for whoever loads it later.
_at_import: dict[str, dict[str, Any]] = {}


class Reading:
    """Notes what a model's own code reads while it runs in this process.

    Args:
        target: What the user called the model.
        ignored: Folders that are none of the model's business, as hearbench's cache.
    """

    def __init__(self, target: Target, ignored: Iterable[Path]) -> None:
        self._target = target
        self._watch = ReadWatch(places_of(target), [str(path) for path in ignored])
        self._module: ModuleType | None = None
        self._source: set[Path] = set()
        self._earlier: dict[str, Any] = {}

    def recording(self) -> AbstractContextManager[None]:
        """Notes what is read while the block runs."""
        return self._watch.recording()

    def imported(self, module: ModuleType) -> None:
        """Is told of the module once it is there."""
        self._module = module
        if not self._target.is_file:
            said = all_read(self._watch, module, self._target)
            self._earlier = _at_import.setdefault(self._target.place, said)

    def loaded(self, source: Iterable[Path]) -> None:
        """Is told of the files or folders of the model's source once it is loaded."""
        self._source = set(source)

    def seen(self) -> Seen:
        """What was read beside the source; to be asked for where the model can be called."""
        said = all_read(self._watch, self._module, self._target)
        for key, value in self._earlier.items():
            said[key] = {**value, **said[key]} if isinstance(value, dict) else [*value, *said[key]]
        return seen_of(said, self._source)
