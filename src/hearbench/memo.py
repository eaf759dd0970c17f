"""Answers that an earlier process found, for as long as nothing they were made of has changed.

Importing torch and calling a model takes longer than to look whether every file that took part in
it last time is as it was. What can't be told for certain has no answer here and is found out again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hearbench.digest import digest_json

__all__ = ["Memo", "trust_process"]

_FORMAT_VERSION = 1
_MOST_FILES = 2000
_PACKAGE = str(Path(__file__).parent)
# What Python imports, or what says which packages are installed in which version.
_IMPORTABLE = (".py", ".so", ".pth", ".zip", ".egg", ".egg-link", ".egg-info", ".dist-info")
# Variables by the beginning of their names: of a terminal, a login or a job, another each time.
_SESSION = (
    *("SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES", "TERM", "COLORTERM", "WINDOWID", "DISPLAY"),
    *("SSH_", "XDG_SESSION", "TMUX", "STY", "SLURM_", "VSCODE_", "DBUS_SESSION", "WAYLAND_"),
    *("INVOCATION_ID", "JOURNAL_STREAM"),
)
_CPU = ("model name", "flags", "Features", "CPU part", "microcode")
# By these Linux tells which GPUs there are, by which driver, and where programs find libraries.
_GPUS = (
    "proc/driver/nvidia/version",
    "proc/driver/nvidia/gpus/*/information",
    "sys/class/kfd/kfd/topology/nodes/*/properties",
    "sys/class/drm/card*/device/uevent",
)
_LIBRARY_PLACES = "/etc/ld.so.cache"

_trusted = False


def trust_process(trusted: bool) -> None:
    """Says whether this process has run nothing but hearbench, so that others will do as it does.

    Args:
        trusted: True at the start of a command; False once code of a user's has run, which may
            have changed anything.
    """
    global _trusted  # noqa: PLW0603 - a process is trusted as a whole
    _trusted = trusted


class Memo:
    """The answer to a question that a process which is set up like this one would find.

    It holds if Python, its packages, the environment variables, the processor and the devices are
    as they were, and so is each file that was a module or a library of the process which found the
    answer: none of them changed its size, times or inode. Only Linux tells which files these are.

    Args:
        folder: Folder of the cache that keeps answers.
        question: JSON values that say what is asked.
    """

    def __init__(self, folder: Path, *question: object) -> None:
        self._path = folder / f"memo-{digest_json([_FORMAT_VERSION, *question])}.json"
        self._process = ""

    def recall(self) -> Any:
        """The answer; None if there is none that holds, or torch is loaded at any rate.

        A process that has loaded torch may have changed it, and would save no time.
        """
        if sys.platform != "linux":
            return None
        # Brings numpy along, for which no help waits.
        from hearbench.files import SYNTAX_ERRORS

        try:
            # Libraries may change variables and paths while they are loaded.
            self._process = _process_digest()
            if _has_torch():
                return None
            said = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, *SYNTAX_ERRORS):
            return None
        if not isinstance(said, dict) or said.pop("sha256", None) != digest_json(said):
            return None
        if said["process"] != self._process:
            return None
        holds = said["files"] == digest_json(_stamps(said["paths"], said["places"]))
        return said["answer"] if holds else None

    def remember(self, answer: object, places: Sequence[Path] = ()) -> None:
        """Keeps an answer that `recall` didn't have, for processes that ask the same.

        It isn't kept where something that it hangs on may have changed since this process began.

        Args:
            answer: A JSON value other than None.
            places: Files, or folders with all that lies in them, that it was made of as well.
        """
        if not _trusted or not self._process:
            return
        from hearbench.files import can_keep_stamp, write_json

        # Also those of hearbench's files that weren't imported count for what a model is.
        wanted = [_PACKAGE, *map(str, places)]
        paths = _files_of_process()
        stamps, began_ns = _stamps(paths, wanted), _began_ns()
        if any(stamp is None or can_keep_stamp(stamp, began_ns) for _, stamp in stamps):
            return
        said: dict[str, Any] = {"answer": answer, "process": self._process}
        said |= {"paths": paths, "places": wanted, "files": digest_json(stamps)}
        try:
            write_json(self._path, {**said, "sha256": digest_json(said)}, indent=None)
        except OSError as error:
            # A cache that others fill may well be read-only.
            logging.getLogger(__name__).info("%s isn't kept: %s", self._path, error)


def _has_torch() -> bool:
    return "torch" in sys.modules


def _files_of_process() -> list[str]:
    """The files of modules and libraries that this process has loaded."""
    from hearbench.worker.importing import held_by

    modules = (held_by(module, "__file__") for module in [*sys.modules.values()])
    # What libraries make up has a name without a place.
    found = {path for path in modules if isinstance(path, str) and path.startswith("/")}
    for line in os.fsdecode(Path("/proc/self/maps").read_bytes()).splitlines():
        _, rights, _, _, _, *path = line.split(maxsplit=5)
        if "x" in rights and path and path[0].startswith("/"):
            found.add(path[0])
    return sorted(found)


def _stamps(paths: Iterable[str], places: Iterable[str]) -> list[tuple[str, list[int] | None]]:
    """Stamps of files, which tell whether they were changed; None for one that isn't there."""
    from hearbench.files import file_stamp

    found: list[tuple[str, list[int] | None]] = []
    for path in (*paths, *(path for place in places for path in _below(place))):
        try:
            found.append((path, file_stamp(path)))
        except (OSError, ValueError):  # noqa: PERF203 - gone, or no path
            found.append((path, None))
    return found


