from __future__ import annotations

import pytest

from hearbench.tasks.spec import is_plain_name, score_problems
from hearbench.tasks.task_type import SCENE


def test_what_is_wrong_with_scores() -> None:
    problems = score_problems(["mAP", "maP", "mAP", "segment_1s_er"], SCENE)
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
