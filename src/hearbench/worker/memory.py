"""Memory that this process has used, and its limit."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["limit_memory", "peak_resident_mb"]

_STATUS = Path("/proc/self/status")


def peak_resident_mb() -> float | None:
    """The most memory that this process has had resident in MiB; None where nothing tells."""
    if _STATUS.is_file():
        # The kernel's count for getrusage goes on from the process that started this one.
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / (1 << 10)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return peak / (1 << 20) if sys.platform == "darwin" else peak / (1 << 10)


def limit_memory(limit_bytes: int) -> None:
    """Makes allocations fail beyond a limit, for this process and each that it starts.

    What is reserved without being writable, as libraries do on a large scale, doesn't count. No
    file may be longer either: those that are shared with the other process lie in memory.

    Raises:
        OSError, ValueError: The system refuses the limit.
    """
    import resource

    for limited in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
        resource.setrlimit(limited, (limit_bytes, limit_bytes))
