from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers_views import ESTIMATE, LABELS, REFERENCE, Lists, event, write_event_result
from sed_eval_scores import sed_eval_scores

from hearbench.metrics.event_matching import MatchRule
from hearbench.views.event_predictions import EventPredictions
from hearbench.views.event_status import ClipComparison, compare_clip, matching_rule

SCORES = [
    "event_onset_200ms_fms",
    "event_onset_50ms_fms",
    "event_onset_offset_50ms_20perc_fms",
    "segment_1s_er",
]


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
