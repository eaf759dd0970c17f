import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

import hearbench.stats.ranking
from hearbench.errors import UnknownNameError
from hearbench.metrics import (
    EventScore,
    SceneScore,
    event_score_names,
    get_event_score,
    get_scene_score,
)
from hearbench.metrics.event_lists import EventArrays
from hearbench.metrics.frame_arrays import FrameArrays
from hearbench.stats import clip_scores
from hearbench.stats.clip_scores import count_clips, event_clip_score, scene_clip_score

LABELS = ["a", "b", "c"]


def draw_scene(seed: int, n: int, n_labels: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = (rng.integers(0, levels, (n, n_labels)) / levels).astype(np.float32)
    targets = (rng.random((n, n_labels)) < rng.random(n_labels)).astype(np.uint8)
    return probabilities, targets


def draw_weights(seed: int, n_resamples: int, n: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)


def present(score: str, targets: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Labels that a resample says something of, and those that no clip has at all."""
    n = len(index)
    positives = targets[index].sum(axis=0)
    kept = positives > 0 if score == "mAP" else (positives > 0) & (positives < n)
    all_clips = targets.sum(axis=0)
    never = all_clips == 0 if score == "mAP" else (all_clips == 0) | (all_clips == len(targets))
    found: np.ndarray = np.flatnonzero(kept | never)
    return found


@pytest.mark.parametrize(
    "name", ["mAP", "aucroc", "d_prime", "top1_acc", "pitch_acc", "chroma_acc"]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    n_labels=st.integers(1, 14),
    levels=st.sampled_from([1, 2, 5, 1000, 10**6]),
)
@settings(max_examples=40, deadline=None)
def test_scene_scores_are_those_of_the_repeated_clips(
    name: str, seed: int, n: int, n_labels: int, levels: int
) -> None:
    probabilities, targets = draw_scene(seed, n, n_labels, levels)
    weights = draw_weights(seed, 4, n)
    found = scene_clip_score(name, probabilities, targets)(weights)
    score = get_scene_score(name)
    for value, row in zip(found, weights, strict=True):
        index = np.repeat(np.arange(n), row)
        columns = np.arange(n_labels)
        if name in ("mAP", "aucroc", "d_prime"):
            columns = present(name, targets, index)
        with np.errstate(invalid="ignore"):
            expected = (
                score(probabilities[index][:, columns], targets[index][:, columns])
                if len(columns)
                else math.nan
            )
        np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)


def test_ranking_scores_equal_scikit_learn_with_weights() -> None:
    probabilities, targets = draw_scene(3, 300, 6, 40)
    weights = draw_weights(3, 5, 300)
    ap = scene_clip_score("mAP", probabilities, targets)(weights)
    auc = scene_clip_score("aucroc", probabilities, targets)(weights)
    for i, row in enumerate(weights):
        assert ap[i] == pytest.approx(
            average_precision_score(targets, probabilities, sample_weight=row), abs=1e-12
        )
        assert auc[i] == pytest.approx(
            roc_auc_score(targets, probabilities, sample_weight=row), abs=1e-12
        )


def test_weights_of_one_give_the_score_itself() -> None:
    probabilities, targets = draw_scene(5, 80, 7, 20)
    for name in ("mAP", "aucroc", "d_prime", "top1_acc", "chroma_acc"):
        found = scene_clip_score(name, probabilities, targets)(np.ones((1, 80)))
        assert found[0] == pytest.approx(get_scene_score(name)(probabilities, targets), abs=1e-12)


def test_octaves_are_forgiven_in_chroma_only() -> None:
    probabilities = np.eye(25)[[0, 12, 24, 3]]
    targets = np.eye(25, dtype=int)[[12, 0, 0, 4]]
    once = np.ones((1, 4))
    assert scene_clip_score("chroma_acc", probabilities, targets)(once)[0] == 0.75
    assert scene_clip_score("pitch_acc", probabilities, targets)(once)[0] == 0.0


def test_a_label_without_clips_counts_as_in_the_score() -> None:
    probabilities, targets = draw_scene(6, 40, 3, 100)
    targets[:, 1] = 0
    ones = np.ones((1, 40))
    for name in ("mAP", "aucroc", "d_prime"):
        found = scene_clip_score(name, probabilities, targets)(ones)[0]
        expected = get_scene_score(name)(probabilities, targets)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert math.isnan(found) == (name != "mAP")


def test_a_label_that_a_resample_lacks_is_left_out() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.3]])
    targets = np.array([[1, 0], [0, 1], [0, 0]])
    # Without the second clip, only the first label is left, which is ranked perfectly.
    found = scene_clip_score("mAP", probabilities, targets)(np.array([[1, 0, 2], [0, 0, 3]]))
    assert found[0] == 1.0
    assert math.isnan(found[1])


def test_perfect_and_perfectly_wrong_labels_have_no_mean_d_prime() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    targets = np.array([[1, 1], [0, 0]])
    assert math.isnan(scene_clip_score("d_prime", probabilities, targets)(np.ones((1, 2)))[0])
    first = scene_clip_score("d_prime", probabilities[:, :1], targets[:, :1])
    assert first(np.ones((1, 2)))[0] == math.inf


def test_blocks_threads_and_memory_order_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, targets = draw_scene(7, 150, 5, 30)
    weights = draw_weights(7, 200, 150)
    score = scene_clip_score("mAP", probabilities, targets)
    whole = score(weights)
    np.testing.assert_array_equal(whole, score(np.asfortranarray(weights, dtype=np.float32)))
    monkeypatch.setattr(hearbench.stats.ranking, "_BYTES_PER_BLOCK", 1)
    monkeypatch.setattr(hearbench.stats.ranking, "_FEWEST_RESAMPLES", 7)
    monkeypatch.setattr(hearbench.stats.ranking, "_CELLS_PER_THREAD", 1)
    monkeypatch.setattr(hearbench.stats.ranking, "_n_cores", lambda: 3)
    np.testing.assert_array_equal(whole, score(weights))


def test_more_weight_than_16_bits_hold() -> None:
    probabilities, targets = draw_scene(5, 30, 3, 30)
    weights = np.full((2, 30), 1)
    weights[1] = 1_000_000
    for name in ("mAP", "aucroc"):
        found = scene_clip_score(name, probabilities, targets)(weights)
        assert 0 < found[0] < 1
        assert found[1] == pytest.approx(found[0], abs=1e-12)


def brier(probabilities: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean((probabilities - targets) ** 2)) + float(len(probabilities))


def test_scores_of_other_packages_see_repeated_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"brier": SceneScore("brier", brier, False, "")}
    monkeypatch.setattr(clip_scores, "get_scene_score", scores.__getitem__)
    probabilities, targets = draw_scene(9, 12, 3, 30)
    weights = draw_weights(9, 3, 12)
    score = scene_clip_score("brier", probabilities, targets)
    assert (score.n_clips, score.bounds) == (12, (-math.inf, math.inf))
    for value, row in zip(score(weights), weights, strict=True):
        index = np.repeat(np.arange(12), row)
        assert value == brier(probabilities[index], targets[index])


def test_bounds_are_those_of_the_scores() -> None:
    probabilities, targets = draw_scene(10, 20, 3, 30)
    bounds = {n: scene_clip_score(n, probabilities, targets).bounds for n in ("mAP", "d_prime")}
    assert bounds == {"mAP": (0.0, 1.0), "d_prime": (-math.inf, math.inf)}
    assert scene_clip_score("top1_acc", probabilities, targets).bounds == (0.0, 1.0)
    reference, estimate = draw_events(0, 4)
    f = event_clip_score("event_onset_200ms_fms", reference, estimate, 4, LABELS)
    rate = event_clip_score("segment_1s_er", reference, estimate, 4, LABELS)
    assert (f.bounds, rate.bounds) == ((0.0, 1.0), (0.0, math.inf))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="mAP"):
        scene_clip_score("map", np.zeros((2, 2)), np.zeros((2, 2), dtype=int))
    with pytest.raises(ValueError, match="differ"):
        scene_clip_score("mAP", np.zeros((2, 2)), np.zeros((3, 2), dtype=int))
    reference, estimate = draw_events(0, 2)
    with pytest.raises(ValueError, match="outside 0 to 0"):
        event_clip_score("segment_1s_er", reference, estimate, 1, LABELS)


def draw_events(seed: int, n_clips: int) -> tuple[EventArrays, EventArrays]:
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(2):
        n = int(rng.integers(n_clips, 6 * n_clips))
        onset = rng.choice([0.0, 100.0, 400.0, 1000.0, 1950.0, 2500.0], n)
        offset = onset + rng.choice([-50.0, 0.0, 300.0, 600.0, 2500.0], n)
        clip = rng.integers(0, n_clips, n)
        clip[0] = n_clips - 1
        lists.append(EventArrays(clip, rng.integers(0, 3, n), onset, offset))
    return lists[0], lists[1]


def repeated(events: EventArrays, row: np.ndarray) -> EventArrays:
    """The slow way: every copy of a clip is a clip of its own."""
    rows: list[tuple[int, int, float, float]] = []
    copy = 0
    for clip, times in enumerate(row):
        for _ in range(times):
            rows += [
                (copy, int(events.label[i]), float(events.onset_ms[i]), float(events.offset_ms[i]))
                for i in range(len(events))
                if events.clip[i] == clip
            ]
            copy += 1
    return EventArrays.from_rows(rows)


OF_EVENTS = [name for name in event_score_names() if get_event_score(name).reads == "events"]
OF_FRAMES = [name for name in event_score_names() if get_event_score(name).reads == "frames"]


@pytest.mark.parametrize("name", OF_EVENTS)
@given(seed=st.integers(0, 2**32 - 1), n_clips=st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_event_scores_are_those_of_the_repeated_clips(name: str, seed: int, n_clips: int) -> None:
    reference, estimate = draw_events(seed, n_clips)
    weights = draw_weights(seed, 3, n_clips)
    found = event_clip_score(name, reference, estimate, n_clips, LABELS)(weights)
    score = get_event_score(name)
    for value, row in zip(found, weights, strict=True):
        expected = score(repeated(reference, row), repeated(estimate, row), LABELS)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def draw_frames(seed: int, n_clips: int) -> FrameArrays:
    """Frames of half a second, each clip with another number of them."""
    rng = np.random.default_rng([seed, 2])
    lengths = rng.integers(0, 12, n_clips)
    return FrameArrays(
        (rng.integers(0, 30, (int(lengths.sum()), 3)) / 30).astype(np.float32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([np.arange(n) * 500.0 + 250 for n in lengths]),
    )


def frame_by_frame(frames: FrameArrays, row: np.ndarray) -> FrameArrays:
    """The slow way: every copy of a clip is a clip of its own."""
    values, times, bounds = [], [], [0]
    for clip, count in enumerate(row):
        for _ in range(count):
            own = slice(frames.bounds[clip], frames.bounds[clip + 1])
            values += frames.probabilities[own].tolist()
            times += frames.timestamps_ms[own].tolist()
            bounds.append(len(times))
    return FrameArrays(
        np.array(values, dtype=np.float32).reshape(-1, 3), np.array(bounds), np.array(times)
    )


@pytest.mark.parametrize("name", OF_FRAMES)
@given(seed=st.integers(0, 2**32 - 1), n_clips=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_scores_of_frames_are_those_of_the_repeated_clips(
    name: str, seed: int, n_clips: int
) -> None:
    (reference, _), frames = draw_events(seed, n_clips), draw_frames(seed, n_clips)
    weights = draw_weights(seed, 3, n_clips)
    clip_score = event_clip_score(name, reference, frames, n_clips, LABELS)
    assert (clip_score.n_clips, clip_score.bounds) == (n_clips, (0.0, 1.0))
    score = get_event_score(name)
    for value, row in zip(clip_score(weights), weights, strict=True):
        expected = score(repeated(reference, row), frame_by_frame(frames, row), LABELS)
        np.testing.assert_allclose(value, expected, atol=1e-12)


def test_event_counts_of_clips_sum_to_those_of_the_score() -> None:
    reference, estimate = draw_events(11, 30)
    parts = get_event_score("segment_1s_er").parts(reference, estimate, LABELS)
    counted = count_clips(get_event_score("segment_1s_er"), reference, estimate, 30, 3)
    assert counted is not None
    keys = ("Nref", "substitutions", "deletions", "insertions")
    assert counted.counts.sum(axis=0).tolist() == [parts[key] for key in keys]


def test_clips_without_events_and_no_events_at_all() -> None:
    nothing = EventArrays.from_rows(())
    some = EventArrays.from_rows([(0, 0, 0.0, 500.0)])
    once = np.array([[1, 1, 1], [0, 2, 1]])
    f = event_clip_score("event_onset_200ms_fms", some, some, 3, LABELS)(once)
    assert f[0] == 1.0
    assert math.isnan(f[1])
    rate = event_clip_score("segment_1s_er", nothing, nothing, 3, LABELS)(once)
    assert rate.tolist() == [0.0, 0.0]


def clips_with_events(
    reference: EventArrays, estimate: EventArrays, labels: Sequence[str]
) -> dict[str, Any]:
    with_events = len(np.unique(reference.clip)) + len(np.unique(estimate.clip)) / 100
    return {"with_events": with_events * len(labels)}


def test_other_event_scores_see_repeated_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    score = EventScore("other", clips_with_events, True, "with_events", ("with_events",), "")
    monkeypatch.setattr(clip_scores, "get_event_score", {"other": score}.__getitem__)
    reference, estimate = draw_events(12, 6)
    weights = draw_weights(12, 4, 6)
    found = event_clip_score("other", reference, estimate, 6, LABELS)(weights)
    for value, row in zip(found, weights, strict=True):
        expected = score(repeated(reference, row), repeated(estimate, row), LABELS)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def loudest(reference: EventArrays, frames: FrameArrays, labels: Sequence[str]) -> dict[str, Any]:
    value = float(frames.probabilities.sum()) + frames.n_clips * len(labels) + len(reference)
    return {"loudest": value}


def test_other_scores_of_frames_see_repeated_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    score = EventScore("other", loudest, True, "loudest", ("loudest",), "", reads="frames")
    monkeypatch.setattr(clip_scores, "get_event_score", {"other": score}.__getitem__)
    (reference, _), frames = draw_events(14, 6), draw_frames(14, 6)
    weights = draw_weights(14, 4, 6)
    found = event_clip_score("other", reference, frames, 6, LABELS)(weights)
    for value, row in zip(found, weights, strict=True):
        expected = score(repeated(reference, row), frame_by_frame(frames, row), LABELS)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_frames_of_other_clips_are_refused() -> None:
    reference, _ = draw_events(1, 4)
    with pytest.raises(ValueError, match="3 clips"):
        event_clip_score("psds1", reference, draw_frames(1, 3), 4, LABELS)


def test_the_precision_of_events_is_not_taken_for_their_f_measure() -> None:
    whole = get_event_score("event_onset_200ms_fms")
    precision = EventScore("p", whole.function, True, "precision", ("precision",), "")
    reference, estimate = draw_events(13, 5)
    assert count_clips(precision, reference, estimate, 5, 3) is None
    for name in ("event_onset_200ms_macro_fms", "segment_1s_fms"):
        other = EventScore(
            "p", get_event_score(name).function, True, "precision", ("precision",), ""
        )
        assert count_clips(other, reference, estimate, 5, 3) is None
