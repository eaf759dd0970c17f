"""Starts bubblewrap as a user who owns nothing; run as a program, with the standard library alone.

Where root starts a sandbox, a user namespace alone keeps no one out: the kernel lets the system's
owner write into ``/proc/sys`` and the like also without capabilities. So root is exchanged for an
identity that no account has: in a new namespace that one is called 0, and root has its number.
Within the sandbox the capability is left to read what is mounted there, whoever owns it, and none
to write.

Arguments of the program: the user to become or 0 to stay the same, the groups to keep with commas
between them, and the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import sys
from pathlib import Path

_NEW_USER_NAMESPACE = 0x10000000
_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_MAPS = ("uid_map", "gid_map")
_ROOMS = Path("/proc/sys/user/max_user_namespaces")


def main() -> None:
    """Becomes the command."""
    user, groups, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    # Keys of whoever started this can be read by all that have the same session's keyring.
    number = _KEYCTL.get(platform.machine())
    if number is not None:
        libc.syscall(number, _JOIN_SESSION_KEYRING, None)
    if user:
        try:
            _exchange(libc, user, [int(group) for group in groups.split(",") if group])
        except OSError as error:
            sys.exit(f"root can't be exchanged for another user: {error.strerror}")
    # A process that hangs is told to abort, which makes it say where it is. All of its group hear
    # it, and bubblewrap would die of it, and the process with it, before it has said anything.
    signal.signal(signal.SIGABRT, signal.SIG_IGN)
    for changed_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(changed_by_python, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606


def swapped(known: str, user: int) -> str:
    """A map for a new namespace, in which 0 and a user have each other's place.

    Args:
        known: The map of the namespace around it, as ``/proc/self/uid_map`` has it.
        user: Who is mapped to 0.
    """
    lines = [f"0 {user} 1", f"{user} 0 1"]
    for line in known.splitlines():
        first, _, count = map(int, line.split())
        end = first + count
        for start, stop in ((max(first, 1), min(end, user)), (max(first, user + 1), end)):
            if start < stop:
                lines.append(f"{start} {start} {stop - start}")
    return "\n".join(lines) + "\n"


def _exchange(libc: ctypes.CDLL, user: int, groups: list[int]) -> None:
    """Enters a user namespace where this process is 0, and a user of that number outside."""
    maps = {name: swapped(Path(f"/proc/self/{name}").read_text(), user) for name in _MAPS}
    process, (heard, told) = os.getpid(), os.pipe()
    writer = os.fork()
    if not writer:  # only somebody outside may map so many
        status = 1
        with contextlib.suppress(OSError):
            os.close(told)
            if os.read(heard, 1):
                for name, text in maps.items():
                    Path(f"/proc/{process}/{name}").write_text(text)
                status = 0
        os._exit(status)
    os.setgroups(groups)
    if libc.unshare(_NEW_USER_NAMESPACE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.write(told, b".")
    os.close(told)
    os.close(heard)
    if os.waitpid(writer, 0)[1]:
        raise PermissionError(1, "its namespace can't be mapped")
    with contextlib.suppress(OSError):  # of a kernel that counts them elsewhere
        _ROOMS.write_text("0")  # within it no one needs another, and kernels had holes there
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


if __name__ == "__main__":
    main()
