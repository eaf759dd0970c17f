"""Accuracies over clips: is the likeliest label the right one?

Conventions: ``probabilities`` and ``targets`` are (n_clips, n_labels); targets are one-hot,
or multi-hot, and then the first label of a clip is the one that counts (NumPy's argmax of the
row, as in the benchmark's published scores). Equal probabilities go to the lower index.

Source: Turian et al., "HEAR: Holistic Evaluation of Audio Representations", PMLR 176, 2022.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hearbench.metrics.scores import SceneScore

__all__ = ["CHROMA_ACC", "PITCH_ACC", "TOP1_ACC", "chroma_accuracy", "top1_accuracy"]

_PITCH_CLASSES = 12


def top1_accuracy(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> float:
    """Share of clips whose highest probability is at their label; NaN without clips."""
    if len(probabilities) == 0:
        return float("nan")
    return float(np.mean(probabilities.argmax(axis=1) == targets.argmax(axis=1)))


def chroma_accuracy(
    probabilities: npt.NDArray[np.floating], targets: npt.NDArray[np.integer]
) -> float:
    """Share of clips whose highest probability is at their label or whole octaves from it.

    The vocabulary of a pitch task is a run of semitones, so indices are compared modulo 12.
    """
    if len(probabilities) == 0:
        return float("nan")
    estimated = probabilities.argmax(axis=1) % _PITCH_CLASSES
    return float(np.mean(estimated == targets.argmax(axis=1) % _PITCH_CLASSES))


TOP1_ACC = SceneScore("top1_acc", top1_accuracy, True, "share of clips labelled right")
PITCH_ACC = SceneScore("pitch_acc", top1_accuracy, True, "share of notes with the right pitch")
CHROMA_ACC = SceneScore("chroma_acc", chroma_accuracy, True, "the same, octaves forgiven")
