"""Scores by name: what the tasks' metadata ask for.

Each is a function of probabilities and targets, tested against scikit-learn, scipy or
sed_eval. Another package adds one through an entry point of the group ``hearbench.scores``,
``hearbench.regression_scores`` or ``hearbench.event_scores``.
"""

from __future__ import annotations

from collections.abc import Callable

from hearbench.metrics.scores import (
    SceneScore,
    get_regression_score,
    get_scene_score,
    regression_score_names,
    score_names,
)
from hearbench.metrics.sound_event import (
    EventScore,
    event_score_names,
    event_scores,
    get_event_score,
)
from hearbench.tasks.task_type import EVENT, REGRESSION, SCENE, TaskType

__all__ = [
    "EventScore",
    "SceneScore",
    "event_score_names",
    "event_scores",
    "get_event_score",
    "get_regression_score",
    "get_scene_score",
    "get_score",
    "regression_score_names",
    "score_names",
]

_GETTERS: dict[TaskType, Callable[[str], SceneScore | EventScore]] = {
    SCENE: get_scene_score,
    REGRESSION: get_regression_score,
    EVENT: get_event_score,
}


def get_score(kind: TaskType, name: str) -> SceneScore | EventScore:
    """The score of that name for a kind of task.

    Raises:
        UnknownNameError: That kind of task has no such score.
    """
    return _GETTERS[kind](name)
