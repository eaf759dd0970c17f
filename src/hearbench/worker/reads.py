"""Files and environment variables that a model reads while it is imported, loaded and called.

Python tells of files that it opens (PEP 578), imported modules among them; variables are seen by
standing before ``os.environ``. Not seen is what compiled code opens by itself, and what comes from
a network or from other programs; of these it is only noted that they were there.

One hook serves all models of a process: it hears for the one that is being called.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Iterator, NamedTuple, Sequence

from .import_side_effects import below_own
from .watch import CONNECTIONS, PROGRAMS, opens_to_update, opens_to_write, stamp_of

__all__ = ["ReadWatch", "Reads", "is_library", "is_package"]

_CODE = (".py", ".pyi", ".pyc", ".so", ".pyd")
# The system's own, which differ between machines that are the same for a model.
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/run/", "\\\\.\\")
# Disks in memory, and those that users plug in.
_DISKS = ("/dev/shm/", "/run/media/", "/run/mount/", "/run/user/")  # noqa: S108
_SETTINGS = (
    "/etc/",
    "/usr/share/",
    "/usr/lib/",
    "/usr/lib64/",
    "/lib/",
    "/lib64/",
    "/bin/",
    "/usr/bin/",
)
# What compilers keep of their work, and what the hub's client keeps beside its files.
_MADE = {"__pycache__", ".triton", ".nv", "numba_cache", ".locks", ".no_exist"}
_MADE_STARTS = ("torchinductor_",)
_MADE_ENDS = (".nbi", ".nbc", ".lock", ".pid", ".incomplete")
_FACTS = (".dist-info", ".egg-info")
_HUB = ("models--", "datasets--", "spaces--")
_HUB_FILES = ("snapshots", "blobs")
_SECRETS = ("token", "stored_tokens", ".netrc", ".gitconfig", ".git-credentials")
# Variables that say where and how a process runs rather than which model it is.
_PLACES = {
    *("HOME", "USER", "LOGNAME", "USERNAME", "USERPROFILE", "HOSTNAME", "PATH", "PWD", "OLDPWD"),
    *("SHELL", "TERM", "DISPLAY", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "COLUMNS"),
    *("LINES", "TORCH_HOME", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "RANK", "WORLD_SIZE"),
    *("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NO_COLOR", "COLORTERM", "SHLVL", "CI"),
}
_PLACE_STARTS = (
    *("XDG_", "LC_", "HF_", "HUGGINGFACE_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "SLURM_", "RAY_"),
    *("HEARBENCH_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "CONDA_", "SSH_", "AWS_", "PYTEST_"),
    *("COV_", "JUPYTER_", "TRANSFORMERS_CACHE", "TFHUB_CACHE", "TF_CPP_", "NUMBA_"),
)
_PLACE_ENDS = ("_NUM_THREADS", "_TOKEN", "_KEY", "_SECRET", "_PASSWORD", "_PROXY", "_proxy")
_FORKS = {"os.fork", "os.forkpty"}
_LISTS = {"os.listdir", "os.scandir"}
_LISTING = ("importlib", "pkgutil", "shutil", "tempfile")
_EVENTS = {"open", "import", *CONNECTIONS, *PROGRAMS, *_FORKS, *_LISTS}
_MOST_UNSEEN = 5


class Reads(NamedTuple):
    """The files and variables that a model has read.

    Attributes:
        files: Absolute paths, in the order in which they were first opened.
        variables: Digests of the values of environment variables by name; None for one that
            wasn't set. Of one that holds an absolute path the digest is of nothing.
        unseen: What else the model took in, which can't be seen: sentences.
    """

    files: list[str]
    variables: dict[str, str | None]
    unseen: list[str]


class ReadWatch:
    """Notes what one model reads while its code runs.

    Args:
        own: Folders and files of the model's package.
        ignored: Folders in which nothing counts unless it lies in ``own``.

    Attributes:
        available: Whether this Python reports opened files.
    """

    available = hasattr(sys, "addaudithook")

    def __init__(self, own: Sequence[str], ignored: Sequence[str] = ()) -> None:
        self.own = list(own)
        self._ignored = tuple(os.path.join(os.path.abspath(path), "") for path in ignored)  # noqa: PTH100, PTH118
        self._files: dict[str, None] = {}
        self._written: set[str] = set()
        self._states: set[str] = set()
        # What it may read and write, with what changes if it does the latter.
        self._updated: dict[str, tuple[int, int] | None] = {}
        self._variables: dict[str, str | None] = {}
        self._unseen: dict[str, None] = {}
        self._others: set[int | None] = set()
        self._depth = 0

    def reads(self) -> Reads:
        """Lists what was read until now, without what the model has written over."""
        unseen = list(self._unseen)
        if not self.available:
            unseen.append("the files that it opens, of which its Python doesn't tell")
        changed = {path for path, stamp in self._updated.items() if stamp_of(path) != stamp}
        both = [*self._files, *(path for path in self._updated if path not in self._files)]
        files = [path for path in both if path not in changed and os.path.isfile(path)]  # noqa: PTH113
        return Reads(files, dict(self._variables), unseen)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Notes what is read while the block runs."""
        self._depth += 1
        if self._depth == 1:
            others = (thread.ident for thread in threading.enumerate())
            self._others = {*others} - {threading.get_ident()}
            _begin(self)
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                _end(self)

    def hear(self, event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        """Receives an event of Python's."""
        if event in CONNECTIONS:
            if self._is_own_doing(frame):
                address = arguments[-1 if event == "socket.connect" else 0]
                host = address[0] if isinstance(address, tuple) and address else address
                if not isinstance(host, str) or not host.startswith("/"):
                    self._cannot_see(f"what it got from the network ({host})")
        elif event in PROGRAMS:
            if self._is_own_doing(frame):
                self._cannot_see(f"what the program {arguments[0]} read")
        elif event in _LISTS:
            self._lists(arguments[0], frame)
        elif event in _FORKS:
            if self._is_own_doing(frame):
                self._cannot_see("what processes read into which it splits")
        else:
            path = arguments[1] if event == "import" else arguments[0]
            if isinstance(path, (str, bytes, os.PathLike)) and not _shows_lines(frame):
                writing = event == "open" and opens_to_write(arguments)
                updating = writing and opens_to_update(arguments)
                with contextlib.suppress(ValueError, OSError):  # no path that could be opened
                    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
                    self._opened(name, writing, updating, frame)

    def asked(self, name: str, value: str | None, frame: FrameType | None) -> None:
        """Receives the name of a variable that was looked up."""
        if name in self._variables or _says_where(name) or not self._is_direct(frame):
            return
        # What lies at a path is seen when it is read; the path itself may be another elsewhere.
        is_path = value is not None and os.path.isabs(value) and os.path.exists(value)  # noqa: PTH110, PTH117
        data = b"" if value is None or is_path else os.fsencode(value)
        self._variables[name] = None if value is None else hashlib.sha256(data).hexdigest()
        if is_path and value is not None and os.path.isfile(value):  # noqa: PTH113
            self._files.setdefault(value)

    def asked_all(self, frame: FrameType | None) -> None:
        """Notes that all variables were looked through."""
        if self._is_direct(frame):
            self._cannot_see("which of all environment variables matter to it")

    def _lists(self, folder: Any, frame: FrameType | None) -> None:
        """Is told that the names in a folder are looked through."""
        # Python looks for modules so, and removes folders.
        module = str(frame.f_globals.get("__name__")) if frame is not None else ""
        if isinstance(folder, int) or module.partition(".")[0].strip("_").startswith(_LISTING):
            return
        with contextlib.suppress(ValueError, OSError):
            path = os.path.abspath(os.fsdecode(folder or "."))  # noqa: PTH100
            if not is_library(os.path.join(path, "")) and self._is_direct(frame):  # noqa: PTH118
                self._cannot_see(f"which names there are in folders, as in {path}")

    def _opened(self, path: str, writing: bool, updating: bool, frame: FrameType | None) -> None:
        path = _source_of(path)
        if path in self._states or (path.startswith(_SYSTEM) and not path.startswith(_DISKS)):
            return
        if path in (self._updated if updating else self._written if writing else self._files):
            return
        parts = Path(path).parts
        if path.endswith(_MADE_ENDS) or any(
            part in _MADE or part.startswith(_MADE_STARTS) for part in parts
        ):
            return
        if not below_own(path, self.own):
            # hearbench's own code counts as a library's also where it isn't installed as one.
            library = is_library(path) or path.startswith(_MACHINERY)
            if library and (path.endswith(_CODE) or any(p.endswith(_FACTS) for p in parts)):
                return
            if not library and path.startswith(self._ignored):
                return
            settings = path.startswith(_SETTINGS) or parts[-1] in _SECRETS or _is_of_the_hub(parts)
            if (library or settings) and not self._is_direct(frame):
                return
        if self._is_own_doing(frame):
            if updating:
                self._updated[path] = stamp_of(path)
            else:
                self._keep(path, writing)

    def _keep(self, path: str, writing: bool) -> None:
        if writing and path in self._files:
            # What it reads and then writes is a state, another each time, as a counter is.
            del self._files[path]
            self._states.add(path)
        elif writing:
            self._written.add(path)
        elif path not in self._written or not path.startswith(_TEMPORARY):
            # What it first fetches exists the next time.
            self._files[path] = None

    def _cannot_see(self, what: str) -> None:
        if len(self._unseen) < _MOST_UNSEEN:
            self._unseen.setdefault(what)

    def _is_own_doing(self, frame: FrameType | None) -> bool:
        """Whether it is the model that does something, and not the import of a library.

        Threads that were there before do something of the model's only if they run its code, as
        other threads of this process have work of their own.
        """
        while frame is not None:
            name = frame.f_code.co_filename
            if os.path.isabs(name):  # noqa: PTH117 - of each frame at every file that opens
                if below_own(name, self.own):
                    return True
                if name.startswith(_MACHINERY):
                    return False
                if not is_library(name):
                    return True
                if frame.f_code.co_name == "<module>":
                    return False
            frame = frame.f_back
        return threading.get_ident() not in self._others

    def _is_direct(self, frame: FrameType | None) -> bool:
        """Whether the model's own code asks, by way of nothing but the standard library."""
        while frame is not None:
            name = frame.f_code.co_filename
            if os.path.isabs(name) and not _is_standard(name):  # noqa: PTH117
                if below_own(name, self.own):
                    return True
                return not (is_library(name) or name.startswith(_MACHINERY))
            frame = frame.f_back
        return False


def _source_of(path: str) -> str:
    """The source of a compiled module, where it exists; any other path as it is."""
    if not path.endswith(".pyc"):
        # Python writes a compiled module beside its place first.
        return path
    with contextlib.suppress(ValueError, NotImplementedError):
        source = importlib.util.source_from_cache(path)
        if os.path.isfile(source):  # noqa: PTH113
            return source
    return path


def is_library(path: str) -> bool:
    """Whether a file belongs to the standard library or an installed package."""
    return path.startswith(_LIBRARIES) or is_package(path)


def is_package(path: str) -> bool:
    """Whether a file or folder belongs to an installed package."""
    return any(part in path for part in _PACKAGE_PARTS)


def _shows_lines(frame: FrameType | None) -> bool:
    """Whether Python looks up lines of whatever is being run, to show where something happened."""
    for _ in range(3):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") == "linecache":
            return True
        frame = frame.f_back
    return False


def _says_where(name: str) -> bool:
    return name in _PLACES or name.startswith(_PLACE_STARTS) or name.endswith(_PLACE_ENDS)


def _is_of_the_hub(parts: Sequence[str]) -> bool:
    """Whether a file is none of a checkpoint's, but of what the hub's client keeps beside them."""
    hub = [i for i, part in enumerate(parts) if part.startswith(_HUB)]
    return bool(hub) and not set(_HUB_FILES) & set(parts[hub[0] :])


def _is_standard(path: str) -> bool:
    return path.startswith(_STANDARD) and not is_package(path)


def _folders(*paths: str | None) -> tuple[str, ...]:
    found = {path for path in paths if path}
    both = found | {os.path.realpath(path) for path in found}
    return tuple(sorted(os.path.join(path, "") for path in both))  # noqa: PTH118


_TEMPORARY = _folders(tempfile.gettempdir())
_PACKAGE_PARTS = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_STANDARD = _folders(*(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")))
_LIBRARIES = (
    *_STANDARD,
    *_folders(*(sysconfig.get_path(name) for name in ("purelib", "platlib"))),
    *_folders(site.getusersitepackages() if site.ENABLE_USER_SITE else None),
)
_MACHINERY = _folders(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

_recording: list[ReadWatch] = []
_lock = threading.Lock()
_listens = False
_iterating = threading.local()
_VARIABLES: Any = type(os.environ)
_look_up, _iterate = _VARIABLES.__getitem__, _VARIABLES.__iter__


def _begin(watch: ReadWatch) -> None:
    global _listens  # noqa: PLW0603
    with _lock:
        # A hook stays for good, so there is one.
        if ReadWatch.available and not _listens:
            _listens = True
            sys.addaudithook(_hear)
        _recording.append(watch)
        _VARIABLES.__getitem__, _VARIABLES.__iter__ = _looking_up, _iterating_over


def _end(watch: ReadWatch) -> None:
    with _lock:
        _recording.remove(watch)
        if not _recording:
            _VARIABLES.__getitem__, _VARIABLES.__iter__ = _look_up, _iterate


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _recording and event in _EVENTS:
        for watch in _recording:
            watch.hear(event, arguments, sys._getframe(1))  # noqa: SLF001


def _looking_up(self: Any, key: Any) -> Any:
    """Stands before the look-up of a variable."""
    found = None
    try:
        found = _look_up(self, key)
    finally:
        frame = sys._getframe(1)  # noqa: SLF001
        if isinstance(key, (str, bytes)) and not _looks_through_all(frame):
            value = None if found is None else os.fsdecode(found)
            for watch in _recording:
                watch.asked(os.fsdecode(key), value, frame)
    return found


def _iterating_over(self: Any) -> Iterator[Any]:
    """Stands before the names of all variables."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    for watch in _recording:
        watch.asked_all(frame)
    # Views of a mapping go through it by code of their own.
    while frame is not None and "_collections_abc" in frame.f_code.co_filename:
        frame = frame.f_back
    _iterating.by = None if frame is None else (id(frame), frame.f_lasti)
    return _each(_iterate(self))


def _looks_through_all(frame: FrameType) -> bool:
    """Whether a look-up is one of all variables': between their names, or by the same call."""
    by = getattr(_iterating, "by", None)
    return getattr(_iterating, "depth", 0) > 0 or by == (id(frame), frame.f_lasti)


def _each(names: Iterator[Any]) -> Iterator[Any]:
    """Names one by one; what is looked up meanwhile is all of them, so none of its own."""
    for name in names:
        _iterating.depth = getattr(_iterating, "depth", 0) + 1
        try:
            yield name
        finally:
            _iterating.depth -= 1
