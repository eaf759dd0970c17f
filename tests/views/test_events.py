from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_views import ESTIMATE, LABELS, REFERENCE, Lists, event, write_event_result
from sed_eval_scores import sed_eval_scores

from hearbench.errors import ResultError, UnknownNameError
from hearbench.metrics.event_matching import MatchRule
from hearbench.views.events import ClipComparison, EventPredictions, compare_clip, matching_rule

SCORES = [
    "event_onset_200ms_fms",
    "event_onset_50ms_fms",
    "event_onset_offset_50ms_20perc_fms",
    "segment_1s_er",
]


def test_a_clip_has_its_own_frames_and_events(tmp_path: Path) -> None:
    write_event_result(tmp_path)
    for path in (tmp_path, tmp_path / "result.json"):
        predictions = EventPredictions.read(path)
        assert predictions.labels == tuple(LABELS)
        said = predictions.result
        assert (said.model.name, said.task.name) == ("my_model", "calls-1.0.0-full")
    clip = predictions.clip("b.wav")
    assert (len(clip.reference), len(clip.estimate)) == (0, 1)
    assert clip.estimate.to_mapping(["b.wav"], LABELS) == {
        "b.wav": [{"label": "cat", "start": 500.0, "end": 900.0}]
    }
    assert clip.timestamps_ms.tolist() == [50.0 * i for i in range(120)]
    assert clip.probabilities.shape == (120, 4)
    # 500 to 900 ms with both ends: frames 10 to 18 of this clip alone.
    assert np.flatnonzero(clip.probabilities[:, 1] > 0.5).tolist() == list(range(10, 19))
    assert clip.length_ms == 5950.0


def test_one_name_in_two_splits(tmp_path: Path) -> None:
    write_event_result(tmp_path, {"x.wav": [], "y.wav": []}, {}, split="fold00")
    write_event_result(tmp_path, {"x.wav": []}, {}, split="fold01")
    predictions = EventPredictions.read(tmp_path)
    assert list(predictions.places) == ["fold00/x.wav", "y.wav", "fold01/x.wav"]
    assert predictions.clip("fold01/x.wav").split == "fold01"
    with pytest.raises(UnknownNameError, match=r"Did you mean 'fold01/x\.wav' or 'fold00/x\.wav'"):
        predictions.clip("x.wav")


def test_unknown_clips(tmp_path: Path) -> None:
    write_event_result(tmp_path)
    with pytest.raises(UnknownNameError, match=r"no clip named 'a\.wave'.*Did you mean 'a\.wav'"):
        EventPredictions.read(tmp_path).clip("a.wave")
    write_event_result(tmp_path, {f"{i:03d}.wav": [] for i in range(50)}, {})
    with pytest.raises(UnknownNameError, match=r"Among its 50 clips are 000\.wav, .*009\.wav\.$"):
        EventPredictions.read(tmp_path).clip("qqqqqqqq")


def test_results_of_scene_tasks(tmp_path: Path) -> None:
    write_event_result(tmp_path)
    file = tmp_path / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "kind": "scene"}))
    with pytest.raises(ResultError, match=r"scene task, calls-1\.0\.0-full") as refused:
        EventPredictions.read(tmp_path)
    assert refused.value.code == "unsuitable"


@pytest.mark.parametrize(
    "name",
    [
        "result.json",
        "predictions/clips.json",
        "predictions/labels.json",
        "predictions/test.npy",
        "predictions/test.bounds.npy",
        "predictions/test.timestamps.npy",
        "predictions/test.events.json",
        "predictions/test.reference.json",
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"[1"])
def test_missing_and_broken_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    file = write_event_result(tmp_path) / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(ResultError, match=name):
        EventPredictions.read(tmp_path).clip("a.wav")


def test_json_of_another_form(tmp_path: Path) -> None:
    write_event_result(tmp_path)
    (tmp_path / "predictions/test.events.json").write_text('{"a.wav": [{"label": "dog"}]}')
    with pytest.raises(ResultError, match=r"test\.events\.json.*'a\.wav'.*no event"):
        EventPredictions.read(tmp_path).clip("a.wav")


