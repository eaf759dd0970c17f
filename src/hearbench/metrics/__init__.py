"""Scores by name: what the tasks' metadata ask for.

Each is a function of probabilities and targets, tested against scikit-learn, scipy or
sed_eval. Another package adds one through an entry point of the group ``hearbench.scores``.
"""

from __future__ import annotations

from hearbench.metrics.scores import SceneScore, get_scene_score, score_names
from hearbench.metrics.sound_event import (
    EventScore,
    event_score_names,
    event_scores,
    get_event_score,
)

__all__ = [
    "EventScore",
    "SceneScore",
    "event_score_names",
    "event_scores",
    "get_event_score",
    "get_scene_score",
    "score_names",
]
