"""Telling errors for want of memory from others.

Frameworks name them differently, and those of a model in a process of its own arrive as text, so
that the text decides.
"""

from __future__ import annotations

import re
import traceback

__all__ = ["ran_out_of_memory"]

# As the last lines of a traceback: a class, or a message of an error of a wider class.
_CLASS = r"(?:\w+\.)*_?(?:\w*OutOfMemory\w*|\w*MemoryError|ResourceExhaustedError)\b"
_MESSAGE = (
    r"(?:\w+\.)*\w+: .*"
    r"(?:out of memory|not enough memory|[Ff]ailed to allocate memory|bad_alloc|ALLOC_FAILED|"
    r"RESOURCE_EXHAUSTED|[Cc]annot allocate memory)"
)
_OUT_OF_MEMORY = re.compile(rf"^(?:{_CLASS}|{_MESSAGE})", re.MULTILINE)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the traceback that its message ends with, is for want of memory.

    Args:
        error: An error of numpy, PyTorch, TensorFlow or ONNX Runtime, or a ``ModelError`` that
            quotes one.
    """
    return bool(_OUT_OF_MEMORY.search("".join(traceback.format_exception_only(error))))
