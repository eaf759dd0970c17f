"""Side effects of a model: connections, writes, programs, reads where it mustn't.

Python tells of such things from 3.8 on (PEP 578); on 3.7 only reads are refused, by functions put
in place of its own. It tells of what goes through Python, not of what compiled code does by itself;
a sandbox keeps that out.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import random
import sys
import tempfile
from typing import Any

import numpy as np

__all__ = [
    "CONNECTIONS",
    "PROGRAMS",
    "Watch",
    "opens_to_update",
    "opens_to_write",
    "random_states",
    "stamp_of",
]

CONNECTIONS = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
"""Events by which Python reports connections to other machines, before they are made."""
PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"}
"""Events by which it reports programs that are started."""
_CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink"}
_READS = {"open", "os.listdir", "os.scandir", "os.chdir"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MOST = 20
_LEAST_OWN_SEED = 1 << 32


class Watch:
    """Notes what happens while it records, and refuses reads below guarded folders always.

    Attributes:
        available: Whether this Python reports anything.
        effects: What was noted since the last ``begin``: ``network``, ``writes``, ``programs``.
        violations: Paths below guarded folders that were asked for, since last taken.
    """

    def __init__(self) -> None:
        self.available = hasattr(sys, "addaudithook")
        self.effects: dict[str, list[str]] = {}
        self.violations: list[str] = []
        self._recording = False
        self._guarded: list[str] = []
        self._allowed: list[str] = []
        # Where temporary files go is found out by writing one, which isn't the model's doing.
        tempfile.gettempdir()
        if self.available:
            sys.addaudithook(self._hear)
        else:
            self._stand_before(builtins, "open")
            self._stand_before(io, "open")
            for name in ("open", "listdir", "scandir", "chdir"):
                self._stand_before(os, name)

    def guard(self, folders: list[str], allowed: list[str]) -> None:
        """Refuses what is below folders, but for what is below others; the nearer one counts."""
        self._guarded = [os.path.realpath(folder) for folder in folders]
        self._allowed = [os.path.realpath(folder) for folder in allowed]

    def begin(self) -> None:
        """Starts to note effects."""
        self.effects = {"network": [], "writes": [], "programs": []}
        self._recording = True

    def end(self) -> dict[str, list[str]]:
        """Lists what was noted, a few of each kind."""
        self._recording = False
        return self.effects

    def take_violations(self) -> list[str]:
        """The paths that were refused since the last time."""
        found, self.violations = self.violations, []
        return found

    def _stand_before(self, module: Any, name: str) -> None:
        original = getattr(module, name)

        def refusing(*arguments: Any, **keywords: Any) -> Any:
            if self._guarded and arguments:
                self._refuse(arguments[0])
            return original(*arguments, **keywords)

        setattr(module, name, functools.wraps(original)(refusing))

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._guarded and event in _READS and arguments:
            self._refuse(arguments[0])
        if not self._recording:
            return
        if event in CONNECTIONS:
            self._note("network", str(arguments[-1 if event == "socket.connect" else 0]))
        elif event in PROGRAMS:
            self._note("programs", str(arguments[0]))
        elif event in _CHANGES or (event == "open" and opens_to_write(arguments)):
            self._note("writes", str(arguments[0]))

    def _note(self, kind: str, what: str) -> None:
        known = self.effects[kind]
        if len(known) < _MOST and what not in known and what != os.devnull:
            known.append(what)

    def _refuse(self, path: Any) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a file that is open already
        try:
            real = os.path.realpath(os.fsdecode(path))
        except (ValueError, OSError):
            return  # no path that could be opened
        if _depth(real, self._guarded) > _depth(real, self._allowed):
            if len(self.violations) < _MOST:
                self.violations.append(real)
            raise PermissionError(
                f"{real} belongs to the benchmark. A model sees the audio that it is handed, and "
                "nothing else of a task."
            )


def random_states() -> dict[str, Any]:
    """The states of global random generators, to be compared; torch's only once imported."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    found: dict[str, Any] = {
        "random": random.getstate(),
        "numpy.random": (numpy_state[0], numpy_state[1].tobytes(), numpy_state[2:]),  # type: ignore[index]
        "torch": b"",
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        seed = torch.default_generator.initial_seed()
        state = torch.default_generator.get_state()
        unused = state.equal(torch.Generator().manual_seed(seed).get_state())
        # Nobody has seeded it if the seed is torch's own, of more bits than people choose.
        found["torch"] = b"" if unused and seed >= _LEAST_OWN_SEED else state.numpy().tobytes()
    return found


def opens_to_write(arguments: tuple[Any, ...]) -> bool:
    """Whether what Python reports of an opened file says that it may be written to."""
    mode = arguments[1] if len(arguments) > 1 else None
    flags = arguments[2] if len(arguments) > 2 else 0
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & _WRITING)


def opens_to_update(arguments: tuple[Any, ...]) -> bool:
    """Whether a file that may be written to keeps what it holds, so that it may be read as well."""
    mode = arguments[1] if len(arguments) > 1 else None
    flags = arguments[2] if len(arguments) > 2 else 0
    if isinstance(mode, str):
        return "+" in mode and not set(mode) & set("wx")
    return isinstance(flags, int) and bool(flags & os.O_RDWR) and not flags & os.O_TRUNC


def stamp_of(path: str) -> tuple[int, int] | None:
    """Size and time of modification; None where there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _depth(path: str, folders: list[str]) -> int:
    """The length of the longest of some folders that holds a path, or -1."""
    held = (len(item) for item in folders if path == item or path.startswith(item + os.sep))
    return max(held, default=-1)
