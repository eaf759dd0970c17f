"""The table of scores: their names, their direction, and what they apply to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hearbench.registry import Registry

__all__ = [
    "SceneScore",
    "get_regression_score",
    "get_scene_score",
    "regression_score_names",
    "score_names",
]


@dataclass(frozen=True)
class SceneScore:
    """A score over clips.

    Attributes:
        name: As tasks name it, e.g. ``"top1_acc"``.
        function: Of probabilities (n_clips, n_labels) and multi-hot targets of the same
            shape, or of predicted numbers and those of a regression task, to one number; NaN
            where the score is undefined.
        title: One line for listings.
        parts_in_results: None; event scores have some.
        reads: What predictions it compares with the targets, those of clips.
    """

    name: str
    function: Callable[[npt.NDArray[np.floating], npt.NDArray[Any]], float]
    maximise: bool
    title: str
    parts_in_results: tuple[str, ...] = ()
    reads: Literal["clips"] = "clips"

    @property
    def main(self) -> str:
        """The part that is the score: its only one, of the score's own name."""
        return self.name

    def __call__(self, probabilities: npt.NDArray[np.floating], targets: npt.NDArray[Any]) -> float:
        """The score; see the function's own docstring."""
        return self.function(probabilities, targets)

    def parts(
        self, probabilities: npt.NDArray[np.floating], targets: npt.NDArray[Any]
    ) -> dict[str, float]:
        """The score under its own name, as event scores answer their parts."""
        return {self.name: self.function(probabilities, targets)}


_SCENE: Registry[SceneScore] = Registry(
    "score",
    "hearbench.scores",
    {
        "aucroc": "hearbench.metrics.tagging:AUCROC",
        "chroma_acc": "hearbench.metrics.classification:CHROMA_ACC",
        "d_prime": "hearbench.metrics.tagging:D_PRIME",
        "mAP": "hearbench.metrics.tagging:MAP",
        "pitch_acc": "hearbench.metrics.classification:PITCH_ACC",
        "top1_acc": "hearbench.metrics.classification:TOP1_ACC",
    },
)

_REGRESSION: Registry[SceneScore] = Registry(
    "score",
    "hearbench.regression_scores",
    {
        "ccc": "hearbench.metrics.regression:CCC",
        "mae": "hearbench.metrics.regression:MAE",
        "pearson_r": "hearbench.metrics.regression:PEARSON_R",
        "r2": "hearbench.metrics.regression:R2",
    },
)


def get_scene_score(name: str) -> SceneScore:
    """The scene score of that name.

    Raises:
        UnknownNameError: There is no such score.
    """
    return _SCENE.get(name)


def score_names() -> list[str]:
    """The names of all scene scores, sorted."""
    return _SCENE.names()


def get_regression_score(name: str) -> SceneScore:
    """The score of predicted numbers of that name.

    Raises:
        UnknownNameError: There is no such score.
    """
    return _REGRESSION.get(name)


def regression_score_names() -> list[str]:
    """The names of all scores of predicted numbers, sorted."""
    return _REGRESSION.names()
