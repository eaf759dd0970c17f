from __future__ import annotations

import pytest

from hearbench.tasks.spec import default_scores, is_plain_name, score_problems


def test_default_scores_put_the_one_to_optimise_first() -> None:
    assert default_scores("scene", "multiclass")[0] == "top1_acc"
    assert default_scores("scene", "multilabel")[0] == "mAP"
    assert default_scores("event", "multilabel")[0] == "event_onset_200ms_fms"


@pytest.mark.parametrize("kind", ["scene", "event"])
def test_default_scores_fit(kind: str) -> None:
    for prediction in ("multiclass", "multilabel"):
        names = default_scores(kind, prediction)  # type: ignore[arg-type]
        assert score_problems(names, kind) == []  # type: ignore[arg-type]


def test_what_is_wrong_with_scores() -> None:
    problems = score_problems(["mAP", "maP", "mAP", "segment_1s_er"], "scene")
    assert [problem.split(".")[0].split(";")[0] for problem in problems] == [
        "There is no score named 'maP'",
        "The score 'mAP' is named twice",
        "The score 'segment_1s_er' doesn't fit a task of kind 'scene'",
    ]


@pytest.mark.parametrize(
    ("text", "plain"),
    [("beijing_opera", True), ("v1.0-hear2021", True), ("", False), ("..", False), ("a/b", False)],
)
def test_plain_names(text: str, plain: bool) -> None:
    assert is_plain_name(text) is plain
