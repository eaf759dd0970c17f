"""Side effects of a model's import, without those of the libraries that it imports.

Libraries write into folders of temporary files and start programs when they are imported; that is
no model's doing. So what happens below the first lines of another package's module is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from types import FrameType
from typing import Iterable

from .importing import Target
from .watch import Watch, random_states

__all__ = ["ImportWatch", "below_own", "places_of", "random_digests", "seeded_perhaps"]

_PACKAGES = ("site-packages", "dist-packages")
# Generators that no one seeded begin with a number of 64 bits from the system.
_USUAL_SEED = 1 << 32


class ImportWatch(Watch):
    """Notes while it records what a model's own code does.

    Attributes:
        own: Folders and files of the model's package.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own: list[str] = []

    def begin_import(self, target: Target) -> None:
        """Starts to note effects of what is being imported."""
        self.own = places_of(target)
        self.begin()

    def _note(self, kind: str, what: str) -> None:
        caller = sys._getframe(1)  # noqa: SLF001
        if not _by_a_library(caller, self.own):
            super()._note(kind, what)


def random_digests() -> dict[str, str]:
    """The states of the global random generators, to be compared with another process's.

    Two processes have the same only if something has seeded them.
    """
    states = dict(random_states())
    tensorflow = sys.modules.get("tensorflow.python.eager.context")
    if tensorflow is not None:
        states["tensorflow"] = tensorflow.global_seed()
    return {
        name: hashlib.sha256(repr(state).encode()).hexdigest()
        for name, state in states.items()
        if state not in (b"", None)
    }


def seeded_perhaps(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Generators whose states may have been set between two times of one process."""
    found = [name for name in after if name != "torch" and after[name] != before.get(name)]
    torch = sys.modules.get("torch")
    if torch is not None and torch.default_generator.initial_seed() < _USUAL_SEED:
        found.append("torch")
    return sorted(found)


def places_of(target: Target) -> list[str]:
    """Folders and files of a model's package, as they are named and as they really are."""
    if target.is_file:
        return _with_real([os.path.dirname(target.place)])  # noqa: PTH120
    spec = None
    # A name that isn't there is found out by the import itself.
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(target.place.partition(".")[0])
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return _with_real([place for place in places if place])


def _with_real(places: list[str]) -> list[str]:
    # Frames name files by the way on which they were found, which may be a link.
    return sorted({*places, *(os.path.realpath(place) for place in places)})


def _by_a_library(frame: FrameType | None, own: Iterable[str]) -> bool:
    """Whether another package's import, or Python's own, stands between an event and the model."""
    while frame is not None:
        name = frame.f_code.co_filename
        if frame.f_code.co_name == "set_data" and name.startswith("<frozen importlib"):
            return True  # Python writes the bytecode of a module that it imports
        if os.path.isabs(name):  # noqa: PTH117 - of each frame at every file that opens
            if below_own(name, own):
                return False
            if frame.f_code.co_name == "<module>":
                return True
        frame = frame.f_back
    return False


def below_own(path: str, own: Iterable[str]) -> bool:
    """Whether a file belongs to a model's package, and not to one installed below it."""
    for place in own:
        if path == place:
            return True
        # A virtual environment may lie in the model's folder.
        if path.startswith(place + os.sep):
            return not any(f"{os.sep}{name}{os.sep}" in path[len(place) :] for name in _PACKAGES)
    return False
