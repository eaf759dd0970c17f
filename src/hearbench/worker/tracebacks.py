"""The end of an error's traceback, without the frames of what called the model."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path

__all__ = ["own_traceback"]

_FRAMES = 4


def own_traceback(error: BaseException, others: Iterable[str] = ()) -> str:
    """The end of a traceback, from the code of the model.

    Args:
        others: Further files whose frames are left out, beside this package's.
    """
    folder = Path(__file__).parent
    left_out = set(others)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in left_out
        and Path(frame.filename).parent != folder
        and not frame.filename.startswith("<frozen importlib")
    ]
    lines = traceback.format_list(frames[-_FRAMES:])
    lines += traceback.format_exception_only(type(error), error)
    return "".join(lines).rstrip()
