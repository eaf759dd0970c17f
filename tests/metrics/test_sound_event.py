import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sed_eval_scores import sed_eval_scores

from hearbench.errors import TaskError, UnknownNameError
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.sound_event import event_score_names, event_scores, get_event_score

EventLists = dict[str, list[dict[str, Any]]]

F_MEASURES = [
    "event_onset_200ms_fms",
    "event_onset_50ms_fms",
    "event_onset_offset_50ms_20perc_fms",
]
MACRO = ["event_onset_200ms_macro_fms", "event_onset_50ms_macro_fms"]
SCORES = [*F_MEASURES, *MACRO, "segment_1s_fms", "segment_1s_er"]
OF_FRAMES = ["psds1", "psds2"]


def same(ours: float, theirs: float | None) -> bool:
    if theirs is None or math.isnan(theirs):
        return math.isnan(ours)
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def assert_equal(ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str) -> None:
    """Every number that sed_eval gives, overall and per label."""
    for key, value in theirs.items():
        if isinstance(value, Mapping):
            assert list(ours[key]) == list(value) or key != "per_label"
            assert_equal(ours[key], value, f"{where}/{key}")
        else:
            assert same(ours[key], value), f"{where}/{key}: {ours[key]}, sed_eval {value}"


def assert_as_sed_eval(reference: EventLists, estimate: EventLists, labels: list[str]) -> None:
    for name in SCORES:
        ours = event_scores(reference, estimate, labels, name)
        assert_equal(ours, sed_eval_scores(reference, estimate, labels, name), name)


def event(label: str, start: float, end: float) -> dict[str, Any]:
    return {"label": label, "start": start, "end": end}


# Few places in time and few labels, so that collars' edges, identical onsets and repeats abound.
TIMES = st.one_of(
    st.integers(0, 60).map(lambda i: i * 10.0),
    st.integers(0, 20).map(lambda i: i * 50.0),
    st.integers(0, 8).map(lambda i: i * 500.0),
    st.integers(0, 400_000).map(lambda i: i / 100.0),
    st.floats(0, 3000, allow_subnormal=False),
)
LENGTHS = st.one_of(
    st.sampled_from([0.0, 10.0, 50.0, 100.0, 250.0, 1000.0]),
    st.integers(1, 3000).map(float),
    st.floats(0, 4000, allow_subnormal=False),
)


@st.composite
def event_lists(draw: st.DrawFn) -> tuple[EventLists, EventLists, list[str]]:
    labels = [f"l{i}" for i in range(draw(st.integers(1, 3)))]
    an_event = st.builds(
        lambda label, start, length: event(label, start, start + length),
        st.sampled_from(labels),
        TIMES,
        LENGTHS,
    )
    most = draw(st.sampled_from([2, 6, 15]))
    clips = st.dictionaries(
        st.sampled_from(["a.wav", "b.wav", "c.wav"]), st.lists(an_event, max_size=most), max_size=3
    )
    return draw(clips), draw(clips), labels


@given(lists=event_lists())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_equal_sed_eval_on_random_lists(lists: tuple[EventLists, EventLists, list[str]]) -> None:
    assert_as_sed_eval(*lists)


@given(seed=st.integers(0, 2**32 - 1), hop_ms=st.sampled_from([5.0, 10.0, 50.0, 12.5]))
@settings(max_examples=40, deadline=None)
def test_equal_sed_eval_on_copies_that_are_off_by_some_hops(seed: int, hop_ms: float) -> None:
    rng = np.random.default_rng(seed)
    labels = ["60", "61"]
    reference: EventLists = {}
    estimate: EventLists = {}
    for clip in ("a", "b"):
        n = int(rng.integers(0, 25))
        onset = rng.integers(0, 100, n) * hop_ms
        length = rng.integers(0, 60, n) * hop_ms
        label = rng.choice(labels, n)
        off = rng.integers(-4, 5, (2, n)) * hop_ms
        reference[clip] = [
            event(str(name), float(start), float(start + long))
            for name, start, long in zip(label, onset, length, strict=True)
        ]
        estimate[clip] = [
            event(str(name), float(start), float(max(start, end)))
            for name, start, end in zip(
                label, np.maximum(0, onset + off[0]), onset + length + off[1], strict=True
            )
        ][: int(rng.integers(0, n + 1))]
    assert_as_sed_eval(reference, estimate, labels)


