import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.embeddings.align import check_timestamps, frame_labels
from hearbench.errors import EmbeddingError
from hearbench.tasks.clips import Event

LABELS = {"a": 0, "b": 1, "c": 2}

times = st.integers(0, 200).map(lambda n: n * 12.5)
events = st.builds(
    lambda label, start, length: Event(label, start, start + length),
    st.sampled_from("abc"),
    times,
    times,
)


@given(
    listed=st.lists(events, max_size=12),
    hop_ms=st.sampled_from([2.0, 12.5, 25.0, 50.0, 33.3]),
    n_frames=st.integers(1, 150),
)
@settings(max_examples=200, deadline=None)
def test_labels_are_those_of_the_definition(
    listed: list[Event], hop_ms: float, n_frames: int
) -> None:
    timestamps = np.arange(n_frames) * hop_ms
    expected = np.zeros((n_frames, 3), dtype=np.uint8)
    for i, t in enumerate(timestamps):
        for event in listed:
            if event.start_ms <= t < event.end_ms + 0.0001:
                expected[i, LABELS[event.label]] = 1
    np.testing.assert_array_equal(frame_labels(listed, timestamps, LABELS), expected)


def test_both_ends_are_included_and_gaps_are_missed() -> None:
    timestamps = np.array([0.0, 50.0, 100.0, 150.0], dtype=np.float32)
    found = frame_labels([Event("b", 50.0, 100.0), Event("a", 101.0, 149.0)], timestamps, LABELS)
    assert found[:, 1].tolist() == [0, 1, 1, 0]
    assert not found[:, 0].any()
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("end_ms", "last"),
    [
        (150.0, 3),
        (149.9999999, 3),
        (149.99990001, 3),
        (149.9999, 2),  # 149.9999 + 0.0001 is 150 in double, which is left out
        (149.99989, 2),
        (149.9, 2),
        (100.0, 2),
    ],
)
def test_an_end_just_below_a_timestamp_still_counts(end_ms: float, last: int) -> None:
    timestamps = np.arange(6) * 50.0
    on = frame_labels([Event("a", 50.0, end_ms)], timestamps, LABELS)[:, 0]
    assert on.tolist() == [int(1 <= i <= last) for i in range(6)]
    # A beginning has no such tolerance.
    late = frame_labels([Event("a", 50.00000001, end_ms)], timestamps, LABELS)[:, 0]
    assert late.tolist() == [int(2 <= i <= last) for i in range(6)]


def test_a_clip_without_events_has_no_labels() -> None:
    assert not frame_labels([], np.arange(5.0), LABELS).any()


@pytest.mark.parametrize(
    "timestamps",
    [
        np.arange(0, 2000.1, 50.0),
        np.arange(1, 2000, 2.0),
        np.arange(12.5, 1990, 20.0),
        np.arange(480, 2000, 960.0),
        np.array([0.0]),
        np.round(np.arange(0, 2000, 11.6)),  # rounded to whole ms
    ],
)
def test_usual_timestamps_pass(timestamps: np.ndarray) -> None:
    check_timestamps(timestamps.astype(np.float32), 2000.0)


@pytest.mark.parametrize(
    ("timestamps", "says"),
    [
        (np.arange(0, 2000, 50.0) / 1000, "seconds"),
        (np.arange(0.0125, 2, 0.02), "seconds"),
        (np.arange(0, 900, 50.0), "end at 850"),
        (np.arange(900, 2000, 50.0), "begin at 900"),
        (np.arange(-300, 2000, 50.0), "begin at -300"),
        (np.arange(0, 2060, 50.0), "past the end"),
        (np.arange(0, 4000, 50.0), "past the end"),
        (np.append(np.arange(0, 1000, 50.0), np.arange(975, 2000, 50.0)), "regular"),
        (np.arange(0, 2000, 50.0)[::-1], "ascend"),
        (np.zeros(40), "ascend"),
    ],
)
def test_wrong_timestamps_are_refused_with_the_likely_cause(
    timestamps: np.ndarray, says: str
) -> None:
    with pytest.raises(EmbeddingError, match=says):
        check_timestamps(timestamps, 2000.0)
