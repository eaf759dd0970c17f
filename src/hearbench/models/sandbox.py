"""Commands that see only what they need: bubblewrap around the process of a model.

The root of such a process is an empty folder in memory. The system's programs and libraries and
what the model needs to read are mounted into it, read-only and at their own places; the home
folder and that of temporary files are there, empty, and what is written there is gone with the
process. It has no network, sees no other process, and of the environment a short list. Started by
root it belongs to no one (see :mod:`hearbench.models.sandbox_start`).
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hearbench.errors import HearError

__all__ = ["sandbox_environment", "sandboxed"]

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
_START = Path(__file__).with_name("sandbox_start.py")
# No account has one of these numbers: systemd lends them to services without one.
_NOBODIES = range(61184, 65520)
_CONFINED = (
    *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL"),
    "--die-with-parent",
)
# Of what the kernel tells and takes there: what says more than a model needs, and what it may not
# even try to change.
_HIDDEN_PROC = (
    *("acpi", "kallsyms", "kcore", "key-users", "keys", "kmsg", "kpagecgroup", "kpagecount"),
    *("kpageflags", "latency_stats", "sched_debug", "scsi", "slabinfo", "timer_list"),
    "vmallocinfo",
)
_KEPT_PROC = ("bus", "driver", "fs", "irq", "sys", "sysrq-trigger", "tty")
# What a model may learn of the environment: where things are, how numbers are shown, and what
# libraries go by. None of these holds a secret; prefixes such as TF_ or NVIDIA_ may.
_VARIABLES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "COLUMNS", "LINES"),
        *("LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
        *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_PATH"),
        *("CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING", "CUBLAS_WORKSPACE_CONFIG"),
        *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "ROCM_PATH", "HIP_VISIBLE_DEVICES"),
        *("ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "ZE_AFFINITY_MASK"),
        *("TORCH_HOME", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ENABLE_MPS_FALLBACK"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TFHUB_CACHE_DIR"),
        *("TRANSFORMERS_CACHE", "KERAS_BACKEND", "KERAS_HOME", "TF_CPP_MIN_LOG_LEVEL"),
        *("TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "TF_FORCE_GPU_ALLOW_GROWTH"),
        *("TF_USE_LEGACY_KERAS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
        *("XLA_FLAGS", "JAX_PLATFORMS", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "MPLBACKEND"),
        *("OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
        *("NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "RAYON_NUM_THREADS", "GOMP_CPU_AFFINITY"),
        *("MALLOC_ARENA_MAX", "PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONWARNINGS"),
        *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER"),
    }
)
_VARIABLE_PREFIXES = ("LC_", "OMP_", "MKL_", "KMP_")
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_READ, _EMPTY, _CLOSED = "read", "empty", "closed"
_DEV, _PROC, _DEVICE = "dev", "proc", "device"
_OPTIONS = {
    _READ: "--ro-bind",
    _EMPTY: "--tmpfs",
    _CLOSED: "--tmpfs",
    _DEV: "--dev",
    _PROC: "--proc",
    _DEVICE: "--dev-bind",
}
_MOST_LINKS = 40  # as the kernel does
_PROBE_S = 30


def sandbox_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that a command in a sandbox gets."""
    return {
        key: value
        for key, value in variables.items()
        if key in _VARIABLES or key.startswith(_VARIABLE_PREFIXES)
    }


