from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers_cli import hearbench
from helpers_views import event, write_event_result


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return write_event_result(tmp_path / "my_model" / "calls-1.0.0-full")


def test_plot(result: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    answer = hearbench("events", "plot", result, "a.wav", "--out", out)
    assert answer.code == 0
    assert answer.stdout == f"{out}: 2 matched, 2 missed, 2 spurious\n"
    assert answer.stderr == ""
    assert out.read_bytes().startswith(b"\x89PNG")


def test_plot_of_a_part_as_json(result: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    answer = hearbench(
        *("events", "plot", result / "result.json", "a.wav", "--out", out, "--json"),
        *("--label", "dog", "--label", "owl", "--from", 1.6, "--to", 4.2),
    )
    assert answer.json == {
        "file": str(out),
        "clip": "a.wav",
        "from_s": 1.6,
        "to_s": 4.2,
        "labels": ["dog", "owl"],
        "matched": 0,
        "missed": 1,
        "spurious": 1,
        "score": "event_onset_200ms_fms",
        "value": 0.5,
        "rule": "onsets within 200 ms",
        "f_measure": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "notes": [
            "Only the labels that were asked for are drawn.",
            "Only 1.6 to 4.2 s of 5.950 s are drawn.",
        ],
    }
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_notes_go_to_stderr(result: Path, tmp_path: Path) -> None:
    answer = hearbench("events", "plot", result, "a.wav", "--out", tmp_path / "a.png", "--to", 2)
    assert answer.stdout.count("\n") == 1
    assert "Only 0 to 2 s of 5.950 s are drawn." in answer.stderr


def test_plot_refuses(result: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    for arguments, message in (
        ((result, "a.wave", "--out", out), "Did you mean 'a.wav'"),
        ((result, "a.wav", "--out", tmp_path / "a.svg"), "written as .png or .html"),
        ((result, "a.wav", "--out", out, "--label", "dgo"), "Did you mean 'dog'"),
        ((tmp_path / "nowhere", "a.wav", "--out", out), "can't be read"),
    ):
        answer = hearbench("events", "plot", *arguments)
        assert (answer.code, answer.stdout) == (2, "")
        assert answer.stderr.startswith("error: ")
        assert message in answer.stderr
    assert not out.exists()


def test_a_scene_result(result: Path) -> None:
    file = result / "result.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "kind": "scene"}))
    answer = hearbench("events", "transcription", result)
    assert answer.code == 2
    assert "scene task" in answer.stderr


def test_transcription(result: Path) -> None:
    found = hearbench("events", "transcription", result, "--json").json
    # Within 50 ms no onset of a.wav is right.
    assert found["onset"]["pooled"]["Ntp"] == 0
    assert found["lengthened"] == {"reference": 0, "estimate": 1}
    table = hearbench("events", "transcription", result).stdout
    assert "my_model, calls-1.0.0-full" in table
    assert "2 clips; 4 notes in the reference, 5 predicted." in table
    assert "0.01 ms long: 0 in the reference, 1 predicted." in table
    assert "Labels aren't MIDI note numbers" in table


def test_transcription_of_notes(tmp_path: Path) -> None:
    reference = {"a.wav": [event("60", 0.0, 1000.0), event("62", 1000.0, 1500.0)], "b.wav": []}
    estimate = {"a.wav": [event("60", 20.0, 500.0)]}
    write_event_result(tmp_path, reference, estimate, ["60", "62"])
    lines = hearbench("events", "transcription", tmp_path).stdout.splitlines()
    numbers = [line.split()[-4:] for line in lines if " clips " in line or " notes  " in line]
    # The common 480 of 1000 ms; and with offsets nothing is right.
    assert numbers[:2] == [["1.000", "0.500", "0.667", "0.480"]] * 2
    assert numbers[2:4] == [["0.000", "0.000", "0.000", "0.000"]] * 2
    assert "left out of the means: 1." in "\n".join(lines)
    as_json = hearbench("events", "transcription", tmp_path, "--json").json
    assert as_json["clips"]["b.wav"]["onset"]["recall"] is None


def test_help() -> None:
    assert "plot" in hearbench("events", "--help").stdout
    assert "hearbench events plot RESULT" in hearbench("events", "plot", "--help").stdout
