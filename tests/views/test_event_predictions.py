from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers_views import LABELS, write_event_result

from hearbench.errors import ResultError, UnknownNameError
from hearbench.views.event_predictions import EventPredictions


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
    with pytest.raises(ResultError, match=r"result of a scene task, calls-1\.0\.0-full"):
        EventPredictions.read(tmp_path)


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
