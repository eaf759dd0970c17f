"""Functions that work or fail depending on what was called before them.

A call that fails is made again in a fresh process; if it works there, earlier calls are made one
by one in further processes, until one is found after which it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError
from hearbench.validate.model_process import (
    SCENE,
    TIMESTAMPS,
    Call,
    CannotRunError,
    ModelProcess,
    end_of_process,
)

__all__ = ["OTHER", "CallOrderError", "OrderFault", "order_fault"]

Array = npt.NDArray[np.float32]
Try = Callable[[str, Array], object]
"""Makes a call and reads what it returns; raises a HearError where either fails."""

# Each takes a process of its own, in which the model is loaded again.
_MOST_TRIED = 4
OTHER = {SCENE: TIMESTAMPS, TIMESTAMPS: SCENE}
"""For each function the other one."""


class CallOrderError(Exception):
    """What a function does depends on earlier calls, so that nothing else can be said of it.

    No HearError: no check takes it for a fault of the clips that it tries.
    """


@dataclass(frozen=True)
class OrderFault:
    """A function that works after some calls and fails after others.

    Attributes:
        text: When it works, when it fails, and how.
    """

    function: str
    text: str


def order_fault(
    process: ModelProcess, problem: HearError, attempt: Try, shown: Callable[[Array], str]
) -> OrderFault | None:
    """Whether a call failed for what was called before it, or for want of it.

    Args:
        process: Its latest call is the one that failed.
        problem: The error by which it failed.
        shown: Writes clips as text.

    Returns:
        None if it fails just so when it is the first call.
    """
    *before, call = (one for one in process.calls if one.function in OTHER)
    ended = end_of_process(problem)
    if ended is not None and ended.why in ("hung", "read"):
        return None  # to wait once more could take as long again; to read is a fault as it is
    if process.n_calls == 1:
        # What ends its process takes whatever an earlier call could have left with it.
        if ended is not None:
            return None
        found = _wanting(call, attempt)
        return _fault(call, "fails when called first, and works", found, problem) if found else None
    process.end()
    if _failing(attempt, call):
        return None
    found = _cause(process, call, before, attempt, shown)
    return _fault(call, "works when called first, and fails", found, problem)


def _fault(call: Call, how: str, found: str, problem: HearError) -> OrderFault:
    text = str(problem)
    gap = "\n" if text.startswith(" ") or "\n" in text else " "
    return OrderFault(call.function, f"{call.function} {how} {found}:{gap}{text}")


def _wanting(call: Call, attempt: Try) -> str:
    """After which call it works, where it failed as the first of its process; empty if never."""
    if not _failing(attempt, call):
        return "when called again"
    other = Call(OTHER[call.function], call.audio)
    if not _failing(attempt, other) and not _failing(attempt, call):
        return f"after {other.function}"
    return ""


def _cause(
    process: ModelProcess,
    call: Call,
    before: list[Call],
    attempt: Try,
    shown: Callable[[Array], str],
) -> str:
    """After what it fails, in words; it has just worked as the first call of its process."""
    if _failing(attempt, call):
        return "when called again"
    other = Call(OTHER[call.function], call.audio)
    candidates = [other] if any(one.function == other.function for one in before) else []
    seen = {(one.function, one.audio.shape) for one in candidates}
    # Functions that differ first, then clips that do; the latest calls before the others.
    latest = sorted(
        enumerate(before), key=lambda item: (item[1].function == call.function, -item[0])
    )
    for _, one in latest:
        if (one.function, one.audio.shape) not in seen:
            seen.add((one.function, one.audio.shape))
            candidates.append(one)
    for one in candidates[:_MOST_TRIED]:
        process.end()
        if _failing(attempt, one):
            continue
        if _failing(attempt, call):
            same = one.function == call.function
            clips = "" if one is other else f" on {shown(one.audio)}"
            return f"after {'a call of itself' if same else one.function}{clips}"
    return "after earlier calls, though after none of those that were tried alone"


def _failing(attempt: Try, call: Call) -> bool:
    try:
        attempt(call.function, call.audio)
    except CannotRunError:
        raise
    except HearError:
        return True
    return False
