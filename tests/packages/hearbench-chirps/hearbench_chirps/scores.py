"""A score that only the weakest label counts for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hearbench.metrics import SceneScore


def worst_label_acc(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> float:
    """The lowest share of a label's clips (n_clips, n_labels) that are recognised."""
    right = probabilities.argmax(1) == targets.argmax(1)
    truth = targets.argmax(1)
    return float(min(right[truth == label].mean() for label in np.unique(truth)))


WORST_LABEL_ACC = SceneScore(
    "worst_label_acc", worst_label_acc, maximise=True, title="accuracy of the weakest label"
)
