from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import mir_eval.transcription  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest
from helpers_views import Lists, event, write_event_result

from hearbench.errors import HearError, ResultError
from hearbench.views.transcription import label_pitches, transcription_scores

MIDI = [str(number) for number in range(21, 109)]
PARTS = ("precision", "recall", "f_measure", "overlap")


def hertz(label: str) -> float:
    return 440.0 * math.pow(2.0, (int(label) - 69) / 12)


def by_mir_eval(
    reference: list[dict[str, Any]], estimate: list[dict[str, Any]], ratio: float | None
) -> list[float]:
    def notes(events: list[dict[str, Any]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        times = np.array([[e["start"] / 1000, e["end"] / 1000] for e in events])
        return times, np.array([hertz(e["label"]) for e in events])

    return list(
        mir_eval.transcription.precision_recall_f1_overlap(
            *notes(reference), *notes(estimate), offset_ratio=ratio
        )
    )


def test_pitches() -> None:
    assert label_pitches(["69", "60", "57", "0", "127"]) == pytest.approx(
        [440.0, 261.6255653, 220.0, 8.1757989, 12543.8539514]
    )
    mixed = label_pitches(["dog", "60", "060", "128", "-1", "127"])
    assert mixed[[1, 5]] == pytest.approx([261.6255653, 12543.8539514])
    cents = 1200 * np.diff(np.log2(np.sort(mixed)))
    assert cents.min() == pytest.approx(100.0)


def random_notes(rng: np.random.Generator) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    reference, estimate = [], []
    for _ in range(80):
        label, start = str(rng.integers(55, 70)), float(rng.uniform(0, 9000))
        end = start + float(rng.uniform(50, 900))
        reference.append(event(label, start, end))
        if rng.random() < 0.8:
            shifts = rng.normal(0, 40, 2)
            first = max(0.0, start + shifts[0])
            estimate.append(event(label, first, max(first + 10.0, end + shifts[1] * 3)))
    return reference, estimate


def test_scores_are_those_of_mir_eval(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pairs = {f"{i}.wav": random_notes(rng) for i in range(3)}
    reference = {clip: lists[0] for clip, lists in pairs.items()}
    estimate = {clip: lists[1] for clip, lists in pairs.items()}
    found = transcription_scores(
        write_event_result(tmp_path, reference, estimate, MIDI, duration_ms=10000.0)
    )
    assert (found["n_clips"], found["n_undefined"], found["labels_as_midi"]) == (3, 0, 88)
    assert found["lengthened"] == {"reference": 0, "estimate": 0}
    for name, ratio in (("onset", None), ("onset_offset", 0.2)):
        theirs = {clip: by_mir_eval(*lists, ratio) for clip, lists in pairs.items()}
        for clip, values in theirs.items():
            ours = [found["clips"][clip][name][part] for part in PARTS]
            assert ours == pytest.approx(values, abs=1e-12)
            assert 0.2 < values[2] < 0.9
        mean = [found[name]["mean"][part] for part in PARTS]
        assert mean == pytest.approx(np.mean(list(theirs.values()), axis=0), abs=1e-12)
        # Clips a minute apart are one piece with all their notes.
        shifted = [
            [
                event(e["label"], e["start"] + 60_000.0 * i, e["end"] + 60_000.0 * i)
                for i, lists in enumerate(pairs.values())
                for e in lists[side]
            ]
            for side in (0, 1)
        ]
        pooled = [found[name]["pooled"][part] for part in PARTS]
        assert pooled == pytest.approx(by_mir_eval(shifted[0], shifted[1], ratio), abs=1e-9)
        assert found[name]["pooled"]["Nref"] == 240


def scores(folder: Path, reference: Lists, estimate: Lists, labels: list[str]) -> dict[str, Any]:
    return transcription_scores(write_event_result(folder, reference, estimate, labels))


def test_labels_that_are_no_notes(tmp_path: Path) -> None:
    # Next to each other in the vocabulary, and still different.
    found = scores(
        tmp_path,
        {"a.wav": [event("cat", 100.0, 300.0), event("dog", 100.0, 300.0)]},
        {"a.wav": [event("cat", 100.0, 300.0), event("cat", 100.0, 300.0)]},
        ["cat", "dog"],
    )
    assert found["labels_as_midi"] == 0
    assert found["onset"]["pooled"] == {
        "precision": 0.5,
        "recall": 0.5,
        "f_measure": 0.5,
        "overlap": 1.0,
        "Nref": 2,
        "Nsys": 2,
        "Ntp": 1,
    }


def test_notes_without_a_length_and_before_the_start(tmp_path: Path) -> None:
    found = scores(
        tmp_path,
        {"a.wav": [event("60", -10.0, 100.0), event("61", 500.0, 500.0)]},
        {"a.wav": [event("60", 0.0, 0.0), event("61", 520.0, 520.0)]},
        MIDI,
    )
    assert found["lengthened"] == {"reference": 1, "estimate": 2}
    assert found["onset"]["pooled"]["Ntp"] == 2
    # The first ends 100 ms too early for 50 ms or 20 % of 110 ms.
    assert found["onset_offset"]["pooled"]["Ntp"] == 1


def test_empty_lists(tmp_path: Path) -> None:
    note = [event("60", 0.0, 100.0)]
    found = scores(
        tmp_path,
        {"both.wav": note, "none.wav": [], "missed.wav": note, "spurious.wav": []},
        {"both.wav": note, "none.wav": [], "spurious.wav": note},
        MIDI,
    )
    values = {clip: by["onset"]["f_measure"] for clip, by in found["clips"].items()}
    assert math.isnan(values.pop("none.wav"))
    assert values == {"both.wav": 1.0, "missed.wav": 0.0, "spurious.wav": 0.0}
    assert (found["n_clips"], found["n_undefined"]) == (4, 1)
    assert found["onset"]["mean"]["f_measure"] == pytest.approx(1 / 3)
    assert found["onset"]["pooled"]["f_measure"] == 0.5
    nothing = scores(tmp_path, {"a.wav": []}, {}, MIDI)
    assert math.isnan(nothing["onset"]["mean"]["recall"])
    assert math.isnan(nothing["onset"]["pooled"]["recall"])


def test_notes_that_end_before_they_start(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"reference of 'a\.wav': .* from 90\.0 to 10\.0 ms"):
        scores(tmp_path, {"a.wav": [event("60", 90.0, 10.0)]}, {}, MIDI)


def test_without_mir_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mir_eval", None)
    monkeypatch.setitem(sys.modules, "mir_eval.transcription", None)
    with pytest.raises(HearError, match=r"pip install 'hearbench\[transcription\]'"):
        scores(tmp_path, {"a.wav": []}, {}, MIDI)
