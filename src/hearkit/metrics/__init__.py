"""Scores by name: what the tasks' metadata ask for.

Each is a function of probabilities and targets, tested against scikit-learn, scipy or
sed_eval. Another package adds one through an entry point of the group ``hearkit.scores``.
"""

from __future__ import annotations

from hearkit.metrics.scores import SceneScore, get_scene_score, score_names

__all__ = ["SceneScore", "get_scene_score", "score_names"]
