"""Where things are kept and what they may use; built once at the edge and passed down."""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from hearbench.errors import HearError
from hearbench.memo import Memo
from hearbench.progress import SILENT, Progress, default_progress

__all__ = ["Workspace", "available_cores", "user_path"]

# A path with nothing at it, or with something that may not be looked at, is still a path.
_NO_PATH = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP})
_LONGEST_SHOWN = 80
# As torch names what computes for it; TensorFlow's are understood by the same names.
_DEVICE = re.compile(r"auto|(cpu|cuda|mps|xpu)(:\d{1,4})?", re.ASCII)


def available_cores() -> int:
    """The processors this process may use (its affinity where the system tells)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def user_path(text: str | Path) -> Path:
    """A path that a user wrote, with ``~`` as a home folder; of a stranger, ``~x`` is a name.

    Raises:
        HearError: It can't be a path: it is too long, has a NUL, or leads in a circle.
    """
    try:
        # Not pathlib's, which fails where there is no home.
        path = Path(os.path.expanduser(text))  # noqa: PTH111
        path.stat()
    except OSError as error:
        if error.errno in _NO_PATH:
            raise _no_path(text, error.strerror) from error
    except ValueError as error:  # a NUL, or half of a character
        raise _no_path(text, str(error)) from error
    return path


def _no_path(text: str | Path, why: str | None) -> HearError:
    shown = str(text)
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}..."
    return HearError(f"{shown!r} can't be a path: {why}. Give the path of a file or folder.")


def _device_name(text: str) -> str:
    if _DEVICE.fullmatch(text):
        return text
    raise HearError(
        f"No device is called {text[:_LONGEST_SHOWN]!r}. They are cpu; cuda, or cuda:1 for the "
        "second GPU of NVIDIA or AMD and so on; mps for Apple's; xpu for Intel's; and auto for a "
        "GPU if there is one."
    )


@dataclass(frozen=True)
class Workspace:
    """Folders, device, threads and memory that a run may use; none of it changes a result.

    Attributes:
        cache_dir: Folder of unpacked archives, resampled audio and embeddings.
        device: A torch device such as ``"cpu"`` or ``"cuda:0"``; ``"auto"`` takes the first
            GPU where there is one.
        workers: Threads for decoding, resampling and hashing.
        max_memory_gb: What the embeddings of a task may take of the host's memory while a probe
            is trained, in GiB; None for half of what is free when it begins. What lies on a GPU
            goes by what is free there.
        mirror: Address of a place that holds the files of the benchmark and of the corpora under
            the same names; None for their own places.
        progress: Who shows what runs and how far it is; silent by default.

    Raises:
        HearError: `max_memory_gb` is negative, infinite or not a number.
    """

    cache_dir: Path
    device: str = "auto"
    workers: int = 1
    max_memory_gb: float | None = None
    mirror: str | None = None
    progress: Progress = field(default=SILENT, compare=False, repr=False)

    def __post_init__(self) -> None:
        # A comparison with NaN is false.
        if self.max_memory_gb is not None and not 0 <= self.max_memory_gb < math.inf:
            raise HearError(
                f"--max-memory {self.max_memory_gb}: a number of GiB from 0 on is needed."
            )

    @classmethod
    def from_environment(
        cls,
        *,
        cache_dir: Path | None = None,
        device: str | None = None,
        workers: int | None = None,
        max_memory_gb: float | None = None,
        mirror: str | None = None,
        progress: Progress | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Workspace:
        """A workspace from arguments, then from the environment, then defaults.

        The variables are ``HEARBENCH_CACHE``, ``HEARBENCH_DEVICE`` and ``HEARBENCH_MIRROR``.
        Progress is shown as `default_progress` decides, unless one is given.

        Raises:
            HearError: The cache's folder can't be a path, no device is called so, or the memory
                is no number of GiB.
        """
        env = os.environ if environment is None else environment
        if cache_dir is None:
            named = env.get("HEARBENCH_CACHE")
            cache_dir = Path(named) if named else platformdirs.user_cache_path("hearbench")
        return cls(
            cache_dir=user_path(cache_dir).resolve(),
            device=_device_name(device or env.get("HEARBENCH_DEVICE") or "auto"),
            workers=workers if workers is not None else available_cores(),
            max_memory_gb=max_memory_gb,
            mirror=mirror or env.get("HEARBENCH_MIRROR") or None,
            progress=progress or default_progress(),
        )

    def path(self, *parts: str | Path) -> Path:
        """A path in the cache: ``path("tasks", name)`` is that of a task."""
        return self.cache_dir.joinpath(*parts)

    def memory_budget_bytes(self) -> int:
        """What `max_memory_gb` comes to now."""
        if self.max_memory_gb is not None:
            return int(self.max_memory_gb * (1 << 30))
        # Every command makes a workspace, and few ask for its memory.
        import psutil

        return int(psutil.virtual_memory().available) // 2

    def memo(self, *question: object) -> Memo:
        """What an earlier process found out about something, and this one needn't again.

        Args:
            *question: JSON values that say what it is about.
        """
        return Memo(self.path("digests"), *question)

    def torch_device(self) -> str:
        """The device's name with ``auto`` resolved; the only place that asks torch for it."""
        if self.device != "auto":
            return self.device
        known = self._usable().recall()
        if known is not None:
            return str(known)
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"

    def usable_device(self) -> str:
        """The device's name, once something has been put there.

        Raises:
            HearError: torch knows no such device, or this machine has none.
        """
        memo = self._usable()
        known = memo.recall()
        if known is not None:
            return str(known)
        import torch

        device = self.torch_device()
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            from hearbench.worker.backends import torch_devices

            raise HearError(
                f"The device {device!r} can't be used. Here are {', '.join(torch_devices())}; "
                f"torch says: {str(error).splitlines()[0]}"
            ) from error
        memo.remember(device)
        return device

    def _usable(self) -> Memo:
        return self.memo("usable device", self.device)
