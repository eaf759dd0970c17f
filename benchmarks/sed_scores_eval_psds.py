"""sed_scores_eval's PSDS of frames, to compare with in value and in speed.

sed_scores_eval 0.0.4 is the reference for this score. It isn't among the packages for development,
as it brings an old ``pathlib`` along: ``pip install sed_scores_eval==0.0.4`` into an environment of
its own, beside hearbench. This file shares no code with hearbench.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SETTINGS", "ClipScores", "sed_scores_eval_psds"]

_COMMON = {"alpha_st": 1.0, "max_efpr": 100.0, "unit_of_time": "hour"}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "psds1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "alpha_ct": 0.0, **_COMMON},
    "psds2": {
        "dtc_threshold": 0.1,
        "gtc_threshold": 0.1,
        "cttc_threshold": 0.3,
        "alpha_ct": 0.5,
        **_COMMON,
    },
}


@dataclass(frozen=True)
class ClipScores:
    """A clip's frames and events.

    Attributes:
        edges_s: (n_frames + 1,) where frames begin and end.
        probabilities: (n_frames, n_labels).
        events: Onset and offset in seconds, and label.
    """

    edges_s: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.floating[Any]]
    events: Sequence[tuple[float, float, str]]


def sed_scores_eval_psds(
    clips: Sequence[ClipScores], labels: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The score, and ``per_label`` that of each label, each of which must have an event."""
    from sed_scores_eval.base_modules import cy_detection, statistics
    from sed_scores_eval.base_modules.scores import create_score_dataframe
    from sed_scores_eval.intersection_based import psds

    # Arrays of pandas 3 are read-only, which Cython refuses.
    statistics.onset_offset_curves = lambda scores, times, candidates=None: (
        cy_detection.onset_offset_curves(np.array(scores), np.array(times), candidates)
    )
    names = [f"{i:06}" for i in range(len(clips))]
    frames = {
        name: create_score_dataframe(
            clip.probabilities.astype(np.float64), clip.edges_s, list(labels)
        )
        for name, clip in zip(names, clips, strict=True)
    }
    score, per_label, _, _ = psds(
        frames,
        {name: list(clip.events) for name, clip in zip(names, clips, strict=True)},
        {
            name: float(clip.edges_s[-1] - clip.edges_s[0])
            for name, clip in zip(names, clips, strict=True)
        },
        **settings,
    )
    return {
        "psds": float(score),
        "per_label": {label: float(value) for label, value in per_label.items()},
    }
