"""Settings that Python and the system keep for a whole process."""

from __future__ import annotations

import contextlib
import decimal
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import warnings
from collections.abc import Callable, MutableSequence
from typing import Any, NamedTuple, NoReturn

__all__ = [
    "ABSENT",
    "ATTRIBUTES",
    "Setting",
    "exit_of_a_model",
    "python_settings",
    "system_settings",
]

# The value of an attribute that isn't there.
ABSENT = object()


class Setting(NamedTuple):
    """One setting of the process.

    Attributes:
        library: The module that has it; where that isn't imported, there is nothing to be read.
        get: Reads it, in a form that can be compared.
        set: Puts back what was read.
        default: What it is where the library was imported by the model itself.
    """

    library: str
    get: Callable[[], Any]
    set: Callable[[Any], object]
    default: Any = None


def python_settings() -> dict[str, Setting]:
    """Settings of the interpreter, by name."""
    return {
        "random": Setting("random", random.getstate, random.setstate),
        "warnings": Setting("sys", _warnings, _set_warnings),
        "sys.path": _list("sys", "path"),
        "sys.meta_path": _list("sys", "meta_path"),
        "sys.path_hooks": _list("sys", "path_hooks"),
        "sys.argv": _list("sys", "argv"),
        **{
            f"{module}.{name}": _attribute(module, name)
            for module, names in ATTRIBUTES.items()
            for name in names
        },
        "recursion": Setting("sys", sys.getrecursionlimit, sys.setrecursionlimit),
        "switching": Setting("sys", sys.getswitchinterval, sys.setswitchinterval),
        "garbage": Setting("gc", _garbage, _set_garbage),
        "decimal": Setting("decimal", _Decimal, _Decimal.put),
        "logging": Setting("logging", _logging, _set_logging),
        "sockets": Setting("socket", socket.getdefaulttimeout, socket.setdefaulttimeout),
    }


# What programs replace by assigning.
ATTRIBUTES = {
    "sys": (
        *("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook"),
        *("dont_write_bytecode", "tracebacklimit"),
    ),
    "threading": ("excepthook",),
    "builtins": ("print", "open", "input", "__import__"),
    "warnings": ("showwarning", "formatwarning", "warn"),
    # Many a model switches the checks of certificates off in this way.
    "ssl": ("_create_default_https_context",),
    "torch.hub": ("_hub_dir",),
    # Every model begins with `exit_of_a_model` here.
    "os": ("_exit",),
}


def exit_of_a_model() -> Callable[[int], NoReturn]:
    """An ``os._exit`` that raises `SystemExit` in this process, which a model shares with others.

    Processes that are forked from it end as they would: ``multiprocessing`` ends its own so.
    """
    process, really = os.getpid(), os._exit

    def _exit(status: int) -> NoReturn:
        if os.getpid() != process:
            really(status)
        raise SystemExit(status)

    return _exit


def _attribute(module: str, name: str) -> Setting:
    def put(value: Any) -> None:
        if value is ABSENT:
            delattr(sys.modules[module], name)
        else:
            setattr(sys.modules[module], name, value)

    def get() -> Any:
        return getattr(sys.modules[module], name, ABSENT)

    return Setting(module, get, put, ABSENT)


def _list(module: str, name: str) -> Setting:
    """A list that is changed in place, as others hold it too."""

    def put(value: list[Any]) -> None:
        held: MutableSequence[Any] = getattr(sys.modules[module], name)
        held[:] = value

    return Setting(module, lambda: list(getattr(sys.modules[module], name)), put)


def _warnings() -> list[Any]:
    return list(warnings.filters)


def _set_warnings(filters: list[Any]) -> None:
    # Has Python look again at warnings that it has judged by others.
    warnings.resetwarnings()
    held: Any = warnings.filters
    held[:] = filters


def _garbage() -> tuple[bool, tuple[int, int, int]]:
    return gc.isenabled(), gc.get_threshold()


