"""What a validation measures, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hearbench.probe.events import Postprocessing

__all__ = ["Objective", "Validation"]


@dataclass(frozen=True)
class Objective:
    """What is validated.

    Attributes:
        function: The task's first score: of probabilities and targets (scene tasks), or of
            reference, what it reads and vocabulary (event tasks), to a number.
        on_loss: Select by the validation loss instead of the function.
        nan_ends_point: Whether a score that isn't finite ends a grid point, where NaN is the worst
            score; or NaN counts as 0.
        reads: What the function compares with the annotation of an event task: the events that a
            postprocessing makes of frames, or the frames' probabilities.
    """

    function: Callable[..., float]
    maximise: bool
    on_loss: bool = False
    nan_ends_point: bool = True
    reads: Literal["clips", "events", "frames"] = "events"

    @property
    def worst(self) -> float:
        """The worst score there is, an infinity."""
        return -math.inf if self.maximise and not self.on_loss else math.inf

    def goodness(self, value: float) -> float:
        """The value in float32, turned so that higher is better, and NaN the worst."""
        if math.isnan(value):
            return -math.inf
        # The published code keeps validations in float32, in which two are equal that differ by
        # rounding alone, as the same F-measure of other counts does.
        with np.errstate(over="ignore"):
            kept = float(np.float32(value))
        return kept if self.maximise and not self.on_loss else -kept


@dataclass(frozen=True)
class Validation:
    """One validation of one network.

    Attributes:
        score: Value of the objective's function, or the loss.
        postprocessing: The way from frames to events that it was scored with, if any.
    """

    score: float
    postprocessing: Postprocessing | None = None