@pytest.mark.parametrize(
    ("reference", "estimate"),
    [
        ({}, {}),
        ({"a": []}, {"a": []}),
        ({"a": []}, {"a": [event("x", 0, 100)]}),
        ({"a": [event("x", 0, 100)]}, {"a": []}),
        ({"a": [event("x", 0, 100)]}, {}),
        ({}, {"a": [event("x", 0, 100)]}),
        ({"a": [event("x", 0, 100)]}, {"b": [event("x", 0, 100)]}),
        ({"a": [event("x", 0, 100)]}, {"a": [event("y", 0, 100)]}),
        # On the boundary between two segments, with and without a length.
        ({"a": [event("x", 1000, 2000)]}, {"a": [event("x", 2000, 2000)]}),
        ({"a": [event("x", 0, 5000)]}, {"a": [event("x", 999.9, 1000.1)]}),
    ],
)
def test_equal_sed_eval_where_something_is_missing(
    reference: EventLists, estimate: EventLists
) -> None:
    assert_as_sed_eval(reference, estimate, ["x", "y"])


def test_a_collar_includes_its_edge_as_floats_have_it() -> None:
    # 0.15 - 0.1 is below 0.05 in float64, 0.55 - 0.5 is above.
    for start, other in [(100.0, 150.0), (500.0, 550.0), (300.0, 100.0), (1100.0, 900.0)]:
        assert_as_sed_eval({"a": [event("x", start, 2e3)]}, {"a": [event("x", other, 2e3)]}, ["x"])
    inside = event_scores(
        {"a": [event("x", 100, 200)]}, {"a": [event("x", 150, 200)]}, ["x"], F_MEASURES[1]
    )
    outside = event_scores(
        {"a": [event("x", 500, 600)]}, {"a": [event("x", 550, 600)]}, ["x"], F_MEASURES[1]
    )
    assert (inside["Ntp"], outside["Ntp"]) == (1, 0)


def test_many_repeats_of_one_note_within_the_collar() -> None:
    rng = np.random.default_rng(3)
    reference, estimate = (
        {
            "a": [
                event("x", start, start + long)
                for start, long in zip(
                    rng.uniform(0, 150, 60).round(), rng.exponential(300, 60), strict=True
                )
            ]
        }
        for _ in range(2)
    )
    assert_as_sed_eval(reference, estimate, ["x"])


def test_thousands_of_events_in_a_clip() -> None:
    # As many matches as notes: every estimate is late by 20 ms. Then 1 ms too late for 50 ms.
    notes = [event(str(i % 7), i * 30.0, i * 30.0 + 200) for i in range(6000)]
    late = [event(n["label"], n["start"] + 20, n["end"] + 20) for n in notes]
    labels = [str(i) for i in range(7)]
    for name in F_MEASURES:
        assert event_scores({"a": notes}, {"a": late[::2]}, labels, name)["Ntp"] == 3000
    too_late = [event(n["label"], n["start"] + 51, n["end"]) for n in notes]
    assert event_scores({"a": notes}, {"a": too_late}, labels, F_MEASURES[1])["f_measure"] == 0.0


def test_figures_by_hand() -> None:
    reference = {"a": [event("x", 0, 1000), event("y", 500, 1500), event("x", 2000, 2500)]}
    estimate = {"a": [event("x", 30, 900), event("x", 2100, 2200)], "b": [event("y", 0, 10)]}
    strict = event_scores(reference, estimate, ["x", "y"], "event_onset_50ms_fms")
    assert (strict["precision"], strict["recall"], strict["f_measure"]) == pytest.approx(
        (1 / 3, 1 / 3, 1 / 3)
    )
    assert (strict["Nref"], strict["Nsys"], strict["Ntp"]) == (3, 3, 1)
    assert strict["per_label"]["x"]["f_measure"] == 0.5
    loose = event_scores(reference, estimate, ["x", "y"], "event_onset_200ms_fms")
    assert loose["f_measure"] == pytest.approx(2 / 3)
    # Seconds 0, 1 and 2 of a: {x, y} and {x}, {y} and none, {x} and {x}; of b: none and {y}.
    error = event_scores(reference, estimate, ["x", "y"], "segment_1s_er")
    assert (error["substitutions"], error["deletions"], error["insertions"]) == (0, 2, 1)
    assert error["error_rate"] == pytest.approx(3 / 4)


def test_nothing_estimated_is_undefined() -> None:
    scores = event_scores({"a": [event("x", 0, 100)]}, {}, ["x"], "event_onset_200ms_fms")
    assert math.isnan(scores["f_measure"])
    assert math.isnan(scores["precision"])
    assert scores["recall"] == 0.0


def test_golden_lists(shared: Path) -> None:
    cases = json.loads((shared / "golden/events/random_lists.json").read_text())
    assert len(cases) == 30
    for case in cases:
        for name, parts in case["scores"].items():
            ours = event_scores(case["reference"], case["estimate"], case["labels"], name)
            assert_equal(ours, parts, f"{case['regime']}/{name}")
        assert_as_sed_eval(case["reference"], case["estimate"], case["labels"])


