"""Commands that see only what they need: bubblewrap around the process of a model.

The root of such a process is an empty folder in memory. The system's programs and libraries and
what the model needs to read are mounted into it, read-only and at their own places; the home
folder and that of temporary files are there, empty, and what is written there is gone with the
process. It has no network, and sees no other process.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hearbench.errors import HearError

__all__ = ["sandboxed"]

_SYSTEM = (
    *(f"/{name}" for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")),
    # Of the settings those of the loader, and who and where this is; none that services keep.
    *(f"/etc/{name}" for name in ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d")),
    *(f"/etc/{name}" for name in ("passwd", "group", "nsswitch.conf", "hosts", "localtime")),
    "/nix/store",
    "/run/opengl-driver",
    "/opt/cuda",
    "/opt/rocm",
    "/sys/devices/system",  # libraries count processors there
)
_GPU_NODES = ("nvidia*", "dri", "kfd")
# Drivers look up there which GPUs there are.
_GPU_FACTS = ("/sys/bus/pci", "/sys/class", "/sys/dev", "/sys/devices", "/sys/module")
_NAMESPACES = ("user", "ipc", "pid", "net", "uts")
_CONFINED = (
    *(f"--unshare-{name}" for name in _NAMESPACES),
    "--unshare-cgroup-try",
    *("--cap-drop", "ALL"),
    "--die-with-parent",
)
# A process that hangs is told to abort, which makes it say where it is. All of its group hear it,
# and bubblewrap would die of it, and the process with it, before it has said anything.
_DEAF = ("/bin/sh", "-c", 'trap "" ABRT; exec "$@"', "sh")
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_READ, _WRITE, _EMPTY, _CLOSED = "read", "write", "empty", "closed"
_DEV, _PROC, _DEVICE = "dev", "proc", "device"
_OPTIONS = {
    _READ: "--ro-bind",
    _WRITE: "--bind",
    _EMPTY: "--tmpfs",
    _CLOSED: "--tmpfs",
    _DEV: "--dev",
    _PROC: "--proc",
    _DEVICE: "--dev-bind",
}
_MOST_LINKS = 40  # as the kernel does
_PROBE_S = 30


def sandboxed(
    command: Sequence[str],
    *,
    readable: Sequence[Path],
    writable: Sequence[Path],
    hidden: Sequence[Path] = (),
    allowed: Sequence[Path] = (),
) -> list[str]:
    """A command that runs another in a sandbox.

    It ends with the thread that starts it. Start it in a session of its own, so that it has no
    terminal. Its exit status is that of the command, or 128 more than the signal that ended it.

    Args:
        command: The program's path and its arguments.
        readable: Files and folders that it may read; those that aren't there don't count.
        writable: Folders that it may also write in.
        hidden: Folders that are empty for it, also where they are part of readable ones.
        allowed: Of what lies in hidden folders, what may be readable.

    Raises:
        HearError: This system has no sandbox; something readable holds much that is none of the
            command's business, or lies in a hidden folder.
    """
    program = _bubblewrap()
    plan = _Plan()
    for place in _SYSTEM:
        plan.add(place, _READ)
    for place, kind in (("/proc", _PROC), ("/dev", _DEV), ("/tmp", _EMPTY)):  # noqa: S108
        plan.add(place, kind)
    if _home() != "/":
        plan.add(_home(), _EMPTY)
    nodes = [node for pattern in _GPU_NODES for node in Path("/dev").glob(pattern)]
    for node in nodes:
        plan.add(node, _DEVICE)
    for place in _GPU_FACTS if nodes else ():
        plan.add(place, _READ)
    for folder in hidden:
        plan.add(folder, _CLOSED)
    closed, opened = _real_paths(hidden), _real_paths(allowed)
    # The interpreter itself may be a link from outside its own folders.
    for path in (*readable, Path(command[0])):
        problem = _problem(path, closed, opened)
        if problem:
            raise HearError(f"{path} can't be made readable in a sandbox: it {problem}")
        plan.add(path, _READ)
    for path in map(Path, os.environ.get("LD_LIBRARY_PATH", "").split(":")):
        if path.is_absolute() and not _problem(path, closed, opened):
            plan.add(path, _READ)
    for path in writable:
        plan.add(path, _WRITE)
    arguments = [*_DEAF, program, *_CONFINED, *plan.arguments()]
    current = os.path.realpath(Path.cwd())
    arguments += ["--chdir", current if plan.has(current) else "/"]
    arguments += ["--setenv", "TMPDIR", "/tmp"]  # noqa: S108
    return [*arguments, "--", *command]


class _Plan:
    """What is mounted where, and the links that lead there."""

    def __init__(self) -> None:
        self._kinds: dict[str, str] = {}
        self._links: dict[str, str] = {}
        self._passed: set[str] = set()

    def add(self, place: str | Path, kind: str) -> None:
        """Has something at a path, which may lead through links; what isn't there is left out."""
        real = self._follow(os.path.join(Path.cwd(), place))  # noqa: PTH118
        if not os.path.exists(real) or (kind == _READ and _is_special(real)):  # noqa: PTH110
            return
        # What is to be written stays so if it is named once more.
        if not (kind == _READ and self._kinds.get(real) in (_WRITE, _CLOSED)):
            self._kinds[real] = kind

    def has(self, folder: str) -> bool:
        """Whether a folder, by its real path, is there within as it is outside."""
        if self._kind_at(folder) in (_READ, _WRITE):
            return True
        return any(_is_within(place, folder) for place in self._mounted())

    def arguments(self) -> list[str]:
        """The options for bubblewrap, outer folders before what lies in them."""
        lines: dict[str, list[str]] = {}
        for place in self._passed:
            if not self.has(place):
                lines[place] = ["--dir", place]
        for place, target in self._links.items():
            if self._kind_at(place) not in (_READ, _WRITE, _PROC, _DEV):
                lines[place] = ["--symlink", target, place]
        mounted = self._mounted()
        for place, kind in mounted.items():
            option = _OPTIONS[kind]
            lines[place] = [option, place, place] if "bind" in option else [option, place]
        arguments = [item for place in sorted(lines, key=_parts) for item in lines[place]]
        # Where nothing may be written, a write had better fail than go into a folder in memory.
        for place in ("/", *(place for place, kind in mounted.items() if kind == _CLOSED)):
            arguments += ["--remount-ro", place]
        return arguments

    def _mounted(self) -> dict[str, str]:
        """The kinds by places, without what is so already by a mount around it."""
        found = {}
        for place, kind in self._kinds.items():
            around = self._kind_at(os.path.dirname(place))  # noqa: PTH120
            if kind == _READ and around == _READ:
                continue
            # Elsewhere there is nothing to be hidden.
            if kind == _CLOSED and around not in (_READ, _WRITE):
                continue
            found[place] = kind
        return found

    def _kind_at(self, place: str) -> str:
        while place != "/":
            if place in self._kinds:
                return self._kinds[place]
            place = os.path.dirname(place)  # noqa: PTH120
        return ""

    def _follow(self, path: str) -> str:
        """The real path, as the kernel finds it, with the links on the way noted."""
        real, rest, links = "/", list(Path(path).parts[1:]), 0
        while rest:
            part = rest.pop(0)
            if part == "..":
                self._passed.add(real)
                real = os.path.dirname(real)  # noqa: PTH120
                continue
            step = os.path.join(real, part)  # noqa: PTH118
            if links < _MOST_LINKS and os.path.islink(step):  # noqa: PTH114
                links += 1
                target = os.readlink(step)  # noqa: PTH115
                self._links[step] = target
                rest = [*Path(target).parts, *rest]
                if rest and rest[0] == "/":
                    real, rest = "/", rest[1:]
            else:
                real = step
        return real


