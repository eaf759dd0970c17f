"""What is embedded for each kind of task."""

from __future__ import annotations

from dataclasses import dataclass

from hearbench.embeddings.kinds import EMBEDDED, EMBEDDINGS, Wanted
from hearbench.tasks.task_type import EVENT, SCENE, TASK_TYPES


@dataclass(frozen=True)
class Sizes:
    scene_embedding_size: int = 7
    timestamp_embedding_size: int = 3


def test_every_kind_of_task_has_a_size() -> None:
    assert set(EMBEDDED) == set(TASK_TYPES)
    assert [Wanted.of(kind).size(Sizes()) for kind in (SCENE, EVENT)] == [7, 3]
    assert {name: embedded.what for name, embedded in EMBEDDINGS.items()} == {
        "scene": "scene",
        "timestamp": "timestamp",
    }


def test_a_clip_has_one_embedding_or_one_for_every_50_ms() -> None:
    assert EMBEDDED[SCENE].rows_of(12.5) == 1
    assert EMBEDDED[EVENT].rows_of(12.5) == 250
