"""Which precision the matrix products of training use on a device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hearbench.errors import ProbeError

if TYPE_CHECKING:
    import torch

    from hearbench.workspace import Workspace

__all__ = ["PRECISIONS", "exact_float32", "precision_name", "resolve_precision"]

# Of products in training; ``auto`` is bfloat16 on a GPU that has it.
PRECISIONS = ("auto", "float32", "bfloat16")


def resolve_precision(precision: str, device: str) -> torch.dtype:
    """The precision of the products in training; everything else is float32 at any rate.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the hardware
            multiplies it faster (a CPU with AMX or AVX-512 BF16, a GPU since Ampere).
        device: A torch device.

    Raises:
        ProbeError: There is no such precision.
    """
    _check(precision)
    import torch

    if precision == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(torch.device(device)) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def precision_name(precision: str, workspace: Workspace) -> str:
    """The name of the precision that a workspace's device uses for the products in training.

    Args:
        precision: As for `resolve_precision`.

    Raises:
        ProbeError: There is no such precision.
    """
    _check(precision)
    if precision != "auto":
        return precision
    memo = workspace.memo("fast precision", workspace.device)
    known = memo.recall()
    if known is None:
        known = str(resolve_precision(precision, workspace.torch_device())).removeprefix("torch.")
        memo.remember(known)
    return str(known)


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Multiplies float32 as float32, whatever has been set for the whole process.

    A model that runs in the same process may have allowed TensorFloat-32 or bfloat16 in its
    place, on a GPU or a CPU, for its own sake; a score mustn't depend on that.
    """
    import torch

    backends: Any = torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # before PyTorch 2.9
        allowed = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(allowed)
        return
    switches = (backends.cuda.matmul, backends.mkldnn.matmul)
    before = [switch.fp32_precision for switch in switches]
    try:
        for switch in switches:
            switch.fp32_precision = "ieee"
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def _check(precision: str) -> None:
    if precision not in PRECISIONS:
        raise ProbeError(
            f"There is no precision {precision!r}. Use one of {', '.join(PRECISIONS)}."
        )


def _multiplies_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Not part of PyTorch's public interface everywhere, hence asked for with care.
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, test, bool)()) for test in tests)