def _problem(path: Path, closed: Sequence[str], opened: Sequence[str]) -> str:
    """What speaks against making a path readable; empty if nothing does."""
    real, home = os.path.realpath(path), os.path.realpath(_home())
    shared = {os.path.realpath(folder) for folder in (*_TEMPORARY, tempfile.gettempdir())}
    if real == "/" or (home != "/" and _is_within(home, real)):
        return "holds your home folder. Put what the model needs into a folder of its own."
    if real in shared:
        return "holds everybody's temporary files. Put what is needed into a folder of its own."
    around = [folder for folder in closed if _is_within(real, folder)]
    if around and not any(_is_within(real, folder) for folder in opened):
        return f"lies in {around[0]}, which belongs to the benchmark. Copy it elsewhere if it may."
    return ""


@functools.cache
def _bubblewrap() -> str:
    """The path of bubblewrap's program, which has been seen to work.

    Raises:
        HearError: It isn't there, or the system doesn't let it work.
    """
    if sys.platform != "linux":
        raise HearError(f"There is no sandbox for models on {sys.platform}, only on Linux.")
    program = shutil.which("bwrap")
    if program is None:
        raise HearError(
            "A sandbox needs bubblewrap, and there is no bwrap on the PATH. Install the package "
            "bubblewrap with the system's package manager (apt, dnf, pacman, zypper, apk)."
        )
    command = [program, *_CONFINED, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    try:
        done = subprocess.run(  # noqa: S603
            [*command, "--", "/bin/sh", "-c", ":"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_S,
            check=False,
        )
        reason = (
            (done.stderr.strip() or f"exit status {done.returncode}") if done.returncode else ""
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        raise HearError(
            f"This system lets bubblewrap make no sandbox: {reason}\n"
            "It needs user namespaces: `sysctl user.max_user_namespaces` must not be 0, where "
            "there is a kernel.unprivileged_userns_clone it must be 1, and where there is a "
            "kernel.apparmor_restrict_unprivileged_userns bwrap needs an AppArmor profile. "
            "Containers mostly forbid them; run hearbench outside, or in one that is allowed to "
            "make namespaces and to mount /proc."
        )
    return program


def _home() -> str:
    """The home folder; the root where there is none."""
    home = os.path.expanduser("~")  # noqa: PTH111
    return home if home.startswith("/") else "/"


def _real_paths(paths: Sequence[Path]) -> list[str]:
    return [os.path.realpath(path) for path in paths]


def _is_special(path: str) -> bool:
    """Whether the sandbox has its own of a path, such as /dev/null."""
    return path.startswith(("/dev/", "/proc/")) and not path.startswith("/dev/shm/")  # noqa: S108


def _is_within(path: str, folder: str) -> bool:
    return folder == "/" or path == folder or path.startswith(f"{folder}/")


def _parts(path: str) -> list[str]:
    return path.split("/")
