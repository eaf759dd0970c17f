"""Which precision the matrix products of training use on a device."""

from __future__ import annotations

import torch

from hearkit.errors import ProbeError

__all__ = ["PRECISIONS", "resolve_precision"]

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
    if precision not in PRECISIONS:
        raise ProbeError(
            f"There is no precision {precision!r}. Use one of {', '.join(PRECISIONS)}."
        )
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(torch.device(device)) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # Not part of PyTorch's public interface everywhere, hence asked for with care.
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, test, bool)()) for test in tests)
