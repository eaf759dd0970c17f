"""The polyphonic sound detection score against recorded answers of sed_scores_eval 0.0.4, which
``benchmarks/psds.py --record`` has made, and against its definition, threshold by threshold."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearbench.metrics import get_event_score
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays, concatenate_frames
from hearbench.metrics.psds import (
    PSDS_SCENARIO_1,
    PSDS_SCENARIO_2,
    PsdsParameters,
    psds,
    psds_counts,
)

RECORDED = Path(__file__).parents[1] / "fixtures/psds/sed_scores_eval.json"
LABELS = ["a", "b", "c"]
STRICT, CROSSED = PSDS_SCENARIO_1, PSDS_SCENARIO_2
LOOSE = PsdsParameters(
    dtc=0.5, gtc=0.4, cttc=0.2, alpha_ct=2.0, alpha_st=0.5, max_rate_per_hour=2000.0
)

Spans = Sequence[tuple[float, float]]


def frames_of(
    clips: Sequence[Sequence[Sequence[float]]], hop_ms: float = 1000.0, dtype: type = np.float64
) -> FrameArrays:
    """Frames of clips, each a list over labels of lists over frames."""
    rows = [np.array(clip, dtype=dtype).T for clip in clips]
    times = [(np.arange(len(row)) + 0.5) * hop_ms for row in rows]
    bounds = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return FrameArrays(np.concatenate(rows), bounds, np.concatenate(times))


def scored(
    events: Sequence[tuple[int, int, float, float]],
    frames: FrameArrays,
    parameters: PsdsParameters = STRICT,
) -> dict[str, Any]:
    n_labels = frames.probabilities.shape[1]
    reference = EventArrays.from_rows(events)
    return psds(reference, frames, LABELS[:n_labels], parameters=parameters)


def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def covered(span: tuple[float, float], others: Spans) -> float:
    return round(sum(overlap(span, other) for other in others), 6)


def reaches(seconds: float, share: float, span: tuple[float, float]) -> bool:
    return seconds >= round(share * (span[1] - span[0]), 6)


def runs(
    column: npt.NDArray[np.floating[Any]], edges_s: npt.NDArray[np.float64], least: float
) -> Spans:
    found, start = [], None
    for i, value in enumerate([*column.tolist(), -1.0]):
        if value >= least and start is None:
            start = i
        elif value < least and start is not None:
            found.append((float(edges_s[start]), float(edges_s[i])))
            start = None
    return found


def by_definition(
    reference: EventArrays, frames: FrameArrays, parameters: PsdsParameters
) -> tuple[float, dict[int, float]]:
    """Every threshold, every clip, every pair of a detection and an event; and the curves' area.

    Events of a label don't overlap here, and each has a length.
    """
    edges_s = frames.edges_ms / 1000
    events: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for i in range(len(reference)):
        key = int(reference.clip[i]), int(reference.label[i])
        span = float(reference.onset_s[i]), float(reference.offset_s[i])
        events.setdefault(key, []).append(span)
    there = sorted({label for _, label in events})
    seconds = 0.0
    for clip in range(frames.n_clips):
        own = edges_s[frames.bounds[clip] + clip : frames.bounds[clip + 1] + clip + 1]
        seconds += own[-1] - own[0]
    event_s = {
        label: sum(b - a for (_, own), spans in events.items() if own == label for a, b in spans)
        for label in there
    }
    curves = {}
    for label in there:
        points = []
        for least in np.unique(frames.probabilities[:, label]):
            n_false, n_found, crossed = 0, 0, dict.fromkeys(there, 0)
            for clip in range(frames.n_clips):
                start, stop = frames.bounds[clip], frames.bounds[clip + 1]
                spans = runs(
                    frames.probabilities[start:stop, label],
                    edges_s[start + clip : stop + clip + 1],
                    least,
                )
                wanted = events.get((clip, label), [])
                relevant = [s for s in spans if reaches(covered(s, wanted), parameters.dtc, s)]
                wrong = [s for s in spans if s not in relevant]
                n_false += len(wrong)
                n_found += sum(reaches(covered(e, relevant), parameters.gtc, e) for e in wanted)
                for other in there:
                    theirs = events.get((clip, other), [])
                    if other != label and theirs:
                        crossed[other] += sum(
                            reaches(covered(s, theirs), parameters.cttc, s) for s in wrong
                        )
            rate = 3600 * n_false / seconds
            others = [3600 * crossed[other] / event_s[other] for other in there if other != label]
            if parameters.alpha_ct and others:
                rate += parameters.alpha_ct * sum(others) / len(others)
            n_events = sum(
                len(spans) for (_, own_label), spans in events.items() if own_label == label
            )
            points.append((rate, n_found / n_events))
        curves[label] = points
    limit = parameters.max_rate_per_hour
    rates = sorted({0.0, limit, *(r for points in curves.values() for r, _ in points if r < limit)})
    area, areas = 0.0, dict.fromkeys(there, 0.0)
    for low, high in itertools.pairwise(rates):
        heights = {
            label: max((share for rate, share in points if rate <= low + 1e-9), default=0.0)
            for label, points in curves.items()
        }
        mean = sum(heights.values()) / len(heights)
        deviation = math.sqrt(sum((h - mean) ** 2 for h in heights.values()) / len(heights))
        area += max(0.0, mean - parameters.alpha_st * deviation) * (high - low)
        for label, height in heights.items():
            areas[label] += height * (high - low)
    return area / limit, {label: value / limit for label, value in areas.items()}


def random_case(
    seed: int, n_clips: int, n_labels: int, levels: int
) -> tuple[EventArrays, FrameArrays]:
    rng = np.random.default_rng(seed)
    hop_ms = float(rng.choice([500.0, 1280.0, 60_000.0]))
    rows, clips = [], []
    silent = rng.random(n_labels) < 0.2
    for clip in range(n_clips):
        n_frames = int(rng.integers(1, 12))
        probabilities = rng.integers(0, levels + 1, (n_labels, n_frames)) / (2 * levels)
        for label in np.flatnonzero(~silent).tolist():
            at = int(rng.integers(0, 12))
            while at < 4 * n_frames:
                end = at + int(rng.integers(1, 16))
                rows.append((clip, label, at * hop_ms / 4, end * hop_ms / 4))
                probabilities[label, at // 4 : end // 4 + 1] += rng.integers(0, levels + 1) / (
                    2 * levels
                )
                at = end + int(rng.integers(1, 30))
        clips.append(probabilities.tolist())
    dtype = np.float32 if rng.random() < 0.5 else np.float64
    return EventArrays.from_rows(rows), frames_of(clips, hop_ms, dtype)


@given(
    seed=st.integers(0, 2**32 - 1),
    n_clips=st.integers(1, 4),
    n_labels=st.integers(1, 3),
    levels=st.sampled_from([1, 3, 1000]),
    parameters=st.sampled_from([STRICT, CROSSED, LOOSE]),
)
@settings(max_examples=60, deadline=None)
def test_it_is_what_the_definition_says(
    seed: int, n_clips: int, n_labels: int, levels: int, parameters: PsdsParameters
) -> None:
    reference, frames = random_case(seed, n_clips, n_labels, levels)
    found = psds(reference, frames, LABELS[:n_labels], parameters=parameters)
    if not len(reference):
        assert math.isnan(found["psds"])
        return
    score, of_labels = by_definition(reference, frames, parameters)
    assert found["psds"] == pytest.approx(score, abs=1e-9)
    for i, label in enumerate(LABELS[:n_labels]):
        value = found["per_label"][label]["psds"]
        assert value == pytest.approx(of_labels.get(i, math.nan), abs=1e-9, nan_ok=True)


RECORDED_CASES: list[dict[str, Any]] = json.loads(RECORDED.read_text())


def recorded_arrays(case: Mapping[str, Any]) -> tuple[EventArrays, FrameArrays]:
    clips = case["clips"]
    names = [str(i) for i in range(len(clips))]
    events = {name: clip["events"] for name, clip in zip(names, clips, strict=True)}
    times = [np.array(clip["timestamps_ms"]) for clip in clips]
    frames = FrameArrays(
        np.concatenate([np.array(clip["levels"]) / case["highest_level"] for clip in clips]),
        np.cumsum([0, *map(len, times)], dtype=np.int64),
        np.concatenate(times),
    )
    return EventArrays.from_mapping(events, names, case["labels"]), frames


@pytest.mark.parametrize("name", ["psds1", "psds2"])
def test_equal_sed_scores_eval(name: str) -> None:
    assert len(RECORDED_CASES) == 40
    seen = set()
    for case in RECORDED_CASES:
        reference, frames = recorded_arrays(case)
        np.testing.assert_allclose(
            frames.edges_ms, np.concatenate([clip["edges_ms"] for clip in case["clips"]])
        )
        found = get_event_score(name).parts(reference, frames, case["labels"])
        theirs = case["scores"][name]
        assert found["psds"] == pytest.approx(theirs["psds"], abs=1e-9)
        for label, value in theirs["per_label"].items():
            assert found["per_label"][label]["psds"] == pytest.approx(value, abs=1e-9)
            seen.add(round(value, 3))
    assert len(seen) > 20  # of all kinds


def test_by_hand() -> None:
    # 36 s, so a false positive is 100 per hour, which the curve still holds, but with no width.
    quiet = [0.1] * 30
    frames = frames_of([[[0.1, 0.9, 0.9, 0.1, 0.1, 0.5, *quiet], [0.2] * 36]])
    events = [(0, 0, 1000.0, 3000.0), (0, 1, 0.0, 36_000.0)]
    found = scored(events, frames)
    assert (
        found["psds"] == found["per_label"]["a"]["psds"] == found["per_label"]["b"]["psds"] == 1.0
    )
    # Now only half of b's event, of which nothing else is heard, is within its detection.
    found = scored([events[0], (0, 1, 0.0, 18_000.0)], frames)
    assert [parts["psds"] for parts in found["per_label"].values()] == [1.0, 0.0]
    assert found["psds"] == 0.0  # a mean of 1/2 less a deviation of 1/2
    mean = scored([events[0], (0, 1, 0.0, 18_000.0)], frames, replace(STRICT, alpha_st=0.0))
    assert mean["psds"] == 0.5
    # A louder error comes before the event: 100 false positives per hour of up to 400.
    loud = frames_of([[[0.1, 0.8, 0.8, 0.1, 0.1, 0.9, *quiet]]])
    found = scored(events[:1], loud, replace(STRICT, max_rate_per_hour=400.0))
    assert found["psds"] == pytest.approx(0.75)
    assert (found["Nref"], found["per_label"]["a"]["Nref"]) == (1, 1)


def test_cross_triggers_by_hand() -> None:
    # 3600 s. b is taken for a once, while b is on: a false positive per hour, and a cross trigger
    # per 600 s of b, which is 6 per hour. Then a is found, beside its own event.
    frames = frames_of(
        [[[0.0, 0.0, 0.9, 0.0, 0.5, 0.0], [0.0, 0.0, 0.9, 0.0, 0.0, 0.0]]], 600_000.0
    )
    events = [(0, 0, 2_400_000.0, 3_000_000.0), (0, 1, 1_200_000.0, 1_800_000.0)]
    mean = replace(CROSSED, dtc=0.7, alpha_st=0.0)
    found = scored(events, frames, mean)
    per_label = {label: parts["psds"] for label, parts in found["per_label"].items()}
    assert per_label == pytest.approx({"a": 1 - (1 + 0.5 * 6) / 100, "b": 1.0})
    assert found["psds"] == pytest.approx((0.96 + 1) / 2)
    alone = scored(events, frames, replace(mean, alpha_ct=0.0))
    assert alone["per_label"]["a"]["psds"] == pytest.approx(0.99)


def test_only_the_order_of_a_label_matters() -> None:
    reference, frames = random_case(3, 4, 3, 20)
    curved = FrameArrays(
        1 / (1 + np.exp(-5 * frames.probabilities.astype(np.float64) ** 3 + [0, 2, 4])),
        frames.bounds,
        frames.timestamps_ms,
    )
    for parameters in (STRICT, CROSSED, LOOSE):
        one, other = (
            psds(reference, each, LABELS, parameters=parameters) for each in (frames, curved)
        )
        assert one == other


def test_order_of_clips_events_and_labels_and_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference, frames = random_case(11, 9, 3, 30)
    whole = psds(reference, frames, LABELS, parameters=LOOSE)
    assert 0 < whole["psds"] < 1
    rng = np.random.default_rng(0)
    order = rng.permutation(9)
    mixed = reference.take(rng.permutation(len(reference)))
    place = np.argsort(order)
    moved = EventArrays(place[mixed.clip], 2 - mixed.label, mixed.onset_ms, mixed.offset_ms)
    taken = frames.take(order)
    flipped = FrameArrays(taken.probabilities[:, ::-1], taken.bounds, taken.timestamps_ms)
    for cells in (1, 40, 1 << 18):
        monkeypatch.setattr("hearbench.metrics.psds._CELLS_PER_BLOCK", cells)
        monkeypatch.setattr("hearbench.metrics.psds._STEPS_PER_BLOCK", cells)
        found = psds(moved, flipped, LABELS[::-1], parameters=LOOSE)
        assert found["psds"] == pytest.approx(whole["psds"], abs=1e-12)
        for label in LABELS:
            assert found["per_label"][label]["psds"] == pytest.approx(
                whole["per_label"][label]["psds"], abs=1e-12, nan_ok=True
            )


def test_perfect_and_empty_probabilities() -> None:
    events = [(0, 0, 2000.0, 5000.0), (1, 1, 0.0, 1000.0), (1, 0, 3000.0, 4000.0)]
    perfect = np.zeros((2, 2, 6))
    for clip, label, start, end in events:
        perfect[clip, label, int(start / 1000) : int(end / 1000)] = 1.0
    for parameters in (STRICT, CROSSED, LOOSE):
        assert scored(events, frames_of(perfect.tolist()), parameters)["psds"] == 1.0
        # At the only threshold each clip is one long detection.
        assert scored(events, frames_of(np.zeros((2, 2, 6)).tolist()), STRICT)["psds"] == 0.0


def test_labels_without_an_event_are_left_out_with_their_detections() -> None:
    reference, frames = random_case(21, 5, 2, 20)
    rng = np.random.default_rng(1)
    noise = rng.random((len(frames.probabilities), 1)).astype(frames.probabilities.dtype)
    more = replace(frames, probabilities=np.hstack([frames.probabilities, noise]))
    assert len(np.unique(reference.label)) == 2
    for parameters in (STRICT, CROSSED, LOOSE):
        found = psds(reference, more, LABELS, parameters=parameters)
        alone = psds(reference, frames, LABELS[:2], parameters=parameters)
        assert found["psds"] == alone["psds"]
        silent = found["per_label"].pop("c")
        assert silent["Nref"] == 0
        assert math.isnan(silent["psds"])
        assert found["per_label"] == alone["per_label"]


def test_undefined_without_events_and_with_undefined_probabilities() -> None:
    frames = frames_of([[[0.5, 0.2]], [[0.1]]])
    nothing = scored([], frames)
    assert math.isnan(nothing["psds"])
    assert math.isnan(nothing["per_label"]["a"]["psds"])
    blank = replace(frames, probabilities=np.full((3, 1), np.nan, dtype=np.float32))
    assert math.isnan(scored([(0, 0, 0.0, 1000.0)], blank)["psds"])
    one = replace(frames, probabilities=np.array([[0.5], [0.2], [np.nan]]))
    assert math.isnan(scored([(0, 0, 0.0, 1000.0)], one)["per_label"]["a"]["psds"])


def test_events_that_touch_or_overlap_are_one_and_empty_ones_are_none() -> None:
    _, frames = random_case(5, 3, 1, 10)
    hop_ms = float(frames.edges_ms[1])
    apart = [(0, 0, 0.0, 2 * hop_ms), (1, 0, hop_ms, 3 * hop_ms)]
    parts = [
        *[(0, 0, 0.0, hop_ms), (0, 0, hop_ms, 1.5 * hop_ms), (0, 0, 0.5 * hop_ms, 2 * hop_ms)],
        *[(0, 0, 0.0, 0.1), (1, 0, hop_ms, 3 * hop_ms), (1, 0, 1.1 * hop_ms, 1.2 * hop_ms)],
        *[(2, 0, hop_ms, hop_ms), (2, 0, hop_ms, 0.0)],
    ]
    for parameters in (STRICT, LOOSE):
        assert scored(parts, frames, parameters) == scored(apart, frames, parameters)
    assert scored(parts, frames)["Nref"] == 2


def test_clips_without_frames_and_events_beyond_them() -> None:
    frames = FrameArrays(
        np.array([[0.9], [0.1], [0.7]]),
        np.array([0, 0, 2, 2, 3, 3]),
        np.array([500.0, 1500.0, 500.0]),
    )
    events = [(1, 0, 0.0, 1000.0), (3, 0, 0.0, 1000.0)]
    assert scored(events, frames)["psds"] == 1.0
    # Of a clip without frames, and after a clip's last frame.
    more = [*events, (2, 0, 0.0, 1000.0), (1, 0, 5000.0, 6000.0), (4, 0, 0.0, 1000.0)]
    found = scored(more, frames, replace(STRICT, max_rate_per_hour=1.0))
    assert found["psds"] == pytest.approx(2 / 5)
    assert (
        scored([(0, 0, 0.0, 9.0)], FrameArrays(np.zeros((0, 1)), np.zeros(2, int), np.zeros(0)))[
            "psds"
        ]
        == 0.0
    )


def test_frames_span_half_a_hop_around_their_timestamp() -> None:
    frames = FrameArrays(
        np.zeros((8, 1)),
        np.array([0, 3, 3, 4, 6, 8]),
        np.array([25.0, 75.0, 125.0, 40.0, 0.0, 50.0, 100.0, 120.0]),
    )
    expected = [
        *[0.0, 50.0, 100.0, 150.0],
        0.0,
        *[0.0, 80.0],  # a clip's only frame
        *[0.0, 25.0, 75.0],  # nothing is before the clip
        *[90.0, 110.0, 130.0],
    ]
    assert frames.edges_ms.tolist() == expected
    twice = concatenate_frames([frames, frames.take(np.array([4, 4, 1]))])
    assert twice.edges_ms.tolist() == [*expected, *expected[-3:], *expected[-3:], 0.0]
    assert twice.bounds.tolist() == [0, 3, 3, 4, 6, 8, 10, 12, 12]


def test_a_frame_without_length_makes_no_detection() -> None:
    # A clip's only frame at 0 spans nothing, whatever its probability.
    still = FrameArrays(
        np.array([[0.9], [0.5], [0.1]]), np.array([0, 1, 3]), np.array([0.0, 1e3, 3e3])
    )
    without = FrameArrays(still.probabilities[1:], np.array([0, 0, 2]), still.timestamps_ms[1:])
    events = [(1, 0, 0.0, 2000.0)]
    assert scored(events, still) == scored(events, without)
    assert scored(events, still)["psds"] == 1.0


def test_clips_can_have_weights() -> None:
    reference, frames = random_case(8, 4, 3, 9)
    counts = psds_counts(reference, frames, LOOSE)
    weights = np.array([2, 0, 1, 3])
    index = np.repeat(np.arange(4), weights)
    again = [
        (copy, int(reference.label[i]), float(reference.onset_ms[i]), float(reference.offset_ms[i]))
        for copy, clip in enumerate(index)
        for i in np.flatnonzero(reference.clip == clip)
    ]
    repeated = psds(EventArrays.from_rows(again), frames.take(index), LABELS, parameters=LOOSE)
    score, of_labels = counts.scores(weights)
    assert score == pytest.approx(repeated["psds"], abs=1e-12)
    assert of_labels == pytest.approx(
        [parts["psds"] for parts in repeated["per_label"].values()], abs=1e-12, nan_ok=True
    )