def test_frames_that_do_not_fit_together(tmp_path: Path) -> None:
    write_event_result(tmp_path)
    np.save(tmp_path / "predictions/test.npy", np.zeros((7, 4), dtype=np.float32))
    with pytest.raises(ResultError, match=r"test\.npy has the shape \(7, 4\)"):
        EventPredictions.read(tmp_path).clip("a.wav")


def compared(folder: Path, clip: str, **options: Any) -> ClipComparison:
    predictions = EventPredictions.read(write_event_result(folder, **options))
    return compare_clip(
        predictions.clip(clip), predictions.labels, predictions.result.primary_score
    )


def test_statuses_by_hand(tmp_path: Path) -> None:
    found = compared(tmp_path, "a.wav")
    assert [(e.status, LABELS[e.label], e.reference_ms, e.estimate_ms) for e in found.events] == [
        ("matched", "dog", (1000.0, 1500.0), (1100.0, 1550.0)),
        ("missed", "dog", (2000.0, 2600.0), None),
        ("matched", "cat", (3000.0, 3700.0), (2850.0, 3650.0)),
        ("spurious", "dog", None, (4000.0, 4500.0)),
        ("spurious", "cat", None, (4100.0, 4100.0)),
        ("missed", "bird", (5000.0, 5500.0), None),
    ]
    assert [(e.difference_ms(0), e.difference_ms(1)) for e in found.events[:3]] == [
        (100.0, 50.0),
        (None, None),
        (-150.0, -50.0),
    ]
    assert (found.events[2].start_ms, found.events[2].end_ms) == (2850.0, 3700.0)
    assert found.value == found.parts["f_measure"] == 0.5
    assert found.rule_in_words() == "onsets within 200 ms"


def test_a_clip_without_a_reference(tmp_path: Path) -> None:
    found = compared(tmp_path, "b.wav")
    assert [e.status for e in found.events] == ["spurious"]
    assert found.parts["precision"] == 0.0
    assert math.isnan(found.parts["recall"])
    assert math.isnan(found.value)


def test_rules_are_those_of_the_scores() -> None:
    assert [matching_rule(name) for name in SCORES] == [
        MatchRule(0.2),
        MatchRule(0.05),
        MatchRule(0.05, 0.05, 0.2),
        MatchRule(0.2),
    ]


def test_the_rule_with_offsets_in_words(tmp_path: Path) -> None:
    found = compared(tmp_path, "a.wav", primary_score="event_onset_offset_50ms_20perc_fms")
    assert found.rule_in_words() == (
        "onsets within 50 ms, offsets within 50 ms or 20% of the length"
    )


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("seed", range(3))
def test_counts_and_scores_are_those_of_sed_eval(tmp_path: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, estimate = (_random_events(rng), _random_events(rng))
    found = compared(tmp_path, "r.wav", reference=reference, estimate=estimate, primary_score=name)
    counts = [sum(e.status == s for e in found.events) for s in ("matched", "missed", "spurious")]
    theirs = sed_eval_scores(reference, estimate, LABELS, name)
    main = "error_rate" if name == "segment_1s_er" else "f_measure"
    assert found.value == pytest.approx(theirs[main], abs=1e-9)
    if name == "segment_1s_er":
        theirs = sed_eval_scores(reference, estimate, LABELS, "event_onset_200ms_fms")
    n_matched = round(theirs["precision"] * 60)
    assert counts == [n_matched, 60 - n_matched, 60 - n_matched]
    assert found.parts["f_measure"] == pytest.approx(theirs["f_measure"], abs=1e-9)


def _random_events(rng: np.random.Generator) -> Lists:
    starts = rng.integers(0, 500, 60) * 10.0
    return {
        "r.wav": [
            event(LABELS[rng.integers(4)], start, start + 10.0 * rng.integers(1, 60))
            for start in starts.tolist()
        ]
    }


def test_the_small_result_by_sed_eval() -> None:
    reference, estimate = ({"a.wav": lists["a.wav"]} for lists in (REFERENCE, ESTIMATE))
    theirs = sed_eval_scores(reference, estimate, LABELS, "event_onset_200ms_fms")
    assert (theirs["precision"], theirs["recall"], theirs["f_measure"]) == (0.5, 0.5, 0.5)
