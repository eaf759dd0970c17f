import numpy as np
import pytest

from hearbench.errors import TaskError
from hearbench.metrics.event_lists import EventArrays, concatenate_events
from hearbench.tasks.clips import Event

MAPPING = {
    "b": [
        {"label": "y", "start": 30.0, "end": 40.0},
        {"label": "x", "start": 10.0, "end": 20.0},
        {"label": "y", "start": 10.0, "end": 25.5},
    ],
}


def test_from_dictionaries_and_back_in_order() -> None:
    events = EventArrays.from_mapping(MAPPING, ["a", "b"], ["x", "y"])
    assert events.clip.tolist() == [1, 1, 1]
    assert events.label.tolist() == [1, 0, 1]
    assert events.onset_s.tolist() == [0.03, 0.01, 0.01]
    assert events.offset_s.tolist() == [0.04, 0.02, 0.0255]
    assert events.to_mapping(["a", "b"], ["x", "y"]) == {
        "a": [],
        "b": [MAPPING["b"][1], MAPPING["b"][2], MAPPING["b"][0]],
    }


def test_from_the_events_of_a_task() -> None:
    events = EventArrays.from_clips([[], [Event("y", 1.0, 2.0), Event("x", 3.0, 4.0)]], ["x", "y"])
    assert events.clip.tolist() == [1, 1]
    assert events.label.tolist() == [1, 0]
    assert events.onset_ms.tolist() == [1.0, 3.0]
    with pytest.raises(TaskError, match=r"clip 0: the label 'z' .* Did you mean 'zz'"):
        EventArrays.from_clips([[Event("z", 0.0, 1.0)]], ["x", "zz"])
    with pytest.raises(TaskError, match=r"clip 0: an event goes from 0\.0 to inf ms"):
        EventArrays.from_clips([[Event("x", 0.0, float("inf"))]], ["x"])


def test_a_label_that_is_listed_twice() -> None:
    with pytest.raises(TaskError, match="have x twice"):
        EventArrays.from_clips([], ["x", "y", "x"])


def test_order_is_by_clip_label_and_onset() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (int(c), int(label), float(t), float(t))
        for c, label, t in zip(
            rng.integers(0, 4, 50), rng.integers(0, 3, 50), rng.random(50), strict=True
        )
    ]
    events = EventArrays.from_rows(rows)
    ordered = events.take(events.order)
    assert [
        (c, label, t, t)
        for c, label, t in zip(
            ordered.clip.tolist(), ordered.label.tolist(), ordered.onset_ms.tolist(), strict=True
        )
    ] == sorted(rows)


def test_lists_one_after_the_other() -> None:
    one = EventArrays.from_rows([(0, 1, 2.0, 3.0)])
    two = concatenate_events([one, EventArrays.from_rows([]), one])
    assert len(two) == 2
    assert two.offset_ms.tolist() == [3.0, 3.0]
    assert len(concatenate_events([])) == 0
