"""What a validation measures, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hearbench.probe.events import Postprocessing

__all__ = ["Objective", "Validation"]


@dataclass(frozen=True)
class Objective:
    """What is validated.

    Attributes:
        function: The task's first score: of probabilities and targets (scene tasks), or of
            reference, estimated events and vocabulary (event tasks), to a number.
        maximise: Whether higher is better.
        on_loss: Select by the validation loss instead of the function.
        nan_ends_point: Whether a score that isn't finite ends a grid point, where NaN is the worst
            score; or NaN counts as 0.
    """

    function: Callable[..., float]
    maximise: bool
    on_loss: bool = False
    nan_ends_point: bool = True

    @property
    def worst(self) -> float:
        """The worst score there is, an infinity."""
        return -math.inf if self.maximise and not self.on_loss else math.inf

    def goodness(self, value: float) -> float:
        """The value turned so that higher is better, and NaN the worst."""
        if math.isnan(value):
            return -math.inf
        return value if self.maximise and not self.on_loss else -value


@dataclass(frozen=True)
class Validation:
    """One validation of one network.

    Attributes:
        score: By the objective's function, or the loss.
        postprocessing: The way from frames to events that it was scored with, if any.
    """

    score: float
    postprocessing: Postprocessing | None = None
