"""What a model makes of one short fixed signal: notices what no look at its files can.

Two of the same model are alike within what devices and threads do to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hearbench.errors import HearError
from hearbench.records import Record

__all__ = ["Fingerprint", "State", "fingerprint", "signal"]

State = Literal["made", "varies", "failed"]

_DURATION_S = 1.0
# Other than rounding on another device; a trained model changes by more.
_TOLERANCE = 1e-3
_NUMBERS = 8
_MIXERS = (2654435761, 2246822519)

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Embedded: TypeAlias = (
    "npt.NDArray[np.float32] | tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]"
)


class Fingerprint(Record):
    """A few numbers of what a model makes of the signal; written beside its embeddings.

    Attributes:
        state: ``made``; ``varies`` where the model doesn't repeat itself; ``failed`` where it can't
            embed the signal. Only the first has more.
        shape: Size of the embedding, or number of frames and size.
        norm: Euclidean norm of all numbers.
        numbers: They themselves if they are few, or else sums of them with fixed signs.
        times_s: Mean of the frames' centres, and the last of them.
    """

    state: State
    shape: tuple[int, ...] = Field((), max_length=2)
    norm: float = Field(0.0, allow_inf_nan=False)
    numbers: tuple[_Number, ...] = Field((), max_length=_NUMBERS)
    times_s: tuple[_Number, ...] = Field((), max_length=2)

    def matches(self, other: Fingerprint) -> bool:
        """Whether both can be of the same model."""
        if (self.state, self.shape) != (other.state, other.shape):
            return False
        scale = max(self.norm, other.norm)
        return (
            abs(self.norm - other.norm) <= _TOLERANCE * scale
            and _are_within(self.numbers, other.numbers, _TOLERANCE * scale)
            and _are_within(self.times_s, other.times_s, _TOLERANCE)
        )


def fingerprint(
    embed: Callable[[npt.NDArray[np.float32]], _Embedded], sample_rate: int
) -> Fingerprint:
    """Has a model embed the signal twice.

    Args:
        embed: ``Model.scene`` or ``Model.timestamps``.
    """
    try:
        first, second = (_of(embed(signal(sample_rate))) for _ in range(2))
    except HearError:
        return Fingerprint(state="failed")  # the clips of a task will tell what is wrong
    if "failed" in (first.state, second.state):
        return Fingerprint(state="failed")
    return first if first.matches(second) else Fingerprint(state="varies")


def signal(sample_rate: int) -> npt.NDArray[np.float32]:
    """A second of a rising tone with a little noise, (1, n_samples)."""
    n = np.arange(round(_DURATION_S * sample_rate), dtype=np.uint64)
    noise = ((n + np.uint64(1)) * np.uint64(_MIXERS[0]) % np.uint64(1 << 32)).astype(np.float64)
    noise = noise / (1 << 31) - 1
    t = n.astype(np.float64) / sample_rate
    rising = np.sin(2 * np.pi * (100 + 0.2 * sample_rate * t / _DURATION_S) * t)
    tone: npt.NDArray[np.float32] = (0.3 * rising + 0.03 * noise).astype(np.float32)
    return tone[np.newaxis]


def _of(made: _Embedded) -> Fingerprint:
    embeddings, centres_ms = made if isinstance(made, tuple) else (made, np.empty(0))
    flat = embeddings.astype(np.float64).reshape(-1)
    times_s = centres_ms.astype(np.float64).reshape(-1) / 1000
    # A sum is finite if all its terms are, and beyond what can be compared if it isn't.
    if not (np.isfinite(np.sum(flat**2)) and np.isfinite(times_s).all()):
        return Fingerprint(state="failed")
    return Fingerprint(
        state="made",
        shape=embeddings.shape[1:],
        norm=float(np.linalg.norm(flat)),
        numbers=tuple((flat if len(flat) <= _NUMBERS else _sums(flat)).tolist()),
        times_s=(float(times_s.mean()), float(times_s[-1])) if len(times_s) else (),
    )


def _sums(flat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums with signs that look random and are always the same; of the size of the norm."""
    sums = np.empty(_NUMBERS)
    for row in range(_NUMBERS):
        k = np.arange(len(flat), dtype=np.uint64) * np.uint64(_NUMBERS) + np.uint64(row + 1)
        k = k * np.uint64(_MIXERS[0]) % np.uint64(1 << 32)
        k = (k ^ (k >> np.uint64(15))) * np.uint64(_MIXERS[1]) % np.uint64(1 << 32)
        sums[row] = np.where(k >> np.uint64(31), flat, -flat).sum()
    return sums


def _are_within(a: tuple[float, ...], b: tuple[float, ...], tolerance: float) -> bool:
    return len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))
