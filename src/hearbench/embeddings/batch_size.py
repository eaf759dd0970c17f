"""How many clips a model is given at once: more on large GPUs, fewer where memory runs out.

The reference evaluation's batches are small for a large GPU. A model that treats each clip by
itself gives the same on larger ones but for rounding; whether it does is found out on the first of
them.
"""

from __future__ import annotations

import re
import traceback

import numpy as np
import numpy.typing as npt

__all__ = ["are_alike", "ran_out_of_memory", "times_larger"]

_BYTES_PER_BATCH = 16 << 30
# Of a clip's norm: above what float32 kernels for batches of other sizes differ by, and far below
# what clips do to each other that are normalised together. A model in half precision may exceed it,
# and then keeps to the batches of the reference.
_ROUNDING = 1e-4

# As the last lines of a traceback: a class, or a message of an error of a wider class.
_CLASS = r"(?:\w+\.)*_?(?:\w*OutOfMemory\w*|\w*MemoryError|ResourceExhaustedError)\b"
_MESSAGE = (
    r"(?:\w+\.)*\w+: .*"
    r"(?:out of memory|not enough memory|[Ff]ailed to allocate memory|bad_alloc|ALLOC_FAILED|"
    r"RESOURCE_EXHAUSTED|[Cc]annot allocate memory)"
)
_OUT_OF_MEMORY = re.compile(rf"^(?:{_CLASS}|{_MESSAGE})", re.MULTILINE)


def times_larger(device: str) -> int:
    """How many of the reference's batches are tried at once: one per 16 GiB of a GPU's memory.

    All of its memory counts, whether or not it is free, so that this doesn't change from run to
    run. It is 1 on a CPU.

    Args:
        device: As torch names it.
    """
    if not device.startswith("cuda"):
        return 1
    import torch

    if not torch.cuda.is_available():  # a framework of the model's own process
        return 1
    return max(1, torch.cuda.get_device_properties(device).total_memory // _BYTES_PER_BATCH)


def are_alike(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating], clips: int) -> bool:
    """Whether embeddings of the same clips are equal but for rounding.

    Args:
        one: Embeddings of all clips, one after the other.
        other: The same, computed otherwise.
        clips: How many there are, all of the same size.
    """
    if one.shape != other.shape:
        return False
    a, b = (x.reshape(clips, -1).astype(np.float64) for x in (one, other))
    differ = np.linalg.norm(a - b, axis=1)
    return bool((differ <= _ROUNDING * np.linalg.norm(b, axis=1)).all())


def ran_out_of_memory(error: BaseException) -> bool:
    """Tells whether memory ran out, by an error or the traceback that its message ends with.

    Frameworks name such errors differently, and those of a model in a process of its own arrive as
    text, so the text decides.

    Args:
        error: An error of numpy, PyTorch, TensorFlow or ONNX Runtime, or a ``ModelError`` that
            quotes one.
    """
    return bool(_OUT_OF_MEMORY.search("".join(traceback.format_exception_only(error))))
