"""One disturbance of a kind and strength."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from hearbench.errors import HearError
from hearbench.registry import did_you_mean

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PERTURB_FORMAT", "Floats", "Sound", "Step"]

PERTURB_FORMAT = 1
"""Raised whenever the samples that a perturbation gives change, so that none are mixed."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """A clip that is to be disturbed.

    Attributes:
        samples: (n_samples,), at full scale 1; not to be changed in place.
        sample_rate: In Hz.
        random: Source of random numbers for this clip and kind of disturbance. The streams of this
            class are frozen, those of newer ones aren't (NumPy's NEP 19).
        others: Gives so many other clips of the task, or fewer if it has no more.
    """

    samples: Floats
    sample_rate: int
    random: np.random.RandomState
    others: Callable[[int], list[Floats]]


@dataclass(frozen=True)
class Step(ABC):
    """A disturbance of one kind, with a variant and a strength: ``noise=pink:10``.

    A subclass says in class variables what it takes, and disturbs in `apply`. Another package adds
    its own by an entry point of the group ``hearbench.perturbations``: the name is the kind, the
    object the subclass.

    Attributes:
        value: The strength.
        variant: Which variant of the kind.
        kind: The name of the kind.
        variants: Its variants.
        usual: The variant that the text doesn't name; empty if it has to name one.
        low: Least strength.
        high: Largest strength.
        unit: Unit of the strength, for messages.
    """

    value: float
    variant: str = ""

    kind: ClassVar[str]
    variants: ClassVar[tuple[str, ...]] = ("",)
    usual: ClassVar[str] = ""
    low: ClassVar[float] = -math.inf
    high: ClassVar[float] = math.inf
    unit: ClassVar[str] = ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads ``10`` or ``pink:10``.

        Raises:
            HearError: The kind has no such variant, or the strength isn't one that it takes.
        """
        variant, colon, number = text.strip().rpartition(":")
        if not colon:
            variant = cls.usual
        given = f"{cls.kind}={text}"
        if variant not in cls.variants:
            known = did_you_mean(variant, [each for each in cls.variants if each])
            what = f"has no variant {variant!r}" if colon else "needs a variant before a colon"
            raise HearError(f"{given}: {cls.kind} {what}. {known}")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and cls.low <= value <= cls.high):
            limits = [
                f"{word} {limit:g}"
                for word, limit in (("at least", cls.low), ("at most", cls.high))
                if math.isfinite(limit)
            ]
            wanted = " and ".join(["a number", *limits]).replace("a number and", "a number of", 1)
            unit = f", in {cls.unit}" if cls.unit else ""
            raise HearError(f"{given}: {cls.kind} takes {wanted}{unit}.")
        return cls(value, variant)

    def __str__(self) -> str:
        """The canonical text, by which it is read again."""
        joint = "=" if self.variant == self.usual else ":"
        return f"{self.series}{joint}{self.value:.12g}"

    @property
    def series(self) -> str:
        """What strengths are drawn over: ``noise``, or ``noise=pink`` of another variant."""
        return self.kind if self.variant == self.usual else f"{self.kind}={self.variant}"

    @property
    def changes(self) -> frozenset[str]:
        """What it changes that labels may follow: the ``pitch``, the ``level``, the ``sources``."""
        return frozenset()

    @abstractmethod
    def apply(self, sound: Sound) -> Floats:
        """Disturbs a clip.

        Returns:
            As many samples, at full scale 1.

        Raises:
            HearError: The clip can't be disturbed so.
        """

    def moved_ms(self, time_ms: float) -> float:
        """The time at which a moment of the clip is heard afterwards, in ms."""
        return time_ms
