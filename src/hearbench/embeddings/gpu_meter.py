"""How busy a GPU is, as the driver's own ``nvidia-smi`` tells."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from types import TracebackType

__all__ = ["GpuMeter"]

_EVERY_MS = 500
_PROGRAM = "nvidia-smi"
_END_S = 5.0


class GpuMeter:
    """Asks twice a second, as a context manager; on a CPU, or where nothing tells, it does nothing.

    Work of other processes on the same GPU counts, as the driver doesn't tell it apart.

    Args:
        device: As torch names it.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.Lock()
        self._samples: list[float] = []

    def __enter__(self) -> GpuMeter:
        """Begins to ask."""
        program = shutil.which(_PROGRAM) if self.device.startswith("cuda") else None
        if program is None:
            return self
        command = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        command += [f"--id={_identity(self.device)}", f"--loop-ms={_EVERY_MS}"]
        with contextlib.suppress(OSError):  # then nothing tells
            self._process = subprocess.Popen(  # noqa: S603 - the driver's program, no shell
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            self._reader = threading.Thread(target=self._read, name="hearbench-gpu", daemon=True)
            self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the program that was asked."""
        if self._process is None or self._reader is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_END_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def take(self) -> float | None:
        """The mean share of time in which the GPU was busy since the last call, 0 to 1.

        None where nothing was told since then.
        """
        with self._lock:
            samples, self._samples = self._samples, []
        return sum(samples) / len(samples) if samples else None

    def _read(self) -> None:
        if self._process is None or self._process.stdout is None:
            return
        for line in self._process.stdout:
            # A GPU that is shared out in parts says "[N/A]".
            if line.strip().isdigit():
                with self._lock:
                    self._samples.append(int(line) / 100)


def _identity(device: str) -> str:
    """What the driver calls a device: its numbers may not be those of this process."""
    import torch

    if not torch.cuda.is_available():  # a framework of the model's own process
        return device.partition(":")[2] or "0"
    return f"GPU-{torch.cuda.get_device_properties(device).uuid}"