def _below(place: str) -> list[str]:
    """A file itself, or all below a folder; where they are too many, a name that no file has."""
    if not Path(place).is_dir():
        return [place]
    files: list[str] = []
    n_looked = 0
    for folder, below, names in os.walk(place, followlinks=True):
        below[:] = [name for name in below if name != "__pycache__"]
        files += [f"{folder}/{name}" for name in names]
        n_looked += 1 + len(names)
        if n_looked > _MOST_FILES:  # as where links lead in a circle
            return [f"{place}/\0"]
    return sorted(files)


def _process_digest() -> str:
    """Digest of a process's conditions: Python, variables, hardware, and what can be imported."""
    processor = _text(Path("/proc/cpuinfo")).partition("\n\n")[0].splitlines()
    variables = {
        key: value
        for key, value in os.environ.items()
        if key != "_" and not key.startswith(_SESSION)
    }
    return digest_json(
        [
            [sys.version, list(sys.flags), sys.prefix, sys.executable, str(Path.cwd()), variables],
            # Without the machine's name.
            [os.uname()[0], *os.uname()[2:], len(os.sched_getaffinity(0))],
            [line for line in processor if line.startswith(_CPU)],
            sorted(path.name for path in Path("/dev").iterdir()),
            [_text(path) for kind in _GPUS for path in sorted(Path("/").glob(kind))],
            _stamps([_LIBRARY_PLACES], []),
            [[place, _importable(place)] for place in sys.path],
        ]
    )


def _text(path: Path) -> str:
    """The beginning of a file of the system; nothing where there is none."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(1 << 14)
    except OSError:
        return ""


def _importable(place: str) -> list[Any]:
    """What modules and packages there are in a folder of Python's path, or in its archive."""
    try:
        with os.scandir(place) as entries:
            names = [
                entry.name
                for entry in entries
                if entry.name.endswith(_IMPORTABLE) or Path(entry.path, "__init__.py").is_file()
            ]
    except OSError:
        return _stamps([place], [])
    # These run when Python starts.
    starts = [f"{place}/{name}" for name in names if name.endswith((".pth", ".egg-link"))]
    return [sorted(names), _stamps(sorted(starts), [])]


def _began_ns() -> int:
    """When this process began, as the clock of files counts."""
    # The process's name, which stands in brackets, may hold anything.
    ticks = int(_text(Path("/proc/self/stat")).rpartition(")")[2].split()[19])
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time_ns() - int(age_s * 1e9)