def _set_garbage(value: tuple[bool, tuple[int, int, int]]) -> None:
    (gc.enable if value[0] else gc.disable)()
    gc.set_threshold(*value[1])


class _Decimal:
    """The context of decimal numbers, to be compared by what it says."""

    def __init__(self) -> None:
        self.context = decimal.getcontext().copy()
        self.text = repr(self.context)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Decimal) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def put(self) -> None:
        """Makes it that of this thread."""
        decimal.setcontext(self.context.copy())


def _logging() -> tuple[Any, ...]:
    root = logging.root
    return root.level, root.manager.disable, [*root.handlers], [*root.filters], logging.lastResort


def _set_logging(value: tuple[Any, ...]) -> None:
    level, disabled, handlers, filters, logging.lastResort = value
    logging.disable(disabled)
    # Also empties what loggers remember of levels.
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers
    logging.root.filters[:] = filters


def system_settings() -> dict[str, Setting]:
    """Settings that the system keeps, by name."""
    found = {
        "environment": Setting("os", _environment, _set_environment),
        "folder": Setting("os", _folder, _set_folder),
        "umask": Setting("os", _umask, os.umask),
        "locale": Setting("locale", _locale, lambda one: locale.setlocale(locale.LC_ALL, one)),
        "signals": Setting("signal", _signals, _set_signals),
    }
    if hasattr(signal, "setitimer"):
        found["timers"] = Setting("signal", _timers, _set_timers)
    if hasattr(os, "sched_setaffinity"):
        found["cores"] = Setting(
            "os", lambda: os.sched_getaffinity(0), lambda cores: os.sched_setaffinity(0, cores)
        )
    with contextlib.suppress(ImportError):  # on Windows
        import resource

        found["limits"] = _limits(resource)
    return found


def _environment() -> dict[Any, Any]:
    # As the system writes it, since decoding all of it before every batch takes long.
    held: dict[Any, Any] = os.environ._data  # type: ignore[attr-defined]  # noqa: SLF001
    return held.copy()


def _set_environment(written: dict[Any, Any]) -> None:
    names, values = os.environ.decodekey, os.environ.decodevalue
    wanted = {names(name): values(value) for name, value in written.items()}
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - before every batch
    except FileNotFoundError:
        return None  # somebody has removed it


def _set_folder(folder: str | None) -> None:
    if folder is not None:
        # Somebody may have removed it; nothing is looked for there by a relative path.
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _umask() -> int:
    # The system tells what it was only when another is set: for now one that keeps files private.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _locale() -> str:
    return locale.setlocale(locale.LC_ALL)


_SIGNALS = tuple(
    getattr(signal, f"SIG{name}")
    for name in ("INT", "TERM", "HUP", "QUIT", "ALRM", "CHLD", "PIPE", "USR1", "USR2", "BREAK")
    if hasattr(signal, f"SIG{name}")
)


def _signals() -> list[Any]:
    return [signal.getsignal(number) for number in _SIGNALS]


def _set_signals(handlers: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        # None is a handler that isn't Python's.
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _timers() -> tuple[float, float]:
    left_s, every_s = signal.getitimer(signal.ITIMER_REAL)
    return (left_s, every_s)


def _set_timers(value: tuple[float, float]) -> None:
    signal.setitimer(signal.ITIMER_REAL, *value)


def _limits(resource: Any) -> Setting:
    numbers = sorted({getattr(resource, name) for name in dir(resource) if name[:7] == "RLIMIT_"})

    def get() -> list[tuple[int, int]]:
        return [resource.getrlimit(number) for number in numbers]

    def put(limits: list[tuple[int, int]]) -> None:
        for number, (soft, _) in zip(numbers, limits, strict=True):
            now, hard = resource.getrlimit(number)
            # A hard limit that was lowered stays so, but for root.
            endless = hard == resource.RLIM_INFINITY
            if now != soft:
                resource.setrlimit(number, (soft if endless or 0 <= soft <= hard else hard, hard))

    return Setting("resource", get, put)