def test_segments_are_counted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    labels = ["x", "y", "z"]
    reference, estimate = (
        {
            f"{clip}": [
                event(str(rng.choice(labels)), float(start), float(start + rng.exponential(3000)))
                for start in rng.uniform(0, 20_000, rng.integers(0, 12))
            ]
            for clip in range(9)
        }
        for _ in range(2)
    )
    whole = event_scores(reference, estimate, labels, "segment_1s_er")
    monkeypatch.setattr("hearbench.metrics.sound_event._CELLS_PER_BLOCK", 50)
    assert event_scores(reference, estimate, labels, "segment_1s_er") == whole
    assert_equal(whole, sed_eval_scores(reference, estimate, labels, "segment_1s_er"), "")


def test_times_before_the_clip_are_cut_off() -> None:
    lists = {"a": [event("x", -2500, 500), event("x", -3000, -2000)]}
    error = event_scores(lists, {}, ["x"], "segment_1s_er")
    assert error["Nref"] == 1
    assert error["error_rate"] == pytest.approx(1.0)


def test_labels_that_are_numbers() -> None:
    lists: dict[str, list[dict[str, Any]]] = {"a": [{"label": 3, "start": 0, "end": 10}]}
    scores = event_scores(lists, {"a": [event("3", 0, 10)]}, ["3", "4"], F_MEASURES[0])
    assert scores["f_measure"] == 1.0


def test_scores_by_name() -> None:
    assert event_score_names() == sorted([*SCORES, *OF_FRAMES])
    assert [get_event_score(name).maximise for name in SCORES] == [True] * 6 + [False]
    assert [get_event_score(name).main for name in SCORES] == ["f_measure"] * 6 + ["error_rate"]
    assert {get_event_score(name).reads for name in SCORES} == {"events"}
    assert {get_event_score(name).reads for name in OF_FRAMES} == {"frames"}
    events = EventArrays.from_rows([(0, 0, 0.0, 100.0)])
    assert get_event_score("event_onset_50ms_fms")(events, events, ["x"]) == 1.0
    assert get_event_score("segment_1s_er")(events, events, ["x"]) == 0.0
    with pytest.raises(UnknownNameError, match="event_onset_50ms_fms"):
        event_scores({}, {}, ["x"], "event_onset_50ms")


def test_lists_of_events_have_no_score_of_probabilities() -> None:
    with pytest.raises(TaskError, match="psds1") as raised:
        event_scores({}, {}, ["x"], "psds1")
    assert raised.value.code == "unsuitable"


def test_means_over_labels_by_hand() -> None:
    reference = {"a": [event("x", 0, 100), event("x", 900, 950), event("y", 500, 600)]}
    estimate = {"a": [event("x", 10, 90), event("z", 0, 50)]}
    labels = ["x", "y", "z", "w"]
    found = event_scores(reference, estimate, labels, "event_onset_50ms_macro_fms")
    # x has the precision 1 and the recall 1/2; y isn't found; z and w aren't there to be found.
    assert found["f_measure"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["precision"] == pytest.approx((1 + 0 + 0 + 0) / 4)
    assert found["recall"] == pytest.approx((1 / 2 + 0) / 2)
    silent = event_scores(reference, {}, labels, "event_onset_50ms_macro_fms")
    assert silent["f_measure"] == 0.0
    assert math.isnan(event_scores({}, estimate, labels, MACRO[0])["f_measure"])


def test_labels_per_second_by_hand() -> None:
    reference = {"a": [event("x", 0, 2000), event("y", 500, 900)]}
    estimate = {"a": [event("x", 1200, 2500)]}
    found = event_scores(reference, estimate, ["x", "y"], "segment_1s_fms")
    assert (found["Nref"], found["Nsys"], found["Ntp"]) == (3, 2, 1)
    assert found["f_measure"] == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (event("z", 0, 1), "estimate, clip 'a': the label 'z' is not among the 2 labels"),
        ({"label": "x", "start": 0}, "estimate, clip 'a': .* is no event"),
        (event("x", float("nan"), 1), "estimate, clip 'a': an event goes from nan to 1.0 ms"),
        ({"label": "x", "start": None, "end": 1}, "from nan to 1.0 ms"),
        ({"label": "x", "start": "soon", "end": 1}, "is no event"),
    ],
)
def test_wrong_events_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        event_scores({"a": [event("x", 0, 1)]}, {"a": [wrong]}, ["x", "y"], F_MEASURES[0])
