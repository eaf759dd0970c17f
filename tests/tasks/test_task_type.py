"""What the kinds of task know of files and corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hearbench.errors import UnknownNameError
from hearbench.metrics import get_score
from hearbench.tasks.clips import Clip, Event
from hearbench.tasks.problems import Problems
from hearbench.tasks.spec import score_problems
from hearbench.tasks.task_type import (
    EVENT,
    SCENE,
    TASK_TYPES,
    PredictionType,
    TaskType,
    task_type,
)

ROW = Clip(Path("a.wav"), "a", "dog", start_ms=900.0, end_ms=1500.0)


def test_by_name() -> None:
    assert [task_type(name) for name in ("scene", "event")] == [SCENE, EVENT]
    with pytest.raises(UnknownNameError, match="'event'"):
        task_type("events")


def test_default_scores_put_the_one_to_optimise_first() -> None:
    assert SCENE.default_scores("multiclass")[0] == "top1_acc"
    assert SCENE.default_scores("multilabel")[0] == "mAP"
    assert EVENT.default_scores("multilabel")[0] == "event_onset_200ms_fms"


@pytest.mark.parametrize("kind", TASK_TYPES)
def test_scores_of_a_kind_are_registered_and_fit(kind: TaskType) -> None:
    for prediction in kind.prediction_types:
        assert score_problems(kind.default_scores(prediction), kind) == []
    for name in kind.scores:
        assert get_score(kind, name).name == name


@pytest.mark.parametrize(
    ("kind", "prediction", "values", "items", "says"),
    [
        (SCENE, "multiclass", [3], ("3",), []),
        (SCENE, "multiclass", ["a", "b"], ("a", "b"), ["exactly one label"]),
        (SCENE, "multilabel", [], (), []),
        (SCENE, "multilabel", ["a", "a"], ("a", "a"), ["a label twice"]),
        (SCENE, "multilabel", ["a", True], ("a",), ["neither text nor integer"]),
        (EVENT, "multilabel", [{"label": 1, "start": 0, "end": 5}], (Event("1", 0.0, 5.0),), []),
        (EVENT, "multilabel", ["a"], (), ["without label, start and end"]),
        (EVENT, "multilabel", [{"label": "a", "start": -1, "end": 5}], (), ["no milliseconds"]),
    ],
)
def test_items_of_a_file(
    kind: TaskType, prediction: PredictionType, values: list[Any], items: Any, says: list[str]
) -> None:
    problems = Problems()
    assert kind.read_items(values, prediction, "train/a.wav", problems) == items
    lines = problems.lines()
    assert len(lines) == len(says)
    assert all(text in line for text, line in zip(says, lines, strict=True))


def test_a_row_of_a_corpus_becomes_a_label_or_an_event() -> None:
    assert SCENE.json_item(ROW, 7, 1.0) == 7
    assert EVENT.json_item(ROW, 7, None) == {"label": 7, "start": 900.0, "end": 1500.0}
    assert EVENT.json_item(ROW, 7, 1.0) == {"label": 7, "start": 900.0, "end": 1000.0}
    assert EVENT.json_item(ROW, 7, 0.9) is None
    without_end = Clip(Path("a.wav"), "a", "dog", start_ms=900.0)
    assert EVENT.row_problem(without_end) == "events without start and end"
    assert SCENE.row_problem(without_end) is None