def sandboxed(
    command: Sequence[str],
    *,
    readable: Sequence[Path],
    hidden: Sequence[Path] = (),
    allowed: Sequence[Path] = (),
) -> list[str]:
    """A command that runs another in a sandbox.

    It ends with the thread that starts it. Start it in a session of its own, so that it has no
    terminal. Its exit status is that of the command, or 128 more than the signal that ended it.

    Args:
        command: The program's path and its arguments.
        readable: Files and folders that it may read; those that aren't there don't count.
        hidden: Folders that are empty for it, also where they are part of readable ones.
        allowed: Of what lies in hidden folders, what may be readable.

    Raises:
        HearError: This system has no sandbox; something readable holds much that is none of the
            command's business, or lies in a hidden folder.
    """
    confined = _bubblewrap()
    plan = _Plan()
    for place in _SYSTEM:
        plan.add(place, _READ)
    for place, kind in (("/proc", _PROC), ("/dev", _DEV), ("/tmp", _EMPTY)):  # noqa: S108
        plan.add(place, kind)
    if _home() != "/":
        plan.add(_home(), _EMPTY)
    nodes = [*_gpu_nodes()]
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
    arguments = [*confined, *plan.arguments(), *_proc_arguments()]
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
        # What is hidden stays so if it is named once more.
        if not (kind == _READ and self._kinds.get(real) == _CLOSED):
            self._kinds[real] = kind

    def has(self, folder: str) -> bool:
        """Whether a folder, by its real path, is there within as it is outside."""
        if self._kind_at(folder) == _READ:
            return True
        return any(_is_within(place, folder) for place in self._mounted())

    def arguments(self) -> list[str]:
        """The options for bubblewrap, outer folders before what lies in them."""
        lines: dict[str, list[str]] = {}
        for place in self._passed:
            if not self.has(place):
                lines[place] = ["--dir", place]
        for place, target in self._links.items():
            if self._kind_at(place) not in (_READ, _PROC, _DEV):
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
            if kind == _CLOSED and around != _READ:
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
def _bubblewrap() -> tuple[str, ...]:
    """The beginning of a command that bubblewrap confines, which has been seen to work.

    Raises:
        HearError: It isn't there, or the system doesn't let it work.
    """
    if sys.platform != "linux":
        raise HearError(f"There is no sandbox for models on {sys.platform}, only on Linux.")
    program = shutil.which("bwrap")
    if program is None:
        raise HearError(
            "A sandbox needs bubblewrap, and there is no bwrap on the PATH. Install the package "
            "bubblewrap with the system's package manager (apt, dnf, pacman, zypper, apk).",
            code="not_installed",
        )
    user = _nobody() if os.geteuid() == 0 else 0
    groups = ",".join(map(str, _gpu_groups())) if user else ""
    command = [sys.executable, "-I", "-S", str(_START), str(user), groups, program, *_CONFINED]
    try:
        if user:
            command += ["--cap-add", "CAP_DAC_READ_SEARCH"]
        else:
            command += ["--unshare-user"]
            # Within it no one needs another, and kernels had holes there.
            if "--disable-userns" in _asked([program, "--help"]).stdout:
                command += ["--disable-userns"]
        everything = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        done = _asked([*command, *everything, *_proc_arguments(), "--", "/bin/sh", "-c", ":"])
        reason = done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""
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
    return tuple(command)


def _asked(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PROBE_S,
        check=False,
    )


def _nobody() -> int:
    """The number of a user, and group, that no account has; 0 where this system lends none.

    That is so in a namespace of few users, whose root is none of the system's.
    """
    maps = [Path(f"/proc/self/{kind}_map").read_text().splitlines() for kind in ("uid", "gid")]
    for number in _NOBODIES:
        if all(any(_holds(line, number) for line in lines) for lines in maps):
            return number
    return 0


def _holds(line: str, number: int) -> bool:
    first, _, count = map(int, line.split())
    return first <= number < first + count


def _gpu_groups() -> list[int]:
    """The groups that may use the GPUs, where that isn't everybody."""
    found = {place.stat().st_gid for node in _gpu_nodes() for place in (node, *node.glob("*"))}
    return sorted(found - {0})


def _gpu_nodes() -> Iterator[Path]:
    for pattern in _GPU_NODES:
        yield from Path("/dev").glob(pattern)


def _proc_arguments() -> list[str]:
    """Options that hide parts of /proc from the command, and have it change nothing of others."""
    arguments = []
    for name in _KEPT_PROC:
        arguments += ["--ro-bind-try", f"/proc/{name}", f"/proc/{name}"]
    for place in (f"/proc/{name}" for name in _HIDDEN_PROC):
        if os.path.isdir(place):  # noqa: PTH112
            arguments += ["--tmpfs", place, "--remount-ro", place]
        elif os.path.exists(place):  # noqa: PTH110
            arguments += ["--ro-bind", "/dev/null", place]
    return arguments


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
